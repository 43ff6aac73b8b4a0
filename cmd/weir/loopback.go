package main

import (
	"encoding/binary"

	"github.com/weirflow/weir/bpf"
)

// familyIPv6 is the address family by which filters know IPv6: they are compiled
// for this system, not for the one that captured.
const familyIPv6 = 10

// onLoopback lets a filter for frames of BSD's loopback match whatever system they
// are of. Those begin with an address family, whose number for IPv6 and byte order
// are the capturing system's. It is shown a copy in which they are this one's.
func onLoopback(linkType uint32, match func([]byte, uint32) bool) func([]byte, uint32) bool {
	var order binary.ByteOrder
	switch bpf.LinkType(linkType) {
	case bpf.WeirLinkTypeLINK_NULL:
		order = binary.NativeEndian
	case bpf.WeirLinkTypeLINK_LOOP:
		order = binary.BigEndian
	default:
		return match
	}
	var frame []byte
	return func(data []byte, length uint32) bool {
		if len(data) < 4 {
			return match(data, length)
		}
		frame = append(frame[:0], data...)
		order.PutUint32(frame, familyHere(data))
		return match(frame, length)
	}
}

// familyHere is the address family that a frame begins with, in either byte order,
// as this system numbers it.
func familyHere(data []byte) uint32 {
	family := min(binary.BigEndian.Uint32(data), binary.LittleEndian.Uint32(data))
	switch family {
	case 24, 28, 30: // NetBSD and OpenBSD, FreeBSD, macOS
		return familyIPv6
	}
	return family
}
