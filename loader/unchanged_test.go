package loader_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/tools/flowgen"
	"github.com/weirflow/weir/tools/soak"
)

// Frames that arrive at an interface with weir attached come out of it
// in their order, octet by octet as they were sent.
func TestA11FramesArriveUnchanged(t *testing.T) {
	l := newLoad(t)
	o := options()
	o.Config.Statistics, o.Config.SPLT, o.Config.Samples = true, 20, 20
	r := read(t, consumer(t, attach(t, o, nearName), o), func(generated) bool { return false })
	socket := l.receiver()
	const flows, portion = 1000, 5000
	frames := soak.Of(200_000, 1_000_000)
	g, s := l.generator(flows, 1), flowgen.NewSequence(flows, 1)
	templates := [][]byte{
		template(flowgen.TCP4, 60), template(flowgen.UDP6, 78), template(flowgen.UDP4, 129), template(flowgen.TCP6, 74), template(flowgen.TCP4, 1514),
	}
	random := rand.New(rand.NewPCG(1, 1))
	began := time.Now()
	buffer := make([]byte, 2048)
	for n := range frames / portion {
		frame := templates[n%len(templates)]
		fill(frame, random)
		l.send(g, frame, portion)
		want := bytes.Clone(frame)
		for i := range portion {
			flowgen.TupleOf(s.Next()).Write(want)
			size, err := unix.Read(socket, buffer)
			if err != nil {
				t.Fatalf("frame %d: %v", n*portion+i, err)
			}
			if !bytes.Equal(buffer[:size], want) {
				t.Fatalf("frame %d arrives as\n%x, sent was\n%x", n*portion+i, buffer[:size], want)
			}
		}
	}
	took := time.Since(began)
	r.end(l.sent)
	t.Logf("measured: %d frames of 60 to 1514 octets identical behind an attached interface, in %.1f s", frames, took.Seconds())
}

// fill makes a frame's payload random.
func fill(frame []byte, random *rand.Rand) {
	const headers = 74 // the longest
	for i := headers; i < len(frame); i++ {
		frame[i] = byte(random.Uint32())
	}
}

// receiver sees what the near end hands to the stack, and gives up after a
// second without.
func (l *load) receiver() int {
	l.t.Helper()
	every := int(binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_ALL)))
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20); err != nil {
		l.t.Fatal(err)
	}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1}); err != nil {
		l.t.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: uint16(every), Ifindex: l.near.Attrs().Index}); err != nil {
		l.t.Fatal(err)
	}
	return fd
}
