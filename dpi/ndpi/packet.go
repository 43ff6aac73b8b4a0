package ndpi

import "encoding/binary"

const (
	// cutMin is what must be left of a packet that was cut for it to be shown:
	// hello messages mostly fit in that. Of a capture with a short snapshot
	// length nDPI sees nothing, as under nfstream, rather than half a message.
	cutMin = 1280

	ipv4HeaderMin = 20
	ipv6Header    = 40
	// extensionsMax bounds the walk over IPv6 extension headers, as the decoder
	// does.
	extensionsMax = 8
)

// fitLengths makes the length fields of a packet, of wire octets before it was
// cut, agree with the octets that are there, so that nDPI reads none that are
// not: a sample may be cut, and a frame that the host has not segmented yet says
// 0. It returns false where nothing can be made of the packet, and for later
// fragments, which begin in the middle of the payload.
func fitLengths(packet []byte, wire uint32) bool {
	if len(packet) < ipv4HeaderMin {
		return false
	}
	cut := wire > uint32(len(packet)) && len(packet) >= cutMin
	switch packet[0] >> 4 {
	case 4:
		return fitIPv4(packet, cut)
	case 6:
		return fitIPv6(packet, cut)
	default:
		return false
	}
}

func fitIPv4(packet []byte, cut bool) bool {
	header := int(packet[0]&15) * 4
	total := int(binary.BigEndian.Uint16(packet[2:]))
	if header < ipv4HeaderMin || header > len(packet) || total != 0 && total < header {
		return false
	}
	if binary.BigEndian.Uint16(packet[6:])&0x1fff != 0 {
		return false
	}
	if total > len(packet) && !cut {
		return false
	}
	if total == 0 || total > len(packet) {
		binary.BigEndian.PutUint16(packet[2:], uint16(len(packet)))
	}
	return true
}

func fitIPv6(packet []byte, cut bool) bool {
	if len(packet) < ipv6Header || isLaterFragment(packet) {
		return false
	}
	present := len(packet) - ipv6Header
	payload := int(binary.BigEndian.Uint16(packet[4:]))
	if payload > present && !cut {
		return false
	}
	// Fewer than 8 octets behind a length of 0 are the padding of a short frame.
	if payload > present || payload == 0 && present >= 8 {
		binary.BigEndian.PutUint16(packet[4:], uint16(present))
	}
	return true
}

// isLaterFragment looks for a fragment header (RFC 8200 section 4.5) with an
// offset other than 0.
func isLaterFragment(packet []byte) bool {
	next, rest := packet[6], packet[ipv6Header:]
	for range extensionsMax {
		if len(rest) < 8 {
			return false
		}
		switch next {
		case 44:
			if binary.BigEndian.Uint16(rest[2:])&0xfff8 != 0 {
				return true
			}
			next, rest = rest[0], rest[8:]
		case 0, 43, 60: // hop-by-hop options, routing, destination options
			length := (int(rest[1]) + 1) * 8
			if length > len(rest) {
				return false
			}
			next, rest = rest[0], rest[length:]
		default:
			return false
		}
	}
	return false
}
