package main

import "net"

func wifiBehaviours() []behaviour {
	return []behaviour{
		ethernet("capwap", "CAPWAP data: 802.11 with its octets in order and swapped, QoS, four addresses, 802.3; optional header fields; keep-alives, DTLS, fragments, management, encryption, other bindings: these stay UDP.", at(capwap()...)),
		ethernet("tzsp", "TZSP with no tag to sixteen, padding, tags without an end, Ethernet and 802.11 inside, and other types and versions: these stay UDP.", at(tzsp()...)),
		{"radiotap", "802.11 data frames behind radiotap headers of several lengths: to, from and between access points, QoS, HT control, padding; damaged, encrypted, aggregated, fragments, and no data at all.", []file{
			{"radiotap.pcap", at(radiotap()...), pcapOf(linkRadiotap)},
		}},
	}
}

var (
	macC = net.HardwareAddr{2, 0, 0, 0, 0, 0xc}
	macD = net.HardwareAddr{2, 0, 0, 0, 0, 0xd}
)

// Frame control of IEEE 802.11, section 9.2.4.1: the first octet, then flags.
const (
	wifiData    = 0x08
	wifiNull    = 0x48
	wifiQoS     = 0x88
	wifiQoSNull = 0xc8
	wifiBeacon  = 0x80

	toDS      = 1 << 0
	fromDS    = 1 << 1
	moreFrag  = 1 << 2
	protected = 1 << 6
	order     = 1 << 7
)

// dot11 is a frame from B to A by way of C, with what frame control asks for.
func dot11(control, flags byte, sequence uint16, body []byte) []byte {
	frame := join([]byte{control, flags, 0, 0}, macC, macB, macA, []byte{byte(sequence), byte(sequence >> 8)})
	if flags&(toDS|fromDS) == toDS|fromDS {
		frame = append(frame, macD...)
	}
	if control&0x80 != 0 && control&0x0f == wifiData {
		frame = append(frame, 0, 0)
		if flags&order != 0 {
			frame = append(frame, zeros(4)...)
		}
	}
	return append(frame, body...)
}

// swapped is a frame as Cisco's access points hand it on.
func swapped(frame []byte) []byte {
	s := patched(patched(frame, 0, frame[1], frame[0]), 22, frame[23], frame[22])
	if frame[0] == wifiQoS {
		s = patched(s, 24, frame[25], frame[24])
	}
	return s
}

// snapIP is an IP packet behind LLC and SNAP.
func snapIP(ip []byte) []byte { return snap(etherTypeOf(ip), ip) }

// capwapHeader is RFC 5415, section 4.3; optional is behind the fixed 8 octets.
func capwapHeader(binding, native, flags byte, offset uint16, optional []byte) []byte {
	length := byte(8+len(optional)) / 4
	return join([]byte{0, length << 3, 0x40 | binding<<1 | native, flags}, words(1, offset<<3), optional)
}

const (
	capwapFragment  = 1 << 7
	capwapKeepAlive = 1 << 3
	capwapRadioMAC  = 1 << 4
	capwapWireless  = 1 << 5
)

func capwap() [][]byte {
	v4, v6 := tcp4(ack, zeros(10)), tcp6(ack, zeros(10))
	plain := capwapHeader(1, 1, 0, 0, nil)
	wireless := capwapHeader(1, 1, capwapWireless, 0, []byte{4, 0x2d, 0x10, 0, 0, 0, 0, 0})
	radio := capwapHeader(1, 1, capwapRadioMAC, 0, join([]byte{6}, macC, []byte{0}))
	station := dot11(wifiData, toDS, 16, snapIP(v4))
	var packets [][]byte
	for _, payload := range [][]byte{
		join(plain, station), join(wireless, swapped(station)), join(radio, station),
		join(plain, dot11(wifiQoS, fromDS, 16, snapIP(v6))), join(wireless, swapped(dot11(wifiQoS, toDS, 32, snapIP(v4)))), join(wireless, swapped(dot11(wifiData, toDS, 0x1010, snapIP(v4)))),
		join(wireless, swapped(dot11(wifiData, toDS, 0x1011, snapIP(v4)))), join(wireless, swapped(patched(dot11(wifiQoS, toDS, 0, snapIP(v4)), 24, 0x80))),
		join(plain, dot11(wifiData, toDS|fromDS, 0, snapIP(v4))), join(plain, dot11(wifiQoS, toDS|order, 0, snapIP(v4))),
		join(capwapHeader(1, 0, 0, 0, nil), etherIP(v4)), join(capwapHeader(1, 0, 0, 0, nil), eth(typeVLAN, tag(8, typeIPv6, v6))),
		join(capwapHeader(1, 1, capwapFragment, 0, nil), station), // the first fragment shows its headers
		join(capwapHeader(1, 1, capwapFragment, 128, nil), station),
		join(capwapHeader(0, 0, capwapKeepAlive, 0, nil), words(22, 35, 16), zeros(16)),
		join(plain, dot11(wifiBeacon, 0, 0, zeros(60))), join(wireless, swapped(dot11(0x40, 0, 0, zeros(60)))),
		join(plain, dot11(wifiNull, toDS, 0, nil)), join(plain, dot11(wifiQoSNull, toDS, 0, nil), zeros(40)),
		join(plain, dot11(wifiData, toDS|protected, 0, snapIP(v4))), join(plain, dot11(wifiData, toDS, 1, snapIP(v4))),
		join(plain, dot11(wifiData, fromDS, 0, snap(typeARP, zeros(28)))), join(plain, dot11(wifiData, fromDS, 0, join([]byte{0x42, 0x42, 3}, zeros(40)))),
		join(capwapHeader(3, 1, 0, 0, nil), station), patched(join(plain, station), 0, 1), patched(join(plain, station), 0, 0x10),
		patched(join(plain, station), 1, 1<<3), patched(join(plain, station), 1, 31<<3), plain, plain[:4], join(plain, station[:30]),
	} {
		packets = append(packets, udp4(5247, payload))
	}
	return etherIPs(append(packets,
		udp6(5247, join(plain, station)), udp4(5246, join(plain, station)),
		transport(protoUDP, end{b4, 5247}, end{a4, 12345}, 0, join(plain, dot11(wifiData, fromDS, 0, snapIP(tcp4Back(ack, nil))))))...)
}

// tzspHeader is version 1 with tags, and an end if ended.
func tzspHeader(kind byte, carries uint16, ended bool, tags ...[]byte) []byte {
	b := join([]byte{1, kind}, words(carries), join(tags...))
	if ended {
		b = append(b, 1)
	}
	return b
}

func tzsp() [][]byte {
	const ethernetInside, wifiInside = 1, 18
	frame, station := etherIP(tcp4(ack, zeros(10))), dot11(wifiQoS, toDS, 0, snapIP(tcp6(ack, zeros(10))))
	signal, count, padding := []byte{10, 1, 0xc0}, []byte{40, 4, 0, 0, 0, 9}, []byte{0}
	sixteen := make([][]byte, 16)
	for i := range sixteen {
		sixteen[i] = signal
	}
	var packets [][]byte
	for _, payload := range [][]byte{
		join(tzspHeader(0, ethernetInside, true), frame), join(tzspHeader(1, ethernetInside, true), frame),
		join(tzspHeader(0, ethernetInside, true, padding, padding), frame),
		join(tzspHeader(0, ethernetInside, true, signal, padding, count, []byte{60, 0}), frame),
		join(tzspHeader(0, ethernetInside, true, sixteen[:15]...), frame), join(tzspHeader(0, ethernetInside, true, sixteen...), frame),
		join(tzspHeader(0, wifiInside, true, signal), station), join(tzspHeader(0, wifiInside, true), dot11(wifiBeacon, 0, 0, zeros(60))),
		join(tzspHeader(0, ethernetInside, true), eth(typeVLAN, tag(6, typeIPv4, tcp4(ack, nil)))),
		join(tzspHeader(0, ethernetInside, false), frame), tzspHeader(0, ethernetInside, false, []byte{40, 200}),
		tzspHeader(0, ethernetInside, false, []byte{40}), tzspHeader(0, ethernetInside, true), tzspHeader(4, 0, true),
		join(tzspHeader(2, ethernetInside, true), frame), join(tzspHeader(0, 119, true), zeros(60)),
		patched(join(tzspHeader(0, ethernetInside, true), frame), 0, 2), {1, 0},
	} {
		packets = append(packets, udp4(37008, payload))
	}
	return etherIPs(append(packets, udp6(37008, join(tzspHeader(0, ethernetInside, true), frame)))...)
}

// radiotapHeader is radiotap.org's, with the fields behind the first word.
func radiotapHeader(present byte, fields ...byte) []byte {
	return join([]byte{0, 0, byte(8 + len(fields)), 0, present, 0, 0, 0}, fields)
}

func radiotap() (frames [][]byte) {
	const tsft, flags, dataPad, fcs, badFCS = 1, 2, 0x20, 0x10, 0x40
	v4, v6 := udp4(53, zeros(12)), udp6(53, zeros(12))
	bare := radiotapHeader(0)
	for _, f := range [][]byte{
		dot11(wifiData, toDS, 16, snapIP(v4)), dot11(wifiData, fromDS, 16, snapIP(v6)), dot11(wifiData, 0, 16, snapIP(v4)),
		dot11(wifiData, toDS|fromDS, 16, snapIP(v4)), dot11(wifiQoS, toDS, 16, snapIP(v4)), dot11(wifiQoS, toDS|fromDS, 16, snapIP(v6)),
		dot11(wifiQoS, fromDS|order, 16, snapIP(v4)), dot11(wifiData, fromDS, 16, snap(typeVLAN, join(words(9, typeIPv4), v4))),
		dot11(wifiData, toDS|moreFrag, 0, snapIP(v4)), dot11(wifiData, toDS, 1, snapIP(v4)), dot11(wifiData, toDS|protected, 16, snapIP(v4)),
		patched(dot11(wifiQoS, toDS, 16, snapIP(v4)), 24, 0x80), // aggregated
		dot11(wifiNull, toDS, 0, nil), dot11(wifiBeacon, 0, 0, zeros(60)), {0xd4, 0, 0, 0, 2, 0, 0, 0, 0, 1},
		dot11(wifiData, toDS, 0, snap(typeARP, zeros(28))), dot11(wifiData, toDS, 0, snap(0x0100, zeros(28))), dot11(wifiData, toDS, 0, zeros(40)),
		patched(dot11(wifiData, toDS, 0, snapIP(v4)), 0, wifiData|1), // version 1
	} {
		frames = append(frames, join(bare, f))
	}
	data, padded := dot11(wifiData, toDS, 0, snapIP(v4)), dot11(wifiQoS, toDS, 0, join([]byte{0, 0}, snapIP(v4)))
	more := []byte{0, 0, 17, 0, 2, 0, 0, 0x80, 0, 0, 0, 0x80, 0, 0, 0, 0} // three words of what is present
	endless := join([]byte{0, 0, 44, 0, 2, 0, 0, 0x80}, zeros(36))
	for i := 8; i < 44; i += 4 {
		endless[i+3] = 0x80
	}
	return append(frames,
		join(radiotapHeader(flags, fcs), data, zeros(4)), join(radiotapHeader(flags, badFCS), data),
		join(radiotapHeader(tsft|flags, 1, 2, 3, 4, 5, 6, 7, 8, fcs), data), join(radiotapHeader(tsft|flags, 1, 2, 3, 4, 5, 6, 7, 8, fcs|badFCS), data),
		join(radiotapHeader(flags, dataPad), padded), join(more, []byte{badFCS}, data), join(more, []byte{0}, data), join(endless, data),
		patched(join(bare, data), 0, 1), patched(join(bare, data), 2, 7), patched(join(bare, data), 2, 0xff, 0xff), bare, bare[:7], join(bare, data[:23]), join(bare, data[:28]),
	)
}
