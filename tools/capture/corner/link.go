package main

import "fmt"

func linkBehaviours() []behaviour {
	return []behaviour{
		ethernet("vlan-tags", "No tag to five, of all three types; priority tags; a tag that ends the frame. Four are followed.", at(vlanTags()...)),
		ethernet("qinq", "One 5-tuple in two outer tags and untagged: three flows, each with both ids and both directions.", at(qinq()...)),
		ethernet("mpls", "One label to nine, over IPv4 and IPv6; a stack without an end; another protocol below. Eight are followed.", at(mpls()...)),
		ethernet("pppoe", "PPPoE sessions with IPv4, IPv6, LCP; in a VLAN; cut.", at(pppoe()...)),
		ethernet("llc-snap", "802.3 lengths: spanning tree, SNAP with IPv4, IPv6 and ARP, and too short to tell.", at(llc()...)),
		ethernet("arp-and-runts", "Frames without IP, each ignored under its reason: ARP, LLDP, unknown types, and 0 to 14 octets.", at(runts()...)),
		linkTypes(),
	}
}

func vlanTags() [][]byte {
	payload := tcp4(ack, []byte("tagged"))
	var frames [][]byte
	for n := range 6 {
		inner, next := payload, uint16(typeIPv4)
		for i := n; i > 0; i-- {
			inner, next = tag(uint16(100+i), next, inner), typeVLAN
		}
		frames = append(frames, eth(next, inner))
	}
	single := tag(7, typeIPv4, payload)
	return append(frames,
		eth(typeQinQ, single), eth(typeQinQ1, single),
		eth(typeQinQ, tag(20, typeVLAN, tag(30, typeIPv4, payload))),
		eth(typeQinQ1, tag(20, typeQinQ, tag(30, typeVLAN, tag(40, typeIPv4, payload)))),
		eth(typeVLAN, tag(0xe000, typeIPv4, payload)),              // priority 7, no id
		eth(typeVLAN, tag(0xffff, typeIPv6, tcp6(ack, nil))),       // all bits: id 4095
		eth(typeVLAN, tag(5, typeARP, zeros(28))),                  // not IP below a tag
		eth(typeVLAN, words(9, typeVLAN)), eth(typeVLAN, words(9)), // the frame ends
	)
}

func qinq() (frames [][]byte) {
	for _, outer := range []uint16{100, 200} {
		for _, ip := range [][]byte{tcp4(syn, nil), tcp4Back(syn|ack, nil), tcp4(ack, []byte("GET / HTTP/1.0\r\n\r\n")), tcp4Back(ack, zeros(500))} {
			frames = append(frames, eth(typeQinQ, tag(outer, typeVLAN, tag(10, typeIPv4, ip))))
		}
	}
	return append(frames, etherIP(tcp4(syn, nil)), etherIP(tcp4Back(syn|ack, nil)))
}

// labels is a stack of n MPLS labels; the last has the bottom bit.
func labels(n int) (b []byte) {
	for i := range n {
		bottom := byte(0)
		if i == n-1 {
			bottom = 1
		}
		b = append(b, 0, byte(i+1), bottom, 64)
	}
	return b
}

func mpls() [][]byte {
	var frames [][]byte
	for _, n := range []int{1, 2, 3, 8, 9} {
		frames = append(frames,
			eth(typeMPLS, join(labels(n), udp4(53, zeros(20)))),
			eth(typeMPLS+1, join(labels(n), udp6(53, zeros(20)))))
	}
	return append(frames,
		eth(typeMPLS, join(labels(1), zeros(30))), // neither version 4 nor 6
		eth(typeMPLS, labels(3)[:8]),              // no bottom
		eth(typeMPLS, labels(1)),                  // nothing below the bottom
		eth(typeVLAN, tag(3, typeMPLS, join(labels(2), udp4(53, nil)))),
	)
}

func session(protocol uint16, payload []byte) []byte {
	return join([]byte{0x11, 0}, words(1, uint16(len(payload)+2), protocol), payload)
}

func pppoe() [][]byte {
	return [][]byte{
		eth(typePPPoE, session(0x0021, tcp4(ack, zeros(10)))),
		eth(typePPPoE, session(0x0057, tcp6(ack, zeros(10)))),
		eth(typePPPoE, session(0xc021, zeros(10))),
		eth(typeVLAN, tag(35, typePPPoE, session(0x0021, udp4(53, zeros(12))))),
		eth(typePPPoE, session(0x0021, nil)),
		eth(typePPPoE, session(0x0021, nil)[:6]),
		eth(0x8863, zeros(20)), // discovery
	}
}

func snap(ethertype uint16, payload []byte) []byte {
	return join([]byte{0xaa, 0xaa, 3, 0, 0, 0}, words(ethertype), payload)
}

func llc() (frames [][]byte) {
	for _, body := range [][]byte{
		join([]byte{0x42, 0x42, 3}, zeros(35)), snap(typeIPv4, tcp4(ack, zeros(9))),
		snap(typeIPv6, tcp6(ack, zeros(9))), snap(typeARP, zeros(28)), snap(0x0100, zeros(28)),
		{0xaa, 0xaa, 3}, nil, join([]byte{0xe0, 0xe0, 3}, zeros(30)),
	} {
		frames = append(frames, eth(uint16(len(body)), body))
	}
	return append(frames, eth(0x05ff, zeros(40))) // neither a length nor a type
}

func runts() [][]byte {
	frames := [][]byte{
		eth(typeARP, join(words(1, typeIPv4, 0x0604, 1), macA, a4, zeros(6), b4)),
		eth(0x88cc, zeros(46)), eth(0x1234, zeros(46)), eth(0xffff, zeros(46)), eth(0x88e5, zeros(46)),
	}
	whole := etherIP(tcp4(ack, nil))
	for _, n := range []int{0, 1, 12, 13, 14} {
		frames = append(frames, whole[:n])
	}
	return frames
}

func linkTypes() behaviour {
	v4, v6 := udp4(53, zeros(12)), udp6(53, zeros(12))
	sll := func(ethertype uint16) []byte { return join(words(0, 1, 6), macA, zeros(2), words(ethertype)) }
	sll2 := func(ethertype uint16) []byte { return join(words(ethertype, 0, 0, 2, 1), []byte{0, 6}, macA, zeros(2)) }
	b := behaviour{name: "link-types", why: "The same packets under every link type that is read, and under one that is not (802.11)."}
	for _, l := range []struct {
		name   string
		number uint32
		frames [][]byte
	}{
		{"raw", linkRaw, [][]byte{v4, v6, {0x00}, {}}},
		{"ipv4", linkIPv4, [][]byte{v4, v6, v4[:10]}},
		{"ipv6", linkIPv6, [][]byte{v6, v4, v6[:10]}},
		{"null", linkNull, [][]byte{join([]byte{2, 0, 0, 0}, v4), join([]byte{0, 0, 0, 2}, v4), join([]byte{30, 0, 0, 0}, v6),
			join([]byte{24, 0, 0, 0}, v6), join([]byte{28, 0, 0, 0}, v6), join([]byte{10, 0, 0, 0}, v6), join([]byte{7, 0, 0, 0}, v4), {2, 0, 0}}},
		{"loop", linkLoop, [][]byte{join([]byte{0, 0, 0, 2}, v4), join([]byte{0, 0, 0, 24}, v6), join([]byte{0, 0, 0, 99}, v6)}},
		{"ppp", linkPPP, [][]byte{join([]byte{0xff, 3, 0, 0x21}, v4), join([]byte{0, 0x57}, v6), join([]byte{0xff, 3, 0xc0, 0x21}, zeros(8)),
			join(words(0x0281), labels(1), v4), {0xff}}},
		{"hdlc", linkHDLC, [][]byte{join([]byte{0x0f, 0}, words(typeIPv4), v4), join([]byte{0x8f, 0}, words(typeIPv6), v6), join([]byte{0x8f, 0}, words(0x8035), zeros(18))}},
		{"sll", linkSLL, [][]byte{join(sll(typeIPv4), v4), join(sll(typeIPv6), v6), join(sll(typeVLAN), words(9, typeIPv4), v4), join(sll(typeARP), zeros(28)), sll(typeIPv4)[:15]}},
		{"sll2", linkSLL2, [][]byte{join(sll2(typeIPv4), v4), join(sll2(typeIPv6), v6), join(sll2(typeVLAN), words(9, typeIPv4), v4), sll2(typeIPv4)[:19]}},
		{"wifi", linkWiFi, [][]byte{zeros(40)}},
	} {
		b.files = append(b.files, file{fmt.Sprintf("%s.pcap", l.name), at(l.frames...), pcapOf(l.number)})
	}
	return b
}
