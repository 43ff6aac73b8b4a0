package main

func networkBehaviours() []behaviour {
	return []behaviour{
		ethernet("ipv4-options", "IPv4 headers of 24 to 60 octets: ports come from behind the options.", at(options4()...)),
		ethernet("ipv4-bad-headers", "Header lengths below 5 or beyond the frame, wrong versions, total lengths of zero, too short and too long, Ethernet padding.", at(badHeaders4()...)),
		ethernet("ipv6-extensions", "Chains of no extension header to nine, of every kind; repeated; AH, ESP, no next header; lengths beyond the packet; payload length zero. Eight are followed.", at(extensions()...)),
		ethernet("fragments", "IPv4 and IPv6 fragments: first, later, last, out of order, overlapping, tiny, and atomic. Later ones are metered under ports 0.", at(fragments()...)),
	}
}

// withOptions puts octets behind the fixed IPv4 header; a multiple of four.
func withOptions(ip, options []byte) []byte {
	b := join(ip[:20], options, ip[20:])
	b[0] = 0x40 | byte(5+len(options)/4)
	total := len(b)
	return patched(b, 2, byte(total>>8), byte(total))
}

func options4() [][]byte {
	record := join([]byte{7, 39, 4}, zeros(36), []byte{0}) // record route, full size
	return etherIPs(
		withOptions(tcp4(syn, nil), []byte{0x94, 4, 0, 0}), // router alert
		withOptions(tcp4Back(syn|ack, nil), []byte{1, 1, 1, 0}),
		withOptions(udp4(53, zeros(12)), record),
		withOptions(udp4(53, zeros(12)), []byte{0x44, 0, 0, 0}), // an option of length 0
		withOptions(tcp4(ack, []byte("data")), zeros(40)),
	)
}

func badHeaders4() [][]byte {
	good := tcp4(ack, []byte("0123456789"))
	length := func(n int) []byte { return etherIP4(patched(good, 2, byte(n>>8), byte(n))) }
	return [][]byte{
		etherIP4(patched(good, 0, 0x40)), etherIP4(patched(good, 0, 0x44)), // header of 0 and 16 octets
		etherIP4(patched(good, 0, 0x4f)), // of 60, beyond the total length
		etherIP4(patched(good, 0, 0x55)), // version 5
		etherIP4(patched(good, 0, 0x65)), // version 6 under IPv4's type
		eth(typeIPv6, good),              // and the reverse
		length(0), length(19), length(20), length(21), length(39), length(40), length(65535),
		join(etherIP4(tcp4(ack, nil)), zeros(6)), // padding to 60 octets is not payload
		etherIP4(patched(good, 0, 0x4f)[:40]),    // options that the frame does not have
		etherIP4(good[:19]), etherIP4(good[:20]), etherIP4(nil),
		etherIP4(patched(patched(good, 2, 0, 0), 0, 0x46)), // length 0 with options
	}
}

func etherIP4(ip []byte) []byte { return eth(typeIPv4, ip) }

const (
	hopByHop    = 0
	routing     = 43
	fragmentHdr = 44
	esp         = 50
	auth        = 51
	noNext      = 59
	destination = 60
	mobility    = 135
)

// extension is a header of size octets, a multiple of 8.
func extension(next byte, size int) []byte {
	return join([]byte{next, byte(size/8 - 1), 1, 4}, zeros(size-4))
}

// chain is an IPv6 packet with the extension headers before the payload.
func chain(kinds []byte, protocol byte, payload []byte) []byte {
	for i := len(kinds) - 1; i >= 0; i-- {
		payload = join(extension(protocol, 8*(1+i%3)), payload)
		protocol = kinds[i]
	}
	return ip6(protocol, payload)
}

func extensions() [][]byte {
	segmentOfTCP := segment(tcp6(ack, []byte("behind extensions")))
	every := []byte{hopByHop, destination, routing, destination, mobility, destination, routing, destination, destination}
	var packets [][]byte
	for n := range 10 {
		packets = append(packets, chain(every[:n], protoTCP, segmentOfTCP))
	}
	beyond := chain(every[:1], protoTCP, segmentOfTCP)
	packets = append(packets,
		chain(every[:8], protoUDP, segment(udp6(53, zeros(12)))),
		chain([]byte{hopByHop}, noNext, nil), ip6(noNext, zeros(8)),
		ip6(auth, join([]byte{protoTCP, 4}, zeros(22), segmentOfTCP)),
		ip6(auth, join([]byte{protoTCP, 0}, zeros(6))),
		ip6(esp, zeros(40)), chain([]byte{destination}, esp, zeros(40)),
		patched(beyond, 41, 200), // longer than the packet
		beyond[:44], beyond[:40], // cut inside, and before
		patched(tcp6(ack, zeros(30)), 4, 0, 0), // payload length 0
		patched(tcp6(ack, zeros(30)), 4, 0, 5), // shorter than TCP's header
		patched(tcp6(ack, zeros(30)), 4, 0xff, 0xff),
		tcp6(ack, nil)[:39],
		chain([]byte{hopByHop}, protoICMPv6, []byte{143, 0, 0, 0, 0, 0, 0, 0}), // MLD
	)
	frames := etherIPs(packets...)
	return append(frames, eth(typeIPv6, patched(tcp6(ack, nil), 0, 0x40)))
}

// fragment4 is octets from to end of the packet's payload, as a fragment of id.
func fragment4(ip []byte, id uint16, from, end int) []byte {
	offset := uint16(from / 8)
	if end < len(ip)-20 {
		offset |= 0x2000
	}
	b := join(ip[:20], ip[20+from:20+end])
	copy(b[2:], words(uint16(len(b)), id, offset))
	return b
}

func fragment6(ip []byte, id uint16, from, end int) []byte {
	more := uint16(0)
	if end < len(ip)-40 {
		more = 1
	}
	header := join([]byte{ip[6], 0}, words(uint16(from)|more, 0, id))
	return ip6(fragmentHdr, join(header, ip[40+from:40+end]))
}

func fragments() [][]byte {
	v4, v6 := udp4(5000, zeros(2000)), udp6(5000, zeros(2000))
	tcp := tcp4(ack, zeros(100))
	laterWithOptions := patched(ip6(fragmentHdr, join([]byte{destination, 0}, words(800, 0, 9), zeros(16))), 40, destination)
	return etherIPs(
		fragment4(v4, 1, 0, 1000), fragment4(v4, 1, 1000, 2008),
		fragment4(v4, 2, 1000, 2008), fragment4(v4, 2, 0, 1000), // out of order
		fragment4(v4, 3, 0, 1000), fragment4(v4, 3, 800, 1600), fragment4(v4, 3, 1000, 2008), // overlapping
		fragment4(tcp, 4, 0, 8), fragment4(tcp, 4, 8, 16), fragment4(tcp, 4, 16, 120), // tiny: ports, no flags
		fragment4(v4, 5, 0, 2008),                      // id, but whole
		patched(fragment4(v4, 6, 0, 1000), 6, 0x60, 0), // more and do-not fragments
		fragment6(v6, 1, 0, 1000), fragment6(v6, 1, 1000, 2008),
		fragment6(v6, 2, 1000, 2008), fragment6(v6, 2, 0, 1000),
		fragment6(v6, 3, 0, 2008),                 // atomic (RFC 6946)
		fragment6(tcp6(ack, zeros(30)), 4, 0, 50), // atomic TCP
		laterWithOptions,                          // what follows is no header
		chain([]byte{hopByHop}, fragmentHdr, join([]byte{protoUDP, 0}, words(1000, 0, 7), zeros(64))),
		ip6(fragmentHdr, []byte{protoUDP, 0, 0, 1}), // cut
	)
}
