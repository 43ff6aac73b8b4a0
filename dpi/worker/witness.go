package worker

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/userspace"
)

const (
	// WitnessFD is the descriptor of the Witness in the DPI process.
	WitnessFD = ConnFD + 1
	// WitnessOctets is its size: the length of the packet, padding, and the packet.
	WitnessOctets = witnessHeader + PacketMax
	witnessHeader = 8
)

// A Witness is memory that the process shares with the one that started it: the
// packet that it works on is in it, so that it can be known which one it died of,
// in whatever way. It costs no system call. nil is none.
type Witness []byte

// openWitness maps the memory that the process was started with.
func openWitness() (Witness, error) {
	m, err := unix.Mmap(WitnessFD, 0, WitnessOctets, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map the memory that tells what nDPI works on: %w", err)
	}
	return m, nil
}

// hold is said before a packet is worked on, and let behind it.
func (w Witness) hold(packet []byte) {
	if w != nil {
		n := copy(w[witnessHeader:], packet)
		binary.LittleEndian.PutUint32(w, uint32(n))
	}
}

func (w Witness) let() {
	if w != nil {
		binary.LittleEndian.PutUint32(w, 0)
	}
}

// Witnessed is the packet that a process died of, if it was at work on one. What it
// left behind is not trusted.
func Witnessed(memory io.ReaderAt) ([]byte, error) {
	b := make([]byte, WitnessOctets)
	if _, err := memory.ReadAt(b, 0); err != nil {
		return nil, fmt.Errorf("read what nDPI died of: %w", err)
	}
	n := min(binary.LittleEndian.Uint32(b), PacketMax)
	return b[witnessHeader : witnessHeader+n], nil
}

// A Digest tells samples of one content from others.
type Digest [sha256.Size]byte

// DigestOf is the digest of a packet's transport protocol and payload, whoever sent
// it to whom; of a packet without payload, or whose headers cannot be read, of all
// of it.
func DigestOf(packet []byte) Digest {
	s, ok := splitPacket(packet)
	if !ok || len(s.payload) == 0 {
		return sha256.Sum256(packet)
	}
	h := sha256.New()
	h.Write([]byte{s.protocol})
	h.Write(s.payload)
	return Digest(h.Sum(nil))
}

// QuarantineMax is how many digests a Hello has at most.
const QuarantineMax = 64

// isQuarantined tells whether other processes died of the sample's like.
func (s *session) isQuarantined(sample *userspace.Sample) bool {
	return len(s.quarantine) > 0 && slices.Contains(s.quarantine, DigestOf(sample.Packet))
}
