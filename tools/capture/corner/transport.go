package main

func transportBehaviours() []behaviour {
	return []behaviour{
		ethernet("tcp-odd", "TCP with data offsets below 5 and beyond the segment, segments shorter than a header by IP's word or cut, all 256 flag bytes, no payload with padding.", at(oddTCP()...)),
		ethernet("udp-odd", "UDP shorter than its header, with length fields of zero, too short and too long, without payload, port 0.", at(oddUDP()...)),
		ethernet("other-protocols", "ICMP and ICMPv6 of several types and too short, SCTP, DCCP, UDP-Lite, and protocols without ports: IGMP, OSPF, ESP, 255.", at(otherProtocols()...)),
		ethernet("same-ports", "The same port at both ends, in both directions, IPv4 and IPv6: addresses decide the key's order.", at(samePorts()...)),
		ethernet("self-to-self", "From an address to itself, with different ports and with the same one: with the same one all is forward.", at(selfToSelf()...)),
	}
}

func oddTCP() [][]byte {
	whole := tcp4(ack, []byte("0123456789"))
	var packets [][]byte
	for _, offset := range []byte{0, 1, 4, 6, 7, 8, 15} {
		packets = append(packets, patched(whole, 32, offset<<4), patched(tcp6(ack, zeros(10)), 52, offset<<4))
	}
	for _, n := range []int{0, 1, 4, 8, 13, 14, 19, 20} {
		packets = append(packets, ip4(protoTCP, segment(whole)[:n]), ip6(protoTCP, segment(whole)[:n]))
	}
	for flags := range 256 {
		packets = append(packets, tcp4(byte(flags), nil))
	}
	frames := etherIPs(packets...)
	for _, n := range []int{34, 38, 46, 53} { // cut by the capture, whole by IP's word
		frames = append(frames, etherIP(whole)[:n])
	}
	options := join(segment(whole)[:20], []byte{1, 1, 8, 0, 2, 0, 0, 0}) // options of length 0
	return append(frames,
		join(etherIP(tcp4(ack, nil)), zeros(6)),
		etherIP(ip4(protoTCP, patched(options, 12, 7<<4))),
	)
}

func oddUDP() [][]byte {
	whole := udp4(53, zeros(20))
	var packets [][]byte
	for _, n := range []int{0, 1, 4, 7, 8} {
		packets = append(packets, ip4(protoUDP, segment(whole)[:n]), ip6(protoUDP, segment(whole)[:n]))
	}
	for _, length := range []byte{0, 4, 8, 20, 28, 255} {
		packets = append(packets, patched(whole, 24, 0, length))
	}
	packets = append(packets, udp4(53, nil), udp6(53, nil), udp4(0, zeros(4)), patched(udp4(0, nil), 20, 0, 0))
	frames := etherIPs(packets...)
	return append(frames, etherIP(whole)[:34], etherIP(whole)[:38], etherIP(whole)[:41], join(etherIP(udp4(53, nil)), zeros(18)))
}

func otherProtocols() [][]byte {
	ports := words(1000, 2000)
	var packets [][]byte
	for _, typeAndCode := range [][]byte{{8, 0}, {0, 0}, {3, 1}, {3, 3}, {5, 1}, {11, 0}, {13, 0}, {255, 255}} {
		packets = append(packets, ip4(protoICMP, join(typeAndCode, zeros(30))))
	}
	for _, kind := range []byte{1, 128, 129, 133, 134, 135, 136, 143} {
		packets = append(packets, ip6(protoICMPv6, join([]byte{kind, 0}, zeros(22))))
	}
	for _, n := range []int{0, 1, 4, 7, 8} {
		packets = append(packets, ip4(protoICMP, zeros(n)), ip6(protoICMPv6, zeros(n)))
	}
	for _, protocol := range []byte{protoSCTP, protoDCCP, protoLite} {
		for _, n := range []int{0, 4, 8, 20} {
			packets = append(packets, ip4(protocol, join(ports, zeros(n))), ip6(protocol, join(ports, zeros(n))))
		}
	}
	for _, protocol := range []byte{2, esp, auth, 89, 103, 112, 255} {
		packets = append(packets, ip4(protocol, zeros(24)), ip6(protocol, join([]byte{noNext}, zeros(23))))
	}
	packets = append(packets, ip4(protoICMPv6, zeros(8)), ip6(protoICMP, zeros(8))) // each in the other's family
	frames := etherIPs(packets...)
	return append(frames, etherIP(ip4(protoSCTP, zeros(40)))[:40], etherIP(ip4(protoICMP, zeros(40)))[:40])
}

func samePorts() (frames [][]byte) {
	for _, protocol := range []byte{protoUDP, protoTCP} {
		for _, ends := range [][2]end{{{b4, 123}, {a4, 123}}, {{b6, 123}, {a6, 123}}} {
			frames = append(frames, etherIPs(
				transport(protocol, ends[0], ends[1], ack, zeros(48)), transport(protocol, ends[1], ends[0], ack, zeros(40)),
				transport(protocol, ends[0], ends[1], ack, zeros(32)))...)
		}
	}
	return frames
}

func selfToSelf() (frames [][]byte) {
	for _, ports := range [][2]uint16{{1000, 2000}, {2000, 1000}, {3000, 3000}, {3000, 3000}} {
		frames = append(frames, etherIPs(
			transport(protoUDP, end{a4, ports[0]}, end{a4, ports[1]}, 0, zeros(10)),
			transport(protoTCP, end{a6, ports[0]}, end{a6, ports[1]}, ack, zeros(10)))...)
	}
	return append(frames, etherIP(serialize(zeros(8), header4(a4, a4, protoICMP))))
}
