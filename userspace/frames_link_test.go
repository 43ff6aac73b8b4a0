package userspace_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/weirflow/weir/bpf"
)

// tagged puts VLAN tags around a packet, the outermost first; types are those of
// the tags, ids their 16 bits.
func tagged(packet []byte, next uint16, types, ids []uint16) []byte {
	for i, ethertype := range slices.Backward(types) {
		packet, next = append(words(ids[i], next), packet...), ethertype
	}
	return ether(next, packet)
}

// TestF6VLANStacksHaveBothTheirEndsInTheKey: no tag to four of any type; a
// priority tag; a tag that ends the frame; beyond four there is a status.
func TestF6VLANStacksHaveBothTheirEndsInTheKey(t *testing.T) {
	packet := over4(t, protoTCP, tcpOf(0x02, nil, nil))
	want := func(vlan, outer uint16) decodedAs {
		return decodedAs{sport: 5000, dport: 80, protocol: protoTCP, flags: 0x02, vlan: vlan, outer: outer}
	}
	ids := []uint16{101, 102, 103, 104, 105}
	var cases []frameCase
	for _, types := range [][]uint16{
		{typeVLAN, typeVLAN, typeVLAN, typeVLAN, typeVLAN},
		{typeQinQ, typeVLAN, typeQinQ, typeVLAN, typeQinQ},
		{typeQinQ1, typeQinQ1, typeQinQ, typeVLAN, typeVLAN},
	} {
		for n, w := range []decodedAs{want(0, 0), want(101, 0), want(102, 101), want(103, 101), want(104, 101)} {
			cases = append(cases, frameCase{fmt.Sprintf("%d tags of %#x", n, types[:n]), tagged(packet, typeIPv4, types[:n], ids), statusOK, w})
		}
		cases = append(cases, frameCase{fmt.Sprintf("5 tags of %#x", types), tagged(packet, typeIPv4, types, ids), statusVLANDepth, decodedAs{}})
	}
	one := []uint16{typeVLAN}
	cases = append(cases,
		frameCase{"a priority tag has no id", tagged(packet, typeIPv4, one, []uint16{0xe000}), statusOK, want(0, 0)},
		frameCase{"a priority tag around a tag", tagged(packet, typeIPv4, []uint16{typeVLAN, typeVLAN}, []uint16{0xe000, 7}), statusOK, want(7, 0)},
		frameCase{"priority and drop bits are not of the id", tagged(packet, typeIPv4, one, []uint16{0xffff}), statusOK, want(4095, 0)},
		frameCase{"a tag at the frame's end", tagged(nil, typeVLAN, one, ids), statusLinkTruncated, decodedAs{}},
		frameCase{"half a tag at the frame's end", ether(typeVLAN, words(9)), statusLinkTruncated, decodedAs{}},
		frameCase{"IPv4 that ends with its tag", tagged(nil, typeIPv4, one, ids), statusIPTruncated, decodedAs{}},
		frameCase{"ARP in a tag", tagged(make([]byte, 28), typeARP, one, ids), statusARP, decodedAs{}},
	)
	for _, n := range []int{6, 50} {
		name := fmt.Sprintf("%d tags", n)
		data := tagged(packet, typeIPv4, slices.Repeat(one, n), slices.Repeat(ids, n))
		octets, cut := seenUpTo(t, name, data, statusVLANDepth)
		if octets != 14+4*4 {
			t.Errorf("%s: looked at %d octets, want the Ethernet header and four tags", name, octets)
		}
		cases = append(cases, frameCase{name, data, statusVLANDepth, decodedAs{}}, cut)
	}
	stacks := map[[2]uint16]bool{}
	for _, r := range framesAgree(t, cases) {
		stack := [2]uint16{r.Key.VlanOuterId, r.Key.VlanId}
		if stacks[stack] {
			t.Errorf("two records of one 5-tuple in the tags %v", stack)
		}
		stacks[stack] = true
	}
	if len(stacks) != 7 {
		t.Errorf("flows by tags: %v; want one for each of the 7 pairs of ends", stacks)
	}
}

// labelled puts MPLS labels around a payload.
func labelled(n int, payload []byte) (b []byte) {
	for i := range n {
		bottom := byte(0)
		if i == n-1 {
			bottom = 1
		}
		b = append(b, 0, byte(16+i), bottom, 64)
	}
	return append(b, payload...)
}

// session is PPPoE with PPP's protocol.
func session(protocol uint16, payload []byte) []byte {
	return slices.Concat([]byte{0x11, 0}, words(1, uint16(2+len(payload)), protocol), payload)
}

// TestF9WhatCarriesNoIPIsIgnoredByItsClass: what MPLS, PPPoE and LLC carry is
// metered if it is IP, and ignored under its reason if not.
func TestF9WhatCarriesNoIPIsIgnoredByItsClass(t *testing.T) {
	v4, v6 := over4(t, protoUDP, udpOf(t, 53, nil)), over6(protoUDP, udpOf(t, 53, nil))
	udp := decodedAs{sport: 5000, dport: 53, protocol: protoUDP}
	snap := func(ethertype uint16, payload []byte) []byte {
		return slices.Concat([]byte{0xaa, 0xaa, 3, 0, 0, 0}, words(ethertype), payload)
	}
	cases := []frameCase{
		{"MPLS over IPv4", ether(typeMPLS, labelled(1, v4)), statusOK, udp},
		{"MPLS of eight labels over IPv6", ether(typeMPLS+1, labelled(8, v6)), statusOK, udp},
		{"MPLS of nine labels", ether(typeMPLS, labelled(9, v4)), statusMPLSDepth, decodedAs{}},
		{"MPLS over a pseudowire", ether(typeMPLS, labelled(1, make([]byte, 40))), statusNotIP, decodedAs{}},
		{"MPLS without a bottom", ether(typeMPLS, labelled(3, nil)[:8]), statusLinkTruncated, decodedAs{}},
		{"MPLS with nothing below", ether(typeMPLS, labelled(1, nil)), statusLinkTruncated, decodedAs{}},
		{"PPPoE over IPv4", ether(typePPPoE, session(0x0021, v4)), statusOK, udp},
		{"PPPoE over IPv6", ether(typePPPoE, session(0x0057, v6)), statusOK, udp},
		{"PPPoE with LCP", ether(typePPPoE, session(0xc021, make([]byte, 10))), statusNotIP, decodedAs{}},
		{"PPPoE discovery", ether(0x8863, make([]byte, 20)), statusNotIP, decodedAs{}},
		{"PPPoE, cut", ether(typePPPoE, session(0x0021, nil)[:7]), statusLinkTruncated, decodedAs{}},
		{"spanning tree", ether(38, append([]byte{0x42, 0x42, 3}, make([]byte, 35)...)), statusLLC, decodedAs{}},
		{"SNAP over IPv4", ether(uint16(8+len(v4)), snap(typeIPv4, v4)), statusOK, udp},
		{"SNAP over ARP", ether(36, snap(typeARP, make([]byte, 28))), statusARP, decodedAs{}},
		{"LLC, cut", ether(3, []byte{0xaa, 0xaa, 3}), statusLLC, decodedAs{}},
		{"neither a length nor a type", ether(0x05ff, make([]byte, 40)), statusNotIP, decodedAs{}},
		{"ARP", ether(typeARP, make([]byte, 28)), statusARP, decodedAs{}},
		{"MACsec", ether(0x88e5, make([]byte, 60)), statusNotIP, decodedAs{}},
		{"LLDP", ether(0x88cc, make([]byte, 46)), statusNotIP, decodedAs{}},
		{"a header and nothing else", ether(typeIPv4, nil), statusIPTruncated, decodedAs{}},
	}
	for n := range 14 {
		cases = append(cases, frameCase{fmt.Sprintf("a runt of %d octets", n), ether(typeIPv4, v4)[:n], statusLinkTruncated, decodedAs{}})
	}
	records := framesAgree(t, cases)
	metered := uint64(0)
	for _, r := range records {
		metered += r.Dir[0].Packets
	}
	if metered != 5 || len(records) != 2 {
		t.Errorf("%d packets in %d flows, want 5 in one of each version", metered, len(records))
	}
	ignoredByClass(t, cases)
}

// ignoredByClass meters the frames in Go and compares what is ignored, reason by
// reason, octets included.
func ignoredByClass(t *testing.T, cases []frameCase) {
	t.Helper()
	var want [bpf.StatusCount]uint64
	source := &script{}
	for _, c := range cases {
		source.packets = append(source.packets, capturedFrame(c.data))
		if c.status != statusOK {
			want[c.status] += uint64(len(c.data))
		}
	}
	m := meterOf(t, source, nil)
	drain(t, m)
	for status, c := range m.Ledger().Ignored {
		if c.Octets != want[status] {
			t.Errorf("ignored as %s: %d octets, want %d", bpf.Status(status), c.Octets, want[status])
		}
	}
}
