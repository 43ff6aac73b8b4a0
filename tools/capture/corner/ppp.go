package main

import "encoding/binary"

func pppBehaviours() []behaviour {
	return []behaviour{
		ethernet("l2tp", "L2TP version 2: every combination of optional fields, PPP with and without address, control and the first octet of its protocol; control messages, version 3, LCP, and cut: these stay UDP.", at(l2tp()...)),
		ethernet("pptp", "GRE version 1 with and without acknowledgement; LCP, encryption, no sequence number, and cut: these stay GRE. Each direction has a call of its own; the flow is one.", at(pptp()...)),
	}
}

// ppp is a packet behind address and control octets.
func ppp(ip []byte) []byte { return join([]byte{0xff, 3}, words(pppOf(ip)), ip) }

func pppOf(ip []byte) uint16 {
	if ip[0]>>4 == 6 {
		return 0x57
	}
	return 0x21
}

const (
	l2tpControl  = 0x8000
	l2tpLength   = 0x4000
	l2tpSequence = 0x0800
	l2tpOffset   = 0x0200
)

// l2tpHeader is RFC 2661, section 3.1; the offset, where there is one, is 6.
func l2tpHeader(flags, tunnel, session uint16) []byte {
	b := words(flags | 2)
	if flags&l2tpLength != 0 {
		b = append(b, words(100)...)
	}
	b = append(b, words(tunnel, session)...)
	if flags&l2tpSequence != 0 {
		b = append(b, words(1, 2)...)
	}
	if flags&l2tpOffset != 0 {
		b = append(b, words(6, 0, 0, 0)...)
	}
	return b
}

func l2tp() [][]byte {
	v4, v6 := tcp4(ack, zeros(10)), tcp6(ack, zeros(10))
	var packets [][]byte
	for _, flags := range []uint16{0, l2tpLength, l2tpSequence, l2tpOffset, l2tpLength | l2tpSequence, l2tpLength | l2tpOffset, l2tpSequence | l2tpOffset, l2tpLength | l2tpSequence | l2tpOffset} {
		packets = append(packets, udp4(1701, join(l2tpHeader(flags, 7, 9), ppp(v4))))
	}
	head := l2tpHeader(l2tpLength, 7, 10)
	for _, payload := range [][]byte{
		join(head, ppp(v6)), join(head, words(0x0021), v4), join(head, []byte{0x21}, v4), join(head, []byte{0xff, 3, 0x57}, v6),
		join(head, ppp(v6)[:30]), join(head, []byte{0xff, 3}, words(0xc021), zeros(30)), join(head, words(0x0021), v6), head, head[:5], head[:1],
		join(l2tpHeader(l2tpControl|l2tpLength|l2tpSequence, 7, 0), zeros(60)), join(patched(l2tpHeader(0, 7, 9), 1, 3), ppp(v4)),
		join(patched(l2tpHeader(l2tpOffset, 7, 9), 6, 0xff, 0xff), ppp(v4)),
	} {
		packets = append(packets, udp4(1701, payload))
	}
	return etherIPs(append(packets,
		transport(protoUDP, end{b4, 1701}, end{a4, 50000}, 0, join(l2tpHeader(0, 3, 4), ppp(tcp4Back(ack, nil)))), // the other direction
		udp6(1701, join(head, ppp(v4))))...)
}

// pptpHeader is RFC 2637, section 4.1, with a sequence number.
func pptpHeader(call uint16, acknowledges bool, payload []byte) []byte {
	b := join(words(0x3001, 0x880b, uint16(len(payload)), call), binary.BigEndian.AppendUint32(nil, 5))
	if acknowledges {
		b = append(patched(b, 1, 0x81), 0, 0, 0, 4)
	}
	return append(b, payload...)
}

func pptp() [][]byte {
	v4, v6 := tcp4(ack, zeros(10)), tcp6(ack, zeros(10))
	back := serialize(pptpHeader(200, true, ppp(tcp4Back(ack, zeros(4)))), header4(b4, a4, protoGRE))
	return etherIPs(
		ip4(protoGRE, pptpHeader(100, false, ppp(v4))), back, ip4(protoGRE, pptpHeader(100, true, join([]byte{0x57}, v6))), ip6(protoGRE, pptpHeader(100, false, join(words(0x21), v4))),
		ip4(protoGRE, pptpHeader(100, false, join(words(0xc021), zeros(20)))), ip4(protoGRE, pptpHeader(100, false, join(words(0x00fd), zeros(40)))),
		ip4(protoGRE, words(0x2081, 0x880b, 0, 100, 0, 5)), // acknowledges, and no more
		ip4(protoGRE, patched(pptpHeader(100, false, ppp(v4)), 2, 8, 0)), ip4(protoGRE, pptpHeader(100, false, ppp(v4))[:15]), ip4(protoGRE, words(0x3001, 0x880b, 1)),
	)
}
