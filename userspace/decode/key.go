package decode

import (
	"encoding/binary"

	"github.com/weirflow/weir/bpf"
)

// An endpoint is one end of a flow, as the packet shows it. The words are the
// address in the memory order of the machines that the metering programs are
// built for (little-endian): the order of the ends has no meaning beyond being
// the same for both directions, and in both homes.
type endpoint struct {
	word [2]uint64
	port uint16
}

func (e *endpoint) set4(addr []byte) {
	e.word = [2]uint64{uint64(binary.LittleEndian.Uint32(addr)), 0}
}

func (e *endpoint) set6(addr []byte) {
	e.word = [2]uint64{binary.LittleEndian.Uint64(addr), binary.LittleEndian.Uint64(addr[8:])}
}

// after says whether e comes after other.
func (e *endpoint) after(other *endpoint) bool {
	if e.word[0] != other.word[0] {
		return e.word[0] > other.word[0]
	}
	if e.word[1] != other.word[1] {
		return e.word[1] > other.word[1]
	}
	return e.port > other.port
}

func setEnd(k *bpf.Key, end int, e *endpoint) {
	binary.LittleEndian.PutUint64(k.Addr[end][:8], e.word[0])
	binary.LittleEndian.PutUint64(k.Addr[end][8:], e.word[1])
	k.Port[end] = e.port
}

// canonical puts the ends into the key in their order. From an end to itself
// everything is forward: SrcEnd stays 0.
func canonical(p *bpf.Packet, src, dst *endpoint) {
	if src.after(dst) {
		p.SrcEnd = 1
		setEnd(&p.Key, 0, dst)
		setEnd(&p.Key, 1, src)
		return
	}
	setEnd(&p.Key, 0, src)
	setEnd(&p.Key, 1, dst)
}
