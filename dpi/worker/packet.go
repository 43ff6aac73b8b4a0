package worker

import (
	"encoding/binary"
	"net/netip"
)

const (
	protocolTCP = 6
	protocolUDP = 17

	flagSYN = 0x02
	flagACK = 0x10
)

// A segment is a packet's transport header and payload.
type segment struct {
	source, destination netip.AddrPort // without ports but for TCP and UDP
	protocol            uint8
	flags               uint8 // of TCP
	sequence            uint32
	acknowledgement     uint32
	payload             []byte
}

// splitPacket reads a packet from its IP header on, as far as it is there. It
// returns false for one whose headers are not, and for later fragments.
func splitPacket(packet []byte) (s segment, ok bool) {
	var src, dst netip.Addr
	var transport []byte
	switch {
	case len(packet) >= 20 && packet[0]>>4 == 4:
		src, _ = netip.AddrFromSlice(packet[12:16])
		dst, _ = netip.AddrFromSlice(packet[16:20])
		s.protocol = packet[9]
		transport, ok = ipv4Payload(packet)
	case len(packet) >= 40 && packet[0]>>4 == 6:
		src, _ = netip.AddrFromSlice(packet[8:24])
		dst, _ = netip.AddrFromSlice(packet[24:40])
		s.protocol, transport, ok = ipv6Payload(packet)
	}
	if !ok {
		return s, false
	}
	s.source, s.destination = netip.AddrPortFrom(src, 0), netip.AddrPortFrom(dst, 0)
	return s, s.split(transport)
}

func ipv4Payload(packet []byte) ([]byte, bool) {
	header := int(packet[0]&15) * 4
	if total := int(binary.BigEndian.Uint16(packet[2:])); total != 0 && total < len(packet) {
		packet = packet[:total]
	}
	if header < 20 || header > len(packet) || binary.BigEndian.Uint16(packet[6:])&0x1fff != 0 {
		return nil, false
	}
	return packet[header:], true
}

// extensionsMax bounds the walk over IPv6 extension headers, as the decoder
// does.
const extensionsMax = 8

func ipv6Payload(packet []byte) (protocol uint8, payload []byte, ok bool) {
	if n := int(binary.BigEndian.Uint16(packet[4:])); n != 0 && 40+n < len(packet) {
		packet = packet[:40+n]
	}
	next, rest := packet[6], packet[40:]
	for range extensionsMax {
		switch next {
		case 0, 43, 60: // hop-by-hop options, routing, destination options
			if len(rest) < 8 || len(rest) < (int(rest[1])+1)*8 {
				return 0, nil, false
			}
			next, rest = rest[0], rest[(int(rest[1])+1)*8:]
		case 44:
			if len(rest) < 8 || binary.BigEndian.Uint16(rest[2:])&0xfff8 != 0 {
				return 0, nil, false
			}
			next, rest = rest[0], rest[8:]
		default:
			return next, rest, true
		}
	}
	return 0, nil, false
}

func (s *segment) split(b []byte) bool {
	switch {
	case s.protocol == protocolTCP && len(b) >= 20:
		header := int(b[12]>>4) * 4
		if header < 20 || header > len(b) {
			return false
		}
		s.sequence, s.acknowledgement = binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
		s.flags, s.payload = b[13], b[header:]
	case s.protocol == protocolUDP && len(b) >= 8:
		s.payload = b[8:]
		if n := int(binary.BigEndian.Uint16(b[4:])); n >= 8 && n < len(b) {
			s.payload = b[8:n]
		}
	case s.protocol == protocolTCP, s.protocol == protocolUDP:
		return false
	default:
		return true
	}
	s.source = netip.AddrPortFrom(s.source.Addr(), binary.BigEndian.Uint16(b))
	s.destination = netip.AddrPortFrom(s.destination.Addr(), binary.BigEndian.Uint16(b[2:]))
	return true
}

// has tells whether one of the ends has one of the ports.
func (s *segment) has(ports ...uint16) bool {
	for _, p := range ports {
		if s.source.Port() == p || s.destination.Port() == p {
			return true
		}
	}
	return false
}
