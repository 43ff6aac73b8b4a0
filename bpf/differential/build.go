package differential

import (
	"encoding/binary"
	"slices"

	"github.com/weirflow/weir/bpf"
)

// Frames are built from the inside out, each layer in front of what it carries.

const (
	typeIPv4  = 0x0800
	typeARP   = 0x0806
	typeTEB   = 0x6558
	typeVLAN  = 0x8100
	typeQinQ  = 0x88a8
	typeIPv6  = 0x86dd
	typeMPLS  = 0x8847
	typePPPoE = 0x8864
)

// A flow is whom a built frame is between. There are few, so that they come
// again, in both directions.
type flow struct {
	version  byte
	protocol byte
	ends     [2]byte
	ports    [2]uint16
}

func chooseFlow(c Choices) flow {
	f := flow{
		version:  pick[byte](c, 4, 4, 6),
		protocol: pick[byte](c, 6, 6, 17, 17, 1, 58, 132, 33, 136, 50, 4, 41, 47),
		ends:     [2]byte{1, pick[byte](c, 2, 3, 1)},
		ports:    [2]uint16{pick[uint16](c, 5000, 5001, 53), pick[uint16](c, 53, 443, 5000)},
	}
	if oneIn(c, 2) {
		slices.Reverse(f.ends[:])
		slices.Reverse(f.ports[:])
	}
	return f
}

// Build makes a frame of a link type: well-formed but for what it says of its
// own lengths, now and then.
func Build(c Choices, link uint32) []byte {
	f := chooseFlow(c)
	packet := ip(c, f, transport(c, f))
	for range pick(c, 0, 0, 0, 0, 0, 1, 1, 2, 4, 5) {
		packet = tunnel(c, f.version, packet)
	}
	return linkLayer(c, link, packet)
}

func words(w ...uint16) (b []byte) {
	for _, v := range w {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	return b
}

func etherType(packet []byte) uint16 {
	if packet[0]>>4 == 6 {
		return typeIPv6
	}
	return typeIPv4
}

// lie is a length, as it is or wrong.
func lie(c Choices, n int) uint16 {
	if !oneIn(c, 16) {
		return uint16(n)
	}
	return pick(c, 0, 1, uint16(n-1), uint16(n+1), uint16(n+100), 0xffff, uint16(c.IntN(64)))
}

// --- transport ---

func transport(c Choices, f flow) []byte {
	payload := make([]byte, pick(c, 0, 1, 8, 40, 200, 1200))
	ports := words(f.ports[0], f.ports[1])
	switch f.protocol {
	case 6:
		return tcp(c, ports, payload)
	case 17, 136:
		return slices.Concat(ports, words(lie(c, 8+len(payload)), 0), payload)
	case 1, 58:
		return slices.Concat([]byte{byte(pick(c, 8, 0, 3, 128, 129, 135)), byte(c.IntN(3))}, make([]byte, 6), payload)
	case 132, 33:
		return slices.Concat(ports, make([]byte, 12), payload)
	}
	return payload
}

func tcp(c Choices, ports, payload []byte) []byte {
	var options []byte
	for range pick(c, 0, 0, 1, 3) {
		options = append(options, pick(c, []byte{2, 4, 5, 0xb4}, []byte{1}, []byte{1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2},
			[]byte{4, 2}, []byte{3, 3, 7}, []byte{0}, []byte{5, 1}, []byte{2, 4})...)
	}
	options = append(options, make([]byte, -len(options)&3)...)
	flags := pick[byte](c, 0x02, 0x12, 0x10, 0x18, 0x11, 0x04, 0x14, 0x00, 0xff)
	size := byte(20+len(options)) / 4
	if oneIn(c, 16) {
		size = byte(c.IntN(16))
	}
	sequence := words(pick[uint16](c, 0, 0, 0xffff, 0x8000), pick[uint16](c, 0, 1, 40, 200, 1200, 1201, 0xffff))
	return slices.Concat(ports, sequence, words(0, 1), []byte{size << 4, flags}, words(pick[uint16](c, 0, 1024, 0xffff), 0, 0), options, payload)
}

// --- network ---

func ip(c Choices, f flow, payload []byte) []byte {
	if f.version == 6 {
		return ip6(c, f, payload)
	}
	return ip4(c, f, payload)
}

func ip4(c Choices, f flow, payload []byte) []byte {
	options := make([]byte, 4*pick(c, 0, 0, 0, 0, 1, 10))
	head := words(uint16(0x4500|len(options)/4<<8|c.IntN(2)*0x48), lie(c, 20+len(options)+len(payload)), 1,
		pick[uint16](c, 0, 0x4000, 0, 0, 0, 0, 0x2000, 0x2001, 185))
	head = append(head, 64, f.protocol, 0, 0, 10, 0, 0, f.ends[0], 10, 0, 0, f.ends[1])
	if oneIn(c, 32) {
		head[0] = byte(c.IntN(256))
	}
	return slices.Concat(head, options, payload)
}

func ip6(c Choices, f flow, payload []byte) []byte {
	next := f.protocol
	for range pick(c, 0, 0, 0, 0, 1, 2, 8, 9) {
		kind := pick[byte](c, 0, 43, 44, 60, 135)
		extension := []byte{next, 0, 0, 0, 0, 0, 0, 0}
		if kind == 44 {
			binary.BigEndian.PutUint16(extension[2:], pick[uint16](c, 0, 1, 8, 9))
		} else if n := pick(c, 0, 0, 1, 255); n < 255 || oneIn(c, 4) {
			extension[1] = byte(n)
			extension = append(extension, make([]byte, 8*(n&3))...)
		}
		payload = append(extension, payload...)
		next = kind
	}
	address := func(end byte) []byte {
		return []byte{0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, end}
	}
	return slices.Concat(words(0x6000|uint16(c.IntN(2))<<6, 0, lie(c, len(payload))), []byte{next, 64}, address(f.ends[0]), address(f.ends[1]), payload)
}

// --- tunnels ---

// tunnel wraps a packet into an outer one of a version of its own.
func tunnel(c Choices, version byte, packet []byte) []byte {
	outer := flow{version: pick(c, version, 4, 6), ends: [2]byte{pick[byte](c, 7, 8), 8}}
	if oneIn(c, 4) { // IP in IP
		outer.protocol = 4
		if etherType(packet) == typeIPv6 {
			outer.protocol = 41
		}
		return ip(c, outer, packet)
	}
	if oneIn(c, 3) {
		outer.protocol = 47
		return ip(c, outer, gre(c, packet))
	}
	outer.protocol = 17
	port, payload := overUDP(c, packet)
	outer.ports = [2]uint16{pick(c, 9999, port), port}
	return ip(c, outer, slices.Concat(words(outer.ports[0], outer.ports[1], lie(c, 8+len(payload)), 0), payload))
}

func gre(c Choices, packet []byte) []byte {
	flags := pick[uint16](c, 0, 0x2000, 0x8000, 0xb000, 0x3000, 0x4000, 1)
	inner := etherType(packet)
	if oneIn(c, 3) {
		inner, packet = typeTEB, ethernet(c, packet)
	}
	head := words(flags, inner)
	for _, bit := range []uint16{0x8000, 0x2000, 0x1000} {
		if flags&bit != 0 {
			head = append(head, words(0, uint16(c.IntN(3)))...)
		}
	}
	return append(head, packet...)
}

// overUDP is a packet in one of the tunnels that have a port: VXLAN, Geneve,
// GTP-U, L2TP, TZSP, CAPWAP.
func overUDP(c Choices, packet []byte) (port uint16, payload []byte) {
	inner, options := etherType(packet), pick(c, 0, 0, 1, 2, 63)
	switch c.IntN(6) {
	case 0:
		return 4789, slices.Concat(words(uint16(pick(c, 8, 8, 8, 0))<<8, 0, 0, uint16(c.IntN(3))<<8), ethernet(c, packet))
	case 1:
		if oneIn(c, 2) {
			inner, packet = typeTEB, ethernet(c, packet)
		}
		return 6081, slices.Concat(words(uint16(options)<<8, inner, 0, uint16(c.IntN(3))<<8), make([]byte, 4*options), packet)
	case 2:
		return 2152, gtpu(c, packet)
	case 3:
		return 1701, slices.Concat(words(pick[uint16](c, 2, 0x4002, 0x0802, 0x8002), 1, 2, 3), pick(c, nil, words(0xff03)), words(ppp(packet)), packet)
	case 4:
		return 37008, slices.Concat(words(0x0100, 1), pick(c, []byte{1}, []byte{0, 0, 1}, []byte{10, 1, 7, 1}), ethernet(c, packet))
	}
	return pick[uint16](c, 5246, 5247), slices.Concat(words(0x0010, 0x0200, 0, 0), wireless(c, packet))
}

// wireless is an IEEE 802.11 data frame with LLC/SNAP.
func wireless(c Choices, packet []byte) []byte {
	control := pick[uint16](c, 0x0800, 0x0801, 0x8801, 0x0803, 0x4801, 0x8000)
	head := append(words(control, 0), make([]byte, 20)...)
	if control>>8 == 0x88 {
		head = append(head, 0, 0)
	}
	return slices.Concat(head, words(0xaaaa, 0x0300, 0, etherType(packet)), packet)
}

func gtpu(c Choices, packet []byte) []byte {
	flags := pick(c, 0x30, 0x30, 0x32, 0x34, 0x37, 0x20)
	head := words(uint16(flags)<<8|0xff, uint16(len(packet)), 0, uint16(c.IntN(3)))
	if flags&7 == 0 {
		return append(head, packet...)
	}
	count := pick(c, 0, 1, 2, 8, 9)
	next := func(i int) byte {
		if i < count {
			return 0x85
		}
		return 0
	}
	head = append(head, 0, 0, 0, next(0))
	for i := range count {
		head = append(head, 1, 0, 0, next(i+1))
	}
	return append(head, packet...)
}

// --- link ---

// ethernetKinds is how many there are of what may stand between Ethernet and IP,
// most of them nothing.
const ethernetKinds = 12

func ethernet(c Choices, packet []byte) []byte {
	kind := etherType(packet)
	switch c.IntN(ethernetKinds) {
	case 0:
		packet = slices.Concat(words(0x1100, 1, uint16(2+len(packet)), ppp(packet)), packet)
		kind = typePPPoE
	case 1:
		labels := pick(c, 1, 2, 7, 8, 9)
		for i := range labels {
			bottom := byte(0)
			if i == 0 {
				bottom = 1
			}
			packet = append([]byte{0, 1, bottom, 64}, packet...)
		}
		kind = typeMPLS
	case 2:
		packet = slices.Concat(words(0xaaaa, 0x0300, 0, kind), packet)
		kind = uint16(len(packet))
	case 3:
		kind = pick[uint16](c, typeARP, 0x88cc, 0x0026, 0x05dd)
	}
	for range pick(c, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 4, 5) {
		packet = slices.Concat(words(uint16(c.IntN(3)), kind), packet)
		kind = pick[uint16](c, typeVLAN, typeQinQ, 0x9100)
	}
	return slices.Concat([]byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1}, words(kind), packet)
}

func ppp(packet []byte) uint16 {
	if etherType(packet) == typeIPv6 {
		return 0x0057
	}
	return 0x0021
}

// linkLayer puts a packet behind a header of the link type. One that is not known
// here gets Ethernet's.
func linkLayer(c Choices, link uint32, packet []byte) []byte {
	kind := etherType(packet)
	switch bpf.LinkType(link) {
	case bpf.WeirLinkTypeLINK_RAW, bpf.WeirLinkTypeLINK_RAW_BSD, bpf.WeirLinkTypeLINK_IPV4, bpf.WeirLinkTypeLINK_IPV6:
		return packet
	case bpf.WeirLinkTypeLINK_NULL, bpf.WeirLinkTypeLINK_LOOP:
		family := pick[byte](c, 2, 2, 10, 24, 28, 30, 7)
		return append(pick(c, []byte{0, 0, 0, family}, []byte{family, 0, 0, 0}), packet...)
	case bpf.WeirLinkTypeLINK_SLL:
		return slices.Concat(words(0, 1, 6, 0, 0, 0, 0, kind), packet)
	case bpf.WeirLinkTypeLINK_SLL2:
		return slices.Concat(words(kind, 0, 0, 1, 1, 6, 0, 0, 0, 0), packet)
	case bpf.WeirLinkTypeLINK_PPP, bpf.WeirLinkTypeLINK_PPP_SERIAL, bpf.WeirLinkTypeLINK_C_HDLC:
		return append(pick(c, words(ppp(packet)), words(0xff03, ppp(packet)), words(0x0f00, kind), words(0xc021)), packet...)
	case bpf.WeirLinkTypeLINK_RADIOTAP:
		return slices.Concat([]byte{0, 0, 8, 0, 0, 0, 0, 0}, wireless(c, packet))
	}
	return ethernet(c, packet)
}
