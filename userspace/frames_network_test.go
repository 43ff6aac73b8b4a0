package userspace_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
)

// withOptions puts options of octets that are no port of anybody's behind the
// fixed IPv4 header.
func withOptions(ip []byte, octets int) []byte {
	b := slices.Concat(ip[:20], bytes.Repeat([]byte{0xee}, octets), ip[20:])
	return patched(patched(b, 0, 0x40|byte(5+octets/4)), 2, byte(len(b)>>8), byte(len(b)))
}

// TestF3IPv4OptionsAndBadHeaderLengths: ports come from behind the options, and
// a header length that cannot be is a status.
func TestF3IPv4OptionsAndBadHeaderLengths(t *testing.T) {
	udp := over4(t, protoUDP, udpOf(t, 53, make([]byte, 10)))
	tcp := over4(t, protoTCP, tcpOf(0x18, nil, make([]byte, 10)))
	whole := decodedAs{sport: 5000, dport: 53, protocol: protoUDP, payload: 10}
	var cases []frameCase
	for octets := 0; octets <= 40; octets += 4 {
		cases = append(cases,
			frameCase{fmt.Sprintf("UDP behind %d octets of options", octets), ether(typeIPv4, withOptions(udp, octets)), statusOK, whole},
			frameCase{fmt.Sprintf("TCP behind %d octets of options", octets), ether(typeIPv4, withOptions(tcp, octets)), statusOK,
				decodedAs{sport: 5000, dport: 80, protocol: protoTCP, flags: 0x18, payload: 10}},
			frameCase{fmt.Sprintf("cut behind %d octets of options", octets), ether(typeIPv4, withOptions(udp, octets)[:20+octets]), statusTransportTruncated, decodedAs{}})
		if octets > 0 {
			cases = append(cases, frameCase{fmt.Sprintf("cut inside %d octets of options", octets), ether(typeIPv4, withOptions(udp, octets)[:19+octets]), statusIPTruncated, decodedAs{}})
		}
	}
	for words := range byte(5) {
		cases = append(cases, frameCase{fmt.Sprintf("a header of %d words", words), ether(typeIPv4, patched(udp, 0, 0x40|words)), statusIPMalformed, decodedAs{}})
	}
	cases = append(cases,
		frameCase{"a header longer than the packet", ether(typeIPv4, patched(udp, 0, 0x4f)), statusIPMalformed, decodedAs{}},
		frameCase{"a header longer than the frame", ether(typeIPv4, patched(udp, 0, 0x4f, 0, 0xff, 0xff)), statusIPTruncated, decodedAs{}},
		frameCase{"a header as long as the packet", ether(typeIPv4, patched(udp[:20], 2, 0, 20)), statusOK, decodedAs{protocol: protoUDP}},
		frameCase{"another version", ether(typeIPv4, patched(udp, 0, 0x55)), statusIPMalformed, decodedAs{}},
	)
	if got := len(framesAgree(t, cases)); got != 3 {
		t.Errorf("%d flows, want UDP, TCP and one without ports", got)
	}
}

// fragmentOf4 is octets from to end of an IPv4 packet's payload as a fragment.
func fragmentOf4(ip []byte, from, end int) []byte {
	offset := uint16(from / 8)
	if end < len(ip)-20 {
		offset |= 0x2000
	}
	b := slices.Concat(ip[:20], ip[20+from:20+end])
	return patched(b, 2, words(uint16(len(b)), 77, offset)...)
}

// fragmentOf6 is the same behind a fragment header of IPv6.
func fragmentOf6(ip []byte, from, end int) []byte {
	offset := uint16(from)
	if end < len(ip)-40 {
		offset |= 1
	}
	return over6(44, slices.Concat([]byte{ip[6], 0}, words(offset, 0, 77), ip[40+from:40+end]))
}

// TestF4FragmentsAreNeverDropped: the first one counts for its ports, later ones
// under ports 0, in whatever order, overlapping or tiny.
func TestF4FragmentsAreNeverDropped(t *testing.T) {
	v4, v6 := over4(t, protoUDP, udpOf(t, 53, make([]byte, 2000))), over6(protoUDP, udpOf(t, 53, make([]byte, 2000)))
	tcp := over4(t, protoTCP, tcpOf(0x10, nil, make([]byte, 100)))
	ports := func(protocol uint8, payload uint32) decodedAs {
		return decodedAs{sport: 5000, dport: 53, protocol: protocol, payload: payload}
	}
	later := func(protocol uint8, payload uint32) decodedAs {
		return decodedAs{protocol: protocol, fragment: 1, payload: payload}
	}
	cases := []frameCase{
		{"first of IPv4", etherOf(fragmentOf4(v4, 0, 1000)), statusOK, ports(protoUDP, 992)},
		{"last of IPv4", etherOf(fragmentOf4(v4, 1000, 2008)), statusOK, later(protoUDP, 1008)},
		{"last of IPv4 before the first", etherOf(fragmentOf4(v4, 1000, 2008)), statusOK, later(protoUDP, 1008)},
		{"first of IPv4 after the last", etherOf(fragmentOf4(v4, 0, 1000)), statusOK, ports(protoUDP, 992)},
		{"IPv4 overlapping", etherOf(fragmentOf4(v4, 800, 1600)), statusOK, later(protoUDP, 800)},
		{"IPv4 overlapping the whole", etherOf(fragmentOf4(v4, 8, 2008)), statusOK, later(protoUDP, 2000)},
		{"IPv4 beyond what a packet can be", etherOf(patched(fragmentOf4(v4, 0, 1000), 6, 0x1f, 0xff)), statusOK, later(protoUDP, 1000)},
		{"tiny first of TCP, without its flags", etherOf(fragmentOf4(tcp, 0, 8)), statusOK, decodedAs{protocol: protoTCP}},
		{"tiny second of TCP, with its flags", etherOf(fragmentOf4(tcp, 8, 16)), statusOK, later(protoTCP, 8)},
		{"a later fragment without a payload", etherOf(fragmentOf4(tcp, 16, 16)), statusOK, later(protoTCP, 0)},
		{"first of IPv6", etherOf(fragmentOf6(v6, 0, 1000)), statusOK, ports(protoUDP, 992)},
		{"last of IPv6", etherOf(fragmentOf6(v6, 1000, 2008)), statusOK, later(protoUDP, 1008)},
		{"IPv6 overlapping", etherOf(fragmentOf6(v6, 800, 1600)), statusOK, later(protoUDP, 800)},
		{"atomic of IPv6", etherOf(fragmentOf6(v6, 0, 2008)), statusOK, ports(protoUDP, 2000)},
		{"atomic of IPv6 twice", etherOf(over6(44, slices.Concat([]byte{44, 0}, words(0, 0, 1), fragmentOf6(v6, 0, 2008)[40:]))), statusOK, ports(protoUDP, 2000)},
		{"later one of IPv6 whose next header is an extension", etherOf(over6(44, slices.Concat([]byte{60, 0}, words(800, 0, 1), make([]byte, 16)))), statusOK, later(60, 16)},
		{"of IPv6, cut in the fragment header", etherOf(fragmentOf6(v6, 0, 8)[:46]), statusIPTruncated, decodedAs{}},
	}
	flows := map[string][3]uint64{}
	for _, r := range framesAgree(t, cases) {
		d := r.Dir[0]
		flows[fmt.Sprintf("%d/%d:%d", r.Key.IpVersion, r.Key.Protocol, r.Key.Port[r.SrcEnd^1])] = [3]uint64{d.Packets + r.Dir[1].Packets, r.Fragments, r.Regressions}
	}
	for flow, want := range map[string][3]uint64{
		"4/17:53": {2, 0}, "4/17:0": {5, 5}, "4/6:0": {3, 2}, "6/17:53": {3, 0}, "6/17:0": {2, 2}, "6/60:0": {1, 1},
	} {
		if flows[flow] != want {
			t.Errorf("flow %s has %v packets, later fragments and regressions; want %v", flow, flows[flow], want)
		}
	}
}

// extensionOf is an IPv6 extension header of octets, a multiple of 8.
func extensionOf(next uint8, octets int) []byte {
	return append([]byte{next, byte(octets/8 - 1)}, make([]byte, octets-2)...)
}

// chained is UDP over IPv6 behind extension headers of these kinds.
func chained(t *testing.T, kinds []uint8, octets int) []byte {
	payload, next := udpOf(t, 53, make([]byte, 10)), uint8(protoUDP)
	for _, kind := range slices.Backward(kinds) {
		payload, next = append(extensionOf(next, octets), payload...), kind
	}
	return over6(next, payload)
}

// TestF5IPv6ExtensionsAreFollowedToEight: kinds may repeat; beyond eight there is
// a status, and nothing more is looked at.
func TestF5IPv6ExtensionsAreFollowedToEight(t *testing.T) {
	whole := decodedAs{sport: 5000, dport: 53, protocol: protoUDP, payload: 10}
	mixed := []uint8{0, 60, 43, 60, 135, 60, 43, 0}
	var cases []frameCase
	for n := range len(mixed) + 1 {
		cases = append(cases,
			frameCase{fmt.Sprintf("%d of several kinds", n), etherOf(chained(t, mixed[:n], 8+8*(n%3))), statusOK, whole},
			frameCase{fmt.Sprintf("%d of one kind", n), etherOf(chained(t, slices.Repeat([]uint8{60}, n), 8)), statusOK, whole})
	}
	longest := etherOf(chained(t, []uint8{60}, 2048))
	cases = append(cases,
		frameCase{"one of 2,048 octets is beyond where headers are followed to", longest, statusTransportTruncated, decodedAs{}},
		frameCase{"one that is longer than the packet", etherOf(patched(chained(t, []uint8{0}, 8), 41, 200)), statusIPMalformed, decodedAs{}},
		frameCase{"one that the frame cuts", etherOf(chained(t, []uint8{0}, 16)[:44]), statusIPTruncated, decodedAs{}},
		frameCase{"AH of length 0 is a protocol", etherOf(over6(protoAH, append([]byte{protoTCP, 0}, make([]byte, 6)...))), statusOK, decodedAs{protocol: protoAH, payload: 8}},
		frameCase{"ESP ends the chain", etherOf(patched(chained(t, []uint8{0, 60}, 8), 48, protoESP)), statusOK, decodedAs{protocol: protoESP, payload: 18}},
		frameCase{"no next header", etherOf(over6(59, make([]byte, 8))), statusOK, decodedAs{protocol: 59, payload: 8}},
	)
	seen := map[int]bool{}
	for _, n := range []int{9, 10, 50, 180} {
		name := fmt.Sprintf("%d of one kind", n)
		data := etherOf(chained(t, slices.Repeat([]uint8{60}, n), 8))
		octets, cut := seenUpTo(t, name, data, statusExtensionDepth)
		seen[octets] = true
		cases = append(cases, frameCase{name, data, statusExtensionDepth, decodedAs{}}, cut)
	}
	if len(seen) != 1 || !seen[14+40+8*8] {
		t.Errorf("the depth is found after %v octets; want 14 + 40 + 8 extensions of 8, however many there are", seen)
	}
	framesAgree(t, cases)
}
