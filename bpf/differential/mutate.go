package differential

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/userspace/decode"
)

// frameMax bounds what mutation makes of a frame, to about what one page holds.
const frameMax = 3000

// Mutate changes a frame in one to four places, most of them where its headers
// are, and leaves the given one as it is.
func Mutate(c Choices, frame []byte, link uint32) []byte {
	b := bytes.Clone(frame)
	for range pick(c, 1, 1, 2, 4) {
		b = mutateOnce(c, b, link)
	}
	return b[:min(len(b), frameMax)]
}

func mutateOnce(c Choices, b []byte, link uint32) []byte {
	if len(b) == 0 {
		return append(b, byte(c.IntN(256)))
	}
	at := position(c, len(b))
	switch c.IntN(12) {
	case 0:
		b[at] ^= 1 << c.IntN(8)
	case 1:
		b[at] = byte(c.IntN(256))
	case 2:
		b[at] = pick[byte](c, 0, 1, 0xff, 0x45, 0x60, 0x46, 0x4f, 6, 17, 4, 41, 47, 44, 0, 43, 60)
	case 3:
		putWord(b, at, pick[uint16](c, typeIPv4, typeIPv6, typeVLAN, typeQinQ, typeMPLS, typePPPoE, typeTEB, typeARP, 2152, 4789, 6081, 1701, 37008, 5247))
	case 4:
		putWord(b, at, pick[uint16](c, 0, 1, 0xffff, uint16(len(b)), uint16(len(b)-at), uint16(c.IntN(1500))))
	case 5:
		b = b[:at]
	case 6:
		b = b[:len(b)-c.IntN(min(len(b), 16))]
	case 7:
		b = slices.Insert(b, at, make([]byte, 1+c.IntN(16))...)
	case 8:
		b = slices.Delete(b, at, min(len(b), at+1+c.IntN(8)))
	case 9: // a header once more
		end := min(len(b), at+4*(1+c.IntN(10)))
		b = slices.Insert(b, at, bytes.Clone(b[at:end])...)
	case 10:
		b = append(b, make([]byte, c.IntN(1200))...)
	case 11:
		Turn(b, link)
	}
	return b
}

// position is where in a frame to change something: mostly in its headers.
func position(c Choices, size int) int {
	if oneIn(c, 4) {
		return c.IntN(size)
	}
	return c.IntN(min(size, 80))
}

func putWord(b []byte, at int, w uint16) {
	if at+2 <= len(b) {
		binary.BigEndian.PutUint16(b[at:], w)
	}
}

// Turn makes a frame its own answer: addresses and ports of the innermost IP
// packet change places. What is not IP stays as it is.
func Turn(b []byte, link uint32) {
	d := decode.Decoder{DecodeTunnels: true}
	var p bpf.Packet
	if d.Decode(b, uint32(len(b)), link, &p) != bpf.WeirDecodeStatusSTATUS_OK {
		return
	}
	network := b[p.L3Offset:]
	addresses, size, end := 12, 4, int(network[0]&0xf)*4
	if p.Key.IpVersion == 6 {
		addresses, size, end = 8, 16, 40
	}
	swap(network[addresses:], size)
	if len(network) >= end+4 && p.Key.Port != [2]uint16{} {
		swap(network[end:], 2)
	}
}

// swap exchanges two fields of size octets that follow each other.
func swap(b []byte, size int) {
	first := bytes.Clone(b[:size])
	copy(b, b[size:2*size])
	copy(b[size:], first)
}
