package decode_test

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/userspace/decode"
)

// in4 is an IPv4 packet from 192.0.2.1 to 192.0.2.2.
func in4(protocol byte, payload []byte) []byte {
	h := []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2}
	binary.BigEndian.PutUint16(h[2:], uint16(20+len(payload)))
	return append(h, payload...)
}

// overUDP is a payload in a UDP packet from port 50000.
func overUDP(port uint16, payload []byte) []byte {
	h := binary.BigEndian.AppendUint16([]byte{0xc3, 0x50}, port)
	h = binary.BigEndian.AppendUint16(h, uint16(8+len(payload)))
	return in4(17, slices.Concat(h, []byte{0, 0}, payload))
}

func ethernet(etherType uint16, payload []byte) []byte {
	h := []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1}
	return append(binary.BigEndian.AppendUint16(h, etherType), payload...)
}

// A wrapper puts a packet into one kind of tunnel.
type wrapper struct {
	name   string
	kind   bpf.TunnelKind
	key    uint32
	keyed  bool // the key tells flows apart
	header int  // octets between the outer IP header and the inner one
	wrap   func(tb testing.TB, ip []byte) []byte
}

// over is a wrapper's function: hexadecimal digits in front of the packet, over
// UDP to a port, or GRE for 0.
func over(port uint16, header ...string) func(testing.TB, []byte) []byte {
	return func(tb testing.TB, ip []byte) []byte {
		payload := append(octets(tb, header...), ip...)
		if port == 0 {
			return in4(47, payload)
		}
		return overUDP(port, payload)
	}
}

const (
	snap4   = "aaaa03 000000 0800"
	macs3   = "0000 02000000000c 02000000000b 02000000000a"
	capwap8 = "00 10 43 00 0000 0000"
	wifiIn  = "0800" + macs3 + "0000" + snap4
)

var wrappers = []wrapper{
	{"IP in IP", bpf.WeirTunnelKindTUNNEL_NONE, 0, false, 0, func(_ testing.TB, ip []byte) []byte { return in4(4, ip) }},
	{"GRE", bpf.WeirTunnelKindTUNNEL_GRE, 0, true, 4, over(0, "0000 0800")},
	{"GRE with checksum, key and sequence", bpf.WeirTunnelKindTUNNEL_GRE, 7, true, 16, over(0, "b000 0800 00000000 00000007 00000001")},
	{"Ethernet in GRE", bpf.WeirTunnelKindTUNNEL_GRE, 9, true, 22, over(0, "2000 6558 00000009", eth4)},
	{"ERSPAN I", bpf.WeirTunnelKindTUNNEL_GRE, 0, true, 18, over(0, "0000 88be", eth4)},
	{"ERSPAN II", bpf.WeirTunnelKindTUNNEL_GRE, 0x205, true, 30, over(0, "1000 88be 00000001", "1001 fe05 00000000", eth4)},
	{"ERSPAN III", bpf.WeirTunnelKindTUNNEL_GRE, 5, true, 34, over(0, "1000 22eb 00000001", "2001 0005 00000000 0000 0000", eth4)},
	{"ERSPAN III with the platform's octets", bpf.WeirTunnelKindTUNNEL_GRE, 5, true, 42, over(0, "1000 22eb 00000001", "2001 0005 00000000 0000 0001 0000000000000000", eth4)},
	{"PPTP", bpf.WeirTunnelKindTUNNEL_GRE, 100, false, 16, over(0, "3001 880b 0020 0064 00000001", "ff03 0021")},
	{"PPTP that acknowledges", bpf.WeirTunnelKindTUNNEL_GRE, 100, false, 17, over(0, "3081 880b 0020 0064 00000001 00000001", "21")},
	{"VXLAN", bpf.WeirTunnelKindTUNNEL_VXLAN, 42, true, 30, over(4789, "0800000000002a00", eth4)},
	{"Geneve with an option", bpf.WeirTunnelKindTUNNEL_GENEVE, 42, true, 20, over(6081, "01000800 00002a00 00000000")},
	{"Ethernet in Geneve", bpf.WeirTunnelKindTUNNEL_GENEVE, 42, true, 30, over(6081, "00006558 00002a00", eth4)},
	{"GTP-U", bpf.WeirTunnelKindTUNNEL_GTP, 42, false, 16, over(2152, "30ff 0010 0000002a")},
	{"GTP-U with two extension headers", bpf.WeirTunnelKindTUNNEL_GTP, 42, false, 32, over(2152, "34ff 0010 0000002a 0000 00 85", "01 0000 c0", "02 0000000000 00 00")},
	{"CAPWAP", bpf.WeirTunnelKindTUNNEL_CAPWAP, 0, true, 48, over(5247, capwap8, wifiIn)},
	{"CAPWAP with octets swapped", bpf.WeirTunnelKindTUNNEL_CAPWAP, 0, true, 48, over(5247, capwap8, "0108", macs3, "1010", snap4)},
	{"CAPWAP with QoS and wireless information", bpf.WeirTunnelKindTUNNEL_CAPWAP, 0, true, 58, over(5247, "00 20 43 20 0000 0000 042d100000000000", "8801", macs3, "0000 0000", snap4)},
	{"CAPWAP between access points", bpf.WeirTunnelKindTUNNEL_CAPWAP, 0, true, 54, over(5247, capwap8, "0803", macs3, "0000 02000000000d", snap4)},
	{"CAPWAP with HT control", bpf.WeirTunnelKindTUNNEL_CAPWAP, 0, true, 54, over(5247, capwap8, "8881", macs3, "0000 0000 00000000", snap4)},
	{"CAPWAP of 802.3 frames", bpf.WeirTunnelKindTUNNEL_CAPWAP, 0, true, 30, over(5247, "00 10 40 00 0000 0000", eth4)},
	{"TZSP", bpf.WeirTunnelKindTUNNEL_TZSP, 0, true, 27, over(37008, "01 00 0001 01", eth4)},
	{"TZSP with tags and padding", bpf.WeirTunnelKindTUNNEL_TZSP, 0, true, 36, over(37008, "01 00 0001 00 0a01c0 00 2802aabb 01", eth4)},
	{"TZSP of 802.11", bpf.WeirTunnelKindTUNNEL_TZSP, 0, true, 45, over(37008, "01 01 0012 01", wifiIn)},
	{"L2TP", bpf.WeirTunnelKindTUNNEL_L2TP, 7<<16 | 9, false, 18, over(1701, "0002 0007 0009", "ff03 0021")},
	{"L2TP with everything", bpf.WeirTunnelKindTUNNEL_L2TP, 7<<16 | 9, false, 28, over(1701, "4a02 0064 0007 0009 0001 0002 0003 000000", "ff03 21")},
	{"L2TP without address and control", bpf.WeirTunnelKindTUNNEL_L2TP, 7<<16 | 9, false, 16, over(1701, "0002 0007 0009", "0021")},
}

// innermost is what is at the bottom of every tunnel here.
func innermost(tb testing.TB) []byte { return octets(tb, ipUDP, udp) }

func decoded(data []byte, length int) (bpf.Packet, bpf.Status) { return decodedAs(1, data, length) }

func decodedAs(link uint32, data []byte, length int) (p bpf.Packet, status bpf.Status) {
	d := decode.Decoder{Accounting: transport, DecodeTunnels: true}
	status = d.Decode(data, uint32(max(length, len(data))), link, &p)
	return p, status
}

func TestEveryTunnelShowsItsInnerPacket(t *testing.T) {
	for _, w := range wrappers {
		t.Run(w.name, func(t *testing.T) {
			p, status := decoded(ethernet(0x0800, w.wrap(t, innermost(t))), 0)
			if status != ok || p.Key.Port[p.SrcEnd] != 5000 || p.L3Offset != uint32(14+20+w.header) {
				t.Fatalf("%s, from port %d, IP header at %d; want 5000, %d", status, p.Key.Port[p.SrcEnd], p.L3Offset, 14+20+w.header)
			}
			if p.Key.TunnelId != uint8(w.kind) || p.TunnelKey != w.key {
				t.Errorf("tunnel %d, key %d; want %d, %d", p.Key.TunnelId, p.TunnelKey, w.kind, w.key)
			}
			if inKey := map[bool]uint32{true: w.key}[w.keyed]; p.Key.TunnelKey != inKey {
				t.Errorf("the flow key has tunnel key %d, want %d", p.Key.TunnelKey, inKey)
			}
			if p.OuterIpVersion != 4 || [4]byte(p.OuterAddr[0][:]) != [4]byte{192, 0, 2, 1} || [4]byte(p.OuterAddr[1][:]) != [4]byte{192, 0, 2, 2} {
				t.Errorf("outer version %d, %v", p.OuterIpVersion, p.OuterAddr)
			}
		})
	}
}

// TestATunnelCutShortStaysItsOuterPacket cuts each tunnel behind every octet: as
// soon as the inner IP header is there it is the packet, and before it is not.
func TestATunnelCutShortStaysItsOuterPacket(t *testing.T) {
	for _, w := range wrappers {
		whole := ethernet(0x0800, w.wrap(t, innermost(t)))
		inner := 14 + 20 + w.header
		for n := range len(whole) {
			p, status := decoded(whole[:n], len(whole))
			switch {
			case status == ok && n < inner+20 && p.Key.TunnelId == 0 && p.L3Offset == 14 && p.OuterIpVersion == 0:
			case status == bpf.WeirDecodeStatusSTATUS_TRANSPORT_TRUNCATED && (n < 14+20+8 || n >= inner+20):
			case status != ok && n < 14+20:
			case status == ok && n >= inner+20+8 && p.L3Offset == uint32(inner):
			default:
				t.Errorf("%s, %d of %d octets: %s, tunnel %d, IP header at %d", w.name, n, len(whole), status, p.Key.TunnelId, p.L3Offset)
			}
		}
	}
}

// TestATunnelHeaderThatLiesLeadsNowhere sets every octet of every tunnel header to
// values that lengths and flags do not expect.
func TestATunnelHeaderThatLiesLeadsNowhere(t *testing.T) {
	for _, w := range wrappers {
		whole := ethernet(0x0800, w.wrap(t, innermost(t)))
		for at := 34; at < 34+w.header; at++ {
			for _, value := range []byte{0, 1, 0x7f, 0x80, 0xff} {
				data := slices.Clone(whole)
				data[at] = value
				if p, status := decoded(data, 0); status == ok {
					holds(t, &p, data)
				} else if int(status) >= bpf.StatusCount {
					t.Errorf("%s, octet %d set to %#x: status %d", w.name, at, value, status)
				}
			}
		}
	}
}

// TestFourTunnelsAreFollowedAndABombCostsNoMore puts each tunnel into itself.
func TestFourTunnelsAreFollowedAndABombCostsNoMore(t *testing.T) {
	for _, w := range wrappers {
		data, offset := innermost(t), uint32(0)
		for depth := 1; depth <= 50; depth++ {
			data = w.wrap(t, data)
			p, status := decoded(ethernet(0x0800, data), 0)
			switch {
			case depth <= 4 && (status != ok || p.L3Offset != uint32(14+depth*(20+w.header))):
				t.Errorf("%s, %d deep: %s, IP header at %d", w.name, depth, status, p.L3Offset)
			case depth == 5:
				offset = p.L3Offset
				fallthrough
			case depth > 5:
				if status != bpf.WeirDecodeStatusSTATUS_TUNNEL_DEPTH || p.L3Offset != offset {
					t.Errorf("%s, %d deep: %s, looked at until %d, want %d", w.name, depth, status, p.L3Offset, offset)
				}
			}
		}
	}
}

func TestTheOutermostTunnelNamesThePacket(t *testing.T) {
	byName := map[string]wrapper{}
	for _, w := range wrappers {
		byName[w.name] = w
	}
	for _, c := range []struct {
		outer, inner string
		kind         bpf.TunnelKind
		key          uint32
	}{
		{"VXLAN", "GTP-U", bpf.WeirTunnelKindTUNNEL_VXLAN, 42},
		{"GRE with checksum, key and sequence", "VXLAN", bpf.WeirTunnelKindTUNNEL_GRE, 7},
		{"IP in IP", "L2TP", bpf.WeirTunnelKindTUNNEL_L2TP, 7<<16 | 9},
		{"CAPWAP", "IP in IP", bpf.WeirTunnelKindTUNNEL_CAPWAP, 0},
	} {
		p, status := decoded(ethernet(0x0800, byName[c.outer].wrap(t, byName[c.inner].wrap(t, innermost(t)))), 0)
		if status != ok || p.Key.TunnelId != uint8(c.kind) || p.TunnelKey != c.key {
			t.Errorf("%s in %s: %s, tunnel %d, key %d; want %d, %d", c.inner, c.outer, status, p.Key.TunnelId, p.TunnelKey, c.kind, c.key)
		}
	}
}

// TestTagsCountInsideOfATunnelAndOutside is of tagged frames in a tagged frame: both
// ends of the whole stack are in the key, and one too many ends it.
func TestTagsCountInsideOfATunnelAndOutside(t *testing.T) {
	const vxlan = "0800000000002a00"
	for _, c := range []struct {
		inside       string
		status       bpf.Status
		vlan, outer  uint16
		headerOctets uint32
	}{
		{"0800", ok, 100, 0, 0},
		{"8100 0065 0800", ok, 101, 100, 4},
		{"88a8 0065 8100 0066 9100 0067 0800", ok, 103, 100, 12},
		{"8100 0065 8100 0066 8100 0067 8100 0068 0800", bpf.WeirDecodeStatusSTATUS_VLAN_DEPTH, 0, 0, 0},
	} {
		tunnel := over(4789, vxlan, macs, c.inside)(t, innermost(t))
		p, status := decoded(ethernet(0x8100, append([]byte{0, 100, 8, 0}, tunnel...)), 0)
		if status != c.status {
			t.Errorf("%s: %s, want %s", c.inside, status, c.status)
		}
		if status == ok && (p.Key.VlanId != c.vlan || p.Key.VlanOuterId != c.outer || p.L3Offset != 18+20+8+8+14+c.headerOctets) {
			t.Errorf("%s: VLAN %d in %d, IP header at %d", c.inside, p.Key.VlanId, p.Key.VlanOuterId, p.L3Offset)
		}
	}
}

// TestOtherThingsInATunnelLeaveItWhatItIs is of headers that announce no packet.
func TestOtherThingsInATunnelLeaveItWhatItIs(t *testing.T) {
	inner := innermost(t)
	for name, data := range map[string][]byte{
		"CAPWAP keep-alive":          over(5247, "00 10 40 08 0000 0000")(t, inner),
		"CAPWAP in DTLS":             over(5247, "01 000000")(t, inner),
		"CAPWAP, a later fragment":   over(5247, "00 10 43 80 0001 0100", wifiIn)(t, inner),
		"CAPWAP of another binding":  over(5247, "00 10 47 00 0000 0000", wifiIn)(t, inner),
		"CAPWAP, encrypted":          over(5247, capwap8, "0841", macs3, "0000", snap4)(t, inner),
		"CAPWAP, aggregated":         over(5247, capwap8, "8801", macs3, "0000 8000", snap4)(t, inner),
		"CAPWAP, 802.11 fragment":    over(5247, capwap8, "0801", macs3, "0100", snap4)(t, inner),
		"CAPWAP, no data":            over(5247, capwap8, "4801", macs3, "0000", snap4)(t, inner),
		"CAPWAP, a beacon":           over(5247, capwap8, "8000", macs3, "0000", snap4)(t, inner),
		"CAPWAP, header too short":   over(5247, "00 08 43 00 0000 0000", wifiIn)(t, inner),
		"TZSP without an end":        over(37008, "01 00 0001 00 00", eth4)(t, inner),
		"TZSP keep-alive":            over(37008, "01 04 0000 01")(t, inner),
		"TZSP of something else":     over(37008, "01 00 0077 01", eth4)(t, inner),
		"L2TP control":               over(1701, "c802 0014 0007 0000 0000 0000")(t, inner),
		"L2TP version 3":             over(1701, "0003 0007 0009", "ff03 0021")(t, inner),
		"L2TP with LCP":              over(1701, "0002 0007 0009", "ff03 c021")(t, inner),
		"PPTP without a payload":     over(0, "2081 880b 0000 0064 00000001")(t, inner),
		"PPTP, encrypted":            over(0, "3001 880b 0020 0064 00000001", "00fd")(t, inner),
		"ERSPAN of another version":  over(0, "1000 88be 00000001", "2001 0005 00000000", eth4)(t, inner),
		"ERSPAN III of other frames": over(0, "1000 22eb 00000001", "2001 0005 00000000 0000 0800", eth4)(t, inner),
		"VXLAN of ARP":               over(4789, "0800000000002a00", macs, "0806")(t, inner),
		"VXLAN of ARP with tags":     over(4789, "0800000000002a00", macs, "88a8 0064 8100 0065 0806")(t, inner),
		"VXLAN cut behind a tag":     over(4789, "0800000000002a00", macs, "8100 0065")(t, nil),
		"GRE with routing":           over(0, "4000 0800 00000000")(t, inner),
		"GRE version 2":              over(0, "0002 0800")(t, inner),
	} {
		p, status := decoded(ethernet(0x0800, data), 0)
		if status != ok || p.L3Offset != 14 || p.Key.TunnelId != 0 || p.TunnelKey != 0 || p.OuterIpVersion != 0 {
			t.Errorf("%s: %s, IP header at %d, tunnel %d", name, status, p.L3Offset, p.Key.TunnelId)
		}
	}
}
