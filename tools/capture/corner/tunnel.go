package main

import "encoding/binary"

func tunnelBehaviours() []behaviour {
	return []behaviour{
		ethernet("ip-in-ip", "IPv4 and IPv6 in each other, all four ways; cut; with something else inside.", at(ipInIP()...)),
		ethernet("gre", "GRE plain, with checksum, key, sequence; IPv6 and Ethernet inside, tagged; routing, version 2, and not IP: these stay GRE.", at(gre()...)),
		ethernet("erspan", "ERSPAN I, II and III, with and without the platform's octets, with tags, of two sessions; another version or frame type, and cut: these stay GRE.", at(erspan()...)),
		ethernet("vxlan", "VXLAN with IPv4, IPv6, tagged; with the flag missing; with nothing inside; from the port as source.", at(vxlan()...)),
		ethernet("geneve", "Geneve with options of 0 to 252 octets, Ethernet and IP inside, a wrong version, and cut.", at(geneve()...)),
		ethernet("gtp-u", "GTP-U with IPv4 and IPv6 inside, sequence numbers, extension headers, an echo request, and over IPv6.", at(gtpu()...)),
		ethernet("nested-tunnels", "One tunnel to six inside each other, of one kind and of several, and fifty. Four are followed.", at(nested()...)),
		ethernet("not-tunnels", "Other things on the ports of tunnels: they stay what they are.", at(notTunnels()...)),
	}
}

func ipInIP() [][]byte {
	v4, v6 := tcp4(ack, zeros(10)), tcp6(ack, zeros(10))
	return etherIPs(
		ip4(protoIPIP, v4), ip4(protoIPv6, v6), ip6(protoIPIP, v4), ip6(protoIPv6, v6),
		chain([]byte{destination}, protoIPv6, v6),
		ip4(protoIPIP, v4[:19]), ip4(protoIPv6, v6[:39]), ip4(protoIPIP, nil),
		ip4(protoIPIP, v6), ip4(protoIPv6, v4), ip4(protoIPIP, zeros(40)),
		ip4(protoIPIP, fragment4(udp4(53, zeros(100)), 1, 0, 48)), ip4(protoIPIP, fragment4(udp4(53, zeros(100)), 1, 48, 108)),
		fragment4(ip4(protoIPIP, v4), 8, 0, 40), fragment4(ip4(protoIPIP, v4), 8, 40, 50),
	)
}

func gre() [][]byte {
	v4, v6 := tcp4(ack, zeros(10)), tcp6(ack, zeros(10))
	inner := etherIP(v4)
	tagged := eth(typeVLAN, tag(77, typeIPv4, v4))
	return etherIPs(
		ip4(protoGRE, join(words(0, typeIPv4), v4)), ip6(protoGRE, join(words(0, typeIPv6), v6)),
		ip4(protoGRE, join(words(0x8000, typeIPv4, 0, 0), v4)),
		ip4(protoGRE, join(words(0x2000, typeIPv4, 0, 4711), v4)),
		ip4(protoGRE, join(words(0x1000, typeIPv4, 0, 1), v4)),
		ip4(protoGRE, join(words(0xb000, typeIPv6, 0, 0, 1, 2, 0, 3), v6)),
		ip4(protoGRE, join(words(0x2000, typeTEB, 0, 99), inner)), ip4(protoGRE, join(words(0, typeTEB), tagged)),
		ip4(protoGRE, join(words(2, typeIPv4), v4)),
		ip4(protoGRE, join(words(0x4000, typeIPv4, 0, 0), v4)), // routing (RFC 1701)
		ip4(protoGRE, join(words(0, typeARP), zeros(28))), ip4(protoGRE, join(words(0, typeIPv4), v6)),
		ip4(protoGRE, words(0)), ip4(protoGRE, words(0x2000, typeIPv4)), ip4(protoGRE, nil),
	)
}

// erspanHeader is draft-foschiano-erspan, sections 4.2 and 4.3, behind GRE with a
// sequence number; frameType and platform of type III only.
func erspanHeader(version byte, session uint16, frameType byte, platform bool) []byte {
	h := join([]byte{version << 4, 0}, words(session))
	if version == 1 {
		return join(words(0x1000, 0x88be, 0, 1), h, zeros(4))
	}
	h = join(words(0x1000, 0x22eb, 0, 1), h, zeros(6), []byte{frameType << 2, 0})
	if platform {
		h = join(patched(h, len(h)-1, 1), zeros(8))
	}
	return h
}

func erspan() [][]byte {
	inner, inner6 := etherIP(tcp4(ack, zeros(10))), etherIP(tcp6(ack, zeros(10)))
	tagged := eth(typeVLAN, tag(77, typeIPv4, tcp4(ack, zeros(10))))
	return etherIPs(
		ip4(protoGRE, join(words(0, 0x88be), inner)), ip4(protoGRE, join(erspanHeader(1, 5, 0, false), inner)),
		ip4(protoGRE, join(erspanHeader(1, 1023, 0, false), tagged)), ip4(protoGRE, join(erspanHeader(1, 0xfc06, 0, false), inner6)),
		ip4(protoGRE, join(erspanHeader(2, 5, 0, false), inner)), ip4(protoGRE, join(erspanHeader(2, 5, 0, true), inner6)),
		ip6(protoGRE, join(erspanHeader(2, 5, 0, false), tagged)), ip4(protoGRE, join(erspanHeader(1, 5, 0, false), eth(typeARP, zeros(28)))),
		ip4(protoGRE, join(patched(erspanHeader(1, 5, 0, false), 8, 0x20), inner)), ip4(protoGRE, join(patched(erspanHeader(2, 5, 0, false), 8, 0x10), inner)),
		ip4(protoGRE, join(erspanHeader(2, 5, 2, false), tcp4(ack, nil))), ip4(protoGRE, erspanHeader(1, 5, 0, false)), ip4(protoGRE, erspanHeader(1, 5, 0, false)[:12]),
		ip4(protoGRE, erspanHeader(2, 5, 0, true)[:20]), ip4(protoGRE, join(erspanHeader(2, 5, 0, false), inner[:30])),
	)
}

// vxlanHeader is RFC 7348, section 5.
func vxlanHeader(flags byte, vni uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{flags, 0, 0, 0}, vni<<8)
}

func vxlan() [][]byte {
	inner, inner6 := etherIP(tcp4(ack, zeros(10))), etherIP(tcp6(ack, zeros(10)))
	head := vxlanHeader(8, 5001)
	return etherIPs(
		udp4(4789, join(head, inner)), udp4(4789, join(head, inner6)), udp6(4789, join(head, inner)),
		udp4(4789, join(head, eth(typeVLAN, tag(12, typeIPv4, tcp4(ack, nil))))),
		udp4(4789, join(vxlanHeader(0, 5001), inner)), udp4(4789, head), udp4(4789, join(head, inner[:20])),
		udp4(4789, join(head, eth(typeARP, zeros(28)))),
		transport(protoUDP, end{a4, 4789}, end{b4, 9999}, 0, join(head, inner)),
		udp4(4789, join(vxlanHeader(8, 5002), inner)), // another network: another flow
	)
}

// geneveHeader is RFC 8926, section 3.4; options in units of 4 octets.
func geneveHeader(version, options byte, protocol uint16, vni uint32) []byte {
	b := join([]byte{version<<6 | options, 0}, words(protocol))
	return join(binary.BigEndian.AppendUint32(b, vni<<8), zeros(int(options)*4))
}

func geneve() [][]byte {
	v4, v6 := tcp4(ack, zeros(10)), tcp6(ack, zeros(10))
	return etherIPs(
		udp4(6081, join(geneveHeader(0, 0, typeTEB, 7), etherIP(v4))), udp4(6081, join(geneveHeader(0, 3, typeTEB, 7), etherIP(v6))),
		udp4(6081, join(geneveHeader(0, 63, typeTEB, 7), etherIP(v4))), udp6(6081, join(geneveHeader(0, 0, typeIPv4, 8), v4)),
		udp4(6081, join(geneveHeader(0, 2, typeIPv6, 9), v6)), udp4(6081, join(geneveHeader(1, 0, typeTEB, 7), etherIP(v4))),
		udp4(6081, geneveHeader(0, 63, typeTEB, 7)[:40]), udp4(6081, join(geneveHeader(0, 0, typeARP, 7), zeros(28))),
	)
}

// gtpHeader is 3GPP TS 29.281, section 5.1; rest are the optional octets.
func gtpHeader(flags, kind byte, teid uint32, rest, payload []byte) []byte {
	b := join([]byte{0x30 | flags, kind}, words(uint16(len(rest)+len(payload))))
	return join(binary.BigEndian.AppendUint32(b, teid), rest, payload)
}

func gtpu() [][]byte {
	v4, v6 := tcp4(ack, zeros(10)), tcp6(ack, zeros(10))
	const data, echo, errorIndication, end = 255, 1, 26, 254
	session := []byte{0, 1, 0, 0x85, 1, 0x10, 9, 0} // sequence, PDU session container
	two := []byte{0, 1, 0, 0x85, 1, 0x10, 9, 0xc0, 1, 0, 5, 0}
	return etherIPs(
		udp4(2152, gtpHeader(0, data, 1, nil, v4)), udp4(2152, gtpHeader(0, data, 2, nil, v6)),
		udp4(2152, gtpHeader(2, data, 3, []byte{0, 9, 0, 0}, v4)), udp4(2152, gtpHeader(4, data, 4, session, v4)),
		udp4(2152, gtpHeader(4, data, 5, two, v6)), udp4(2152, gtpHeader(1, data, 6, zeros(4), v4)),
		udp6(2152, gtpHeader(0, data, 7, nil, v4)),
		udp4(2152, gtpHeader(2, echo, 0, zeros(4), nil)), udp4(2152, gtpHeader(0, errorIndication, 0, nil, zeros(14))),
		udp4(2152, gtpHeader(0, end, 1, nil, nil)),
		udp4(2152, gtpHeader(4, data, 8, []byte{0, 1, 0, 0x85, 0}, v4)), // extension of length 0
		udp4(2152, gtpHeader(0, data, 9, nil, zeros(40))), udp4(2152, gtpHeader(0, data, 9, nil, v4)[:6]),
		udp4(2123, gtpHeader(0, data, 1, nil, v4)), // the control port
	)
}

func nested() [][]byte {
	wrappers := []func([]byte) []byte{
		func(ip []byte) []byte { return ip4(protoGRE, join(words(0, etherTypeOf(ip)), ip)) },
		func(ip []byte) []byte { return udp4(4789, join(vxlanHeader(8, 1), etherIP(ip))) },
		func(ip []byte) []byte { return ip6(innerProtocol(ip), ip) },
		func(ip []byte) []byte { return udp6(2152, gtpHeader(0, 255, 1, nil, ip)) },
		func(ip []byte) []byte { return udp4(6081, join(geneveHeader(0, 1, typeTEB, 2), etherIP(ip))) },
		func(ip []byte) []byte { return ip4(innerProtocol(ip), ip) },
	}
	var packets [][]byte
	same, mixed := tcp4(ack, zeros(10)), tcp4(ack, zeros(10))
	for n := range 6 {
		same = ip4(protoIPIP, same)
		mixed = wrappers[n](mixed)
		packets = append(packets, same, mixed)
	}
	for _, wrap := range []func([]byte) []byte{
		func(ip []byte) []byte { return ip4(protoIPIP, ip) },
		func(ip []byte) []byte { return ip4(protoGRE, join(words(0, typeIPv4), ip)) },
		func(ip []byte) []byte { return udp4(4789, join(vxlanHeader(8, 1), etherIP(ip))) },
		func(ip []byte) []byte { return udp4(1701, join(l2tpHeader(0, 1, 1), ppp(ip))) },
		func(ip []byte) []byte {
			return udp4(5247, join(capwapHeader(1, 1, 0, 0, nil), dot11(wifiQoS, toDS, 0, snapIP(ip))))
		},
		func(ip []byte) []byte { return udp4(37008, join(tzspHeader(0, 1, true), etherIP(ip))) },
	} {
		bomb := tcp4(ack, nil)
		for n := range 50 {
			bomb = wrap(bomb)
			if n < 5 {
				packets = append(packets, bomb)
			}
		}
		packets = append(packets, bomb)
	}
	return etherIPs(packets...)
}

func etherTypeOf(ip []byte) uint16 {
	if ip[0]>>4 == 6 {
		return typeIPv6
	}
	return typeIPv4
}

func innerProtocol(ip []byte) byte {
	if ip[0]>>4 == 6 {
		return protoIPv6
	}
	return protoIPIP
}

func notTunnels() (frames [][]byte) {
	for _, port := range []uint16{1701, 2152, 4789, 6081, 5246, 5247, 37008} {
		for _, payload := range [][]byte{nil, zeros(4), zeros(64), []byte("a line of text that is not a tunnel header at all")} {
			frames = append(frames, etherIPs(udp4(port, payload), udp6(port, payload))...)
		}
		frames = append(frames, etherIPs(transport(protoTCP, end{a4, 4000}, end{b4, port}, ack, zeros(64)))...)
	}
	return frames
}
