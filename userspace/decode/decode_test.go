package decode_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/userspace/decode"
)

// octets reads hexadecimal digits, blanks aside; "xN" after a group repeats it.
func octets(tb testing.TB, text ...string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(strings.Join(text, ""), " ", ""))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

const (
	macs    = "0200000000020200000000 01"
	eth4    = macs + "0800"
	eth6    = macs + "86dd"
	ipUDP   = "4500 0024 0000 0000 40 11 0000 0a000001 0a000002"
	udp     = "1388 0035 0010 0000 0102030405060708"
	ipTCP   = "4500 002c 0000 0000 40 06 0000 0a000002 0a000001"
	tcp     = "01bb c350 00000000 00000000 50 12 0000 0000 0000 01020304"
	ip6Head = "60000000 %s 40 20010db8000000000000000000000001 20010db8000000000000000000000002"
)

// ip6 is an IPv6 header with payload length and next header.
func ip6(lengthAndNext string) string { return strings.Replace(ip6Head, "%s", lengthAndNext, 1) }

// want is what a case looks at.
type want struct {
	status               bpf.Status
	sport, dport         uint16
	protocol, version    uint8
	octets, payload, l3  uint32
	vlan, outer          uint16
	tunnel               uint8
	tunnelKey            uint32
	flags, fragment, typ uint8
}

const (
	ok        = bpf.WeirDecodeStatusSTATUS_OK
	transport = bpf.WeirAccountingACCOUNTING_TRANSPORT
)

var okUDP = want{sport: 5000, dport: 53, protocol: 17, version: 4, octets: 16, payload: 8}

func (w want) at(l3 uint32) want { w.l3 = l3; return w }

func bad(s bpf.Status) want { return want{status: s} }

var cases = []struct {
	name   string
	link   uint32
	data   []string
	length uint32 // 0: as long as data
	want   want
}{
	{"UDP over Ethernet", 1, []string{eth4, ipUDP, udp}, 0, okUDP.at(14)},
	{"TCP flags and payload", 1, []string{eth4, ipTCP, tcp}, 0,
		want{sport: 443, dport: 50000, protocol: 6, version: 4, octets: 24, payload: 4, l3: 14, flags: 0x12}},
	{"raw IP", 101, []string{ipUDP, udp}, 0, okUDP.at(0)},
	{"raw IP of another version", 101, []string{"90"}, 0, bad(bpf.WeirDecodeStatusSTATUS_NOT_IP)},
	{"IPv4 by link type", 228, []string{ipUDP, udp}, 0, okUDP.at(0)},
	{"loopback, little-endian", 0, []string{"02000000", ipUDP, udp}, 0, okUDP.at(4)},
	{"loopback, big-endian", 108, []string{"00000002", ipUDP, udp}, 0, okUDP.at(4)},
	{"Linux cooked", 113, []string{"0000 0001 0006 020000000001 0000 0800", ipUDP, udp}, 0, okUDP.at(16)},
	{"Linux cooked 2", 276, []string{"0800 0000 00000001 0001 00 06 0200000000010000", ipUDP, udp}, 0, okUDP.at(20)},
	{"PPP with address and control", 9, []string{"ff03 0021", ipUDP, udp}, 0, okUDP.at(4)},
	{"PPP without", 50, []string{"0021", ipUDP, udp}, 0, okUDP.at(2)},
	{"Cisco HDLC", 104, []string{"0f00 0800", ipUDP, udp}, 0, okUDP.at(4)},
	{"Cisco keep-alive", 104, []string{"8f00 8035 00000002"}, 0, bad(bpf.WeirDecodeStatusSTATUS_NOT_IP)},
	{"unknown link type", 105, []string{eth4, ipUDP, udp}, 0, bad(bpf.WeirDecodeStatusSTATUS_LINK_TYPE)},
	{"802.11 beacon", 127, []string{"0000 0800 00000000", "8000 0000 ffffffffffff 020000000001 020000000001 0000"}, 0, bad(bpf.WeirDecodeStatusSTATUS_WIFI)},
	{"nothing captured", 1, nil, 60, bad(bpf.WeirDecodeStatusSTATUS_LINK_TRUNCATED)},
	{"ARP", 1, []string{macs, "0806", "0001"}, 0, bad(bpf.WeirDecodeStatusSTATUS_ARP)},
	{"spanning tree", 1, []string{macs, "0026 424203 0000000000"}, 0, bad(bpf.WeirDecodeStatusSTATUS_LLC)},
	{"SNAP", 1, []string{macs, "002c aaaa03 000000 0800", ipUDP, udp}, 0, okUDP.at(22)},
	{"LLDP", 1, []string{macs, "88cc 0207"}, 0, bad(bpf.WeirDecodeStatusSTATUS_NOT_IP)},
	{"two tags of three kinds", 1, []string{macs, "88a8 2064 8100 0007 0800", ipUDP, udp}, 0,
		want{sport: 5000, dport: 53, protocol: 17, version: 4, octets: 16, payload: 8, l3: 22, vlan: 7, outer: 100}},
	{"four tags", 1, []string{macs, "8100 0001 9100 0002 8100 0003 8100 0004 0800", ipUDP, udp}, 0,
		want{sport: 5000, dport: 53, protocol: 17, version: 4, octets: 16, payload: 8, l3: 30, vlan: 4, outer: 1}},
	{"five tags", 1, []string{macs, "8100 0001 8100 0002 8100 0003 8100 0004 8100 0005 0800"}, 0,
		bad(bpf.WeirDecodeStatusSTATUS_VLAN_DEPTH)},
	{"half a tag", 1, []string{macs, "8100 00"}, 0, bad(bpf.WeirDecodeStatusSTATUS_LINK_TRUNCATED)},
	{"two MPLS labels", 1, []string{macs, "8847 00010040 00011140", ipUDP, udp}, 0, okUDP.at(22)},
	{"MPLS without a bottom", 1, []string{macs, "8847", strings.Repeat("00010040", 9)}, 0, bad(bpf.WeirDecodeStatusSTATUS_MPLS_DEPTH)},
	{"PPPoE session", 1, []string{macs, "8864 1100 0001 0026 0021", ipUDP, udp}, 0, okUDP.at(22)},
	{"PPPoE control", 1, []string{macs, "8864 1100 0001 0026 c021"}, 0, bad(bpf.WeirDecodeStatusSTATUS_NOT_IP)},
	{"header length below 20", 1, []string{eth4, "44", ipUDP[2:], udp}, 0, bad(bpf.WeirDecodeStatusSTATUS_IP_MALFORMED)},
	{"total length below the header's", 1, []string{eth4, "4500 0013", ipUDP[9:], udp}, 0, bad(bpf.WeirDecodeStatusSTATUS_IP_MALFORMED)},
	{"total length 0 is the frame's", 1, []string{eth4, "4500 0000", ipUDP[9:], udp}, 0, okUDP.at(14)},
	{"options not captured", 1, []string{eth4, "46", ipUDP[2:]}, 60, bad(bpf.WeirDecodeStatusSTATUS_IP_TRUNCATED)},
	{"ports not captured", 1, []string{eth4, ipUDP, "1388"}, 50, bad(bpf.WeirDecodeStatusSTATUS_TRANSPORT_TRUNCATED)},
	{"too short for UDP by its own word", 1, []string{eth4, "4500 0018", ipUDP[9:], "13880035"}, 0,
		want{protocol: 17, version: 4, octets: 4, l3: 14}},
	{"first fragment", 1, []string{eth4, "4500 0024 0000 2000", ipUDP[19:], udp}, 0, okUDP.at(14)},
	{"later fragment", 1, []string{eth4, "4500 0024 0000 2001", ipUDP[19:], udp}, 0,
		want{protocol: 17, version: 4, octets: 16, payload: 16, l3: 14, fragment: 1}},
	{"ICMP type and no ports", 1, []string{eth4, "4500 001e 0000 0000 40 01", ipUDP[25:], "0800 0000 0001 0001 aabb"}, 0,
		want{protocol: 1, version: 4, octets: 10, payload: 2, l3: 14, typ: 8}},
	{"SCTP", 1, []string{eth4, "4500 0024 0000 0000 40 84", ipUDP[25:], udp}, 0,
		want{sport: 5000, dport: 53, protocol: 132, version: 4, octets: 16, payload: 16, l3: 14}},
	{"ESP", 1, []string{eth4, "4500 0024 0000 0000 40 32", ipUDP[25:], udp}, 0,
		want{protocol: 50, version: 4, octets: 16, payload: 16, l3: 14}},
	{"IPv6", 1, []string{eth6, ip6("0010 11"), udp}, 0,
		want{sport: 5000, dport: 53, protocol: 17, version: 6, octets: 16, payload: 8, l3: 14}},
	{"IPv6 under IPv4's Ethertype", 1, []string{eth4, ip6("0010 11"), udp}, 0, bad(bpf.WeirDecodeStatusSTATUS_IP_MALFORMED)},
	{"hop-by-hop, destination, routing", 1, []string{eth6, ip6("0028 00"), "3c00000000000000", "2b00000000000000", "1100000000000000", udp}, 0,
		want{sport: 5000, dport: 53, protocol: 17, version: 6, octets: 16, payload: 8, l3: 14}},
	{"later fragment of IPv6", 1, []string{eth6, ip6("0018 2c"), "3c 00 0009 00000001", udp}, 0,
		want{protocol: 60, version: 6, octets: 16, payload: 16, l3: 14, fragment: 1}},
	{"nine extensions", 1, []string{eth6, ip6("0058 00"), strings.Repeat("0000000000000000", 9), udp}, 0,
		bad(bpf.WeirDecodeStatusSTATUS_EXTENSION_DEPTH)},
	{"extension longer than the packet", 1, []string{eth6, ip6("0010 00"), "11 05 000000000000", udp}, 0,
		bad(bpf.WeirDecodeStatusSTATUS_IP_MALFORMED)},
	{"IP in IP is no tunnel", 1, []string{eth4, "4500 0038 0000 0000 40 04", ipUDP[25:], ipUDP, udp}, 0, okUDP.at(34)},
	{"protocol 4 with something else inside", 1, []string{eth4, "4500 0024 0000 0000 40 04", ipUDP[25:], udp}, 0,
		want{protocol: 4, version: 4, octets: 16, payload: 16, l3: 14}},
	{"five IP headers in each other", 1, []string{eth4, strings.Repeat("4500 00ff 0000 0000 40 04"+ipUDP[25:], 4), ipUDP, udp}, 300, okUDP.at(94)},
	{"six are too many", 1, []string{eth4, strings.Repeat("4500 00ff 0000 0000 40 04"+ipUDP[25:], 5), ipUDP, udp}, 300,
		bad(bpf.WeirDecodeStatusSTATUS_TUNNEL_DEPTH)},
	{"GRE with key", 1, []string{eth4, "4500 0040 0000 0000 40 2f", ipUDP[25:], "2000 0800 00000007", ipUDP, udp}, 0,
		want{sport: 5000, dport: 53, protocol: 17, version: 4, octets: 16, payload: 8, l3: 42, tunnel: 6, tunnelKey: 7}},
	{"VXLAN", 1, []string{eth4, "4500 00ff", ipUDP[9:], "c000 12b5 00eb 0000", "0800000000002a00", eth4, ipUDP, udp}, 0,
		want{sport: 5000, dport: 53, protocol: 17, version: 4, octets: 16, payload: 8, l3: 64, tunnel: 5, tunnelKey: 42}},
	{"Geneve with an option", 1, []string{eth4, "4500 00ff", ipUDP[9:], "c000 17c1 00eb 0000", "01000800 00002a00 00000000", ipUDP, udp}, 0,
		want{sport: 5000, dport: 53, protocol: 17, version: 4, octets: 16, payload: 8, l3: 54, tunnel: 7, tunnelKey: 42}},
	{"GTP-U with an extension header", 1, []string{eth4, "4500 00ff", ipUDP[9:], "0868 0868 00eb 0000", "34ff 0010 0000002a 0000 00 85 01 0000 00", ipUDP, udp}, 0,
		want{sport: 5000, dport: 53, protocol: 17, version: 4, octets: 16, payload: 8, l3: 58, tunnel: 1, tunnelKey: 42}},
	{"GTP-U echo stays what it is", 1, []string{eth4, ipUDP, "0868 0868 0010 0000", "3201 0000 00000000"}, 0,
		want{sport: 2152, dport: 2152, protocol: 17, version: 4, octets: 16, payload: 8, l3: 14}},
}

func TestEveryHeaderAndEveryReason(t *testing.T) {
	seen := map[bpf.Status]bool{bpf.WeirDecodeStatusSTATUS_FILTERED: true}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			data := octets(t, c.data...)
			d := decode.Decoder{Accounting: transport, DecodeTunnels: true, Point: 3}
			p := bpf.Packet{TimeNs: 42}
			status := d.Decode(data, max(c.length, uint32(len(data))), c.link, &p)
			seen[status] = true
			got := want{status: status}
			if status == ok {
				got = want{ok, p.Key.Port[p.SrcEnd], p.Key.Port[p.SrcEnd^1], p.Key.Protocol, p.Key.IpVersion, p.Octets, p.PayloadOctets,
					p.L3Offset, p.Key.VlanId, p.Key.VlanOuterId, p.Key.TunnelId, p.TunnelKey, p.TcpFlags, p.Fragment, p.IcmpType}
				if p.TimeNs != 42 || p.Key.Point != 3 {
					t.Errorf("time %d, point %d", p.TimeNs, p.Key.Point)
				}
			}
			if got != c.want {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
	for s := range bpf.Status(bpf.StatusCount) {
		if !seen[s] {
			t.Errorf("no case for status %s", s)
		}
	}
}

func TestTunnelsAreLeftAloneWhenAsked(t *testing.T) {
	data := octets(t, eth4, "4500 0040 0000 0000 40 2f", ipUDP[25:], "2000 0800 00000007", ipUDP, udp)
	var d decode.Decoder
	var p bpf.Packet
	if s := d.Decode(data, uint32(len(data)), 1, &p); s != ok || p.Key.Protocol != 47 || p.Key.TunnelId != 0 {
		t.Errorf("%s %+v", s, p)
	}
}

func TestAccountingModes(t *testing.T) {
	data := octets(t, eth4, ipTCP, tcp)
	for mode, want := range []uint32{100, 44, 24, 4} {
		d := decode.Decoder{Accounting: bpf.Accounting(mode)}
		var p bpf.Packet
		if s := d.Decode(data, 100, 1, &p); s != ok || p.Octets != want {
			t.Errorf("mode %d: %s, %d octets, want %d", mode, s, p.Octets, want)
		}
	}
}

// FuzzDecode looks for a frame that panics or breaks what callers rely on.
func FuzzDecode(f *testing.F) {
	for _, c := range cases {
		f.Add(octets(f, c.data...), c.link, uint8(3))
	}
	f.Fuzz(func(t *testing.T, data []byte, link uint32, mode uint8) {
		d := decode.Decoder{Accounting: bpf.Accounting(mode % 4), DecodeTunnels: mode&4 != 0}
		var p, again bpf.Packet
		status := d.Decode(data, uint32(len(data)), link, &p)
		if status != d.Decode(data, uint32(len(data)), link, &again) || p != again {
			t.Fatal("the same frame decodes in two ways")
		}
		if status == ok {
			holds(t, &p, data)
		} else if int(status) >= bpf.StatusCount {
			t.Fatalf("status %d", status)
		}
	})
}

// holds checks what the meter and the samples rely on.
func holds(t *testing.T, p *bpf.Packet, data []byte) {
	t.Helper()
	k := &p.Key
	if int(p.L3Offset) >= len(data) || data[p.L3Offset]>>4 != k.IpVersion {
		t.Errorf("no IPv%d header at octet %d of %d", k.IpVersion, p.L3Offset, len(data))
	}
	if p.SrcEnd > 1 || p.SrcEnd == 1 && k.Addr[0] == k.Addr[1] && k.Port[0] == k.Port[1] {
		t.Errorf("source end %d of %+v", p.SrcEnd, k)
	}
	if p.Fragment == 1 && k.Port != [2]uint16{} {
		t.Errorf("a later fragment has ports: %+v", k)
	}
	if k.VlanOuterId != 0 && k.VlanId > 0xfff {
		t.Errorf("VLAN ids %d, %d", k.VlanOuterId, k.VlanId)
	}
}

func TestBothDirectionsHaveOneKey(t *testing.T) {
	for _, c := range [][2][]string{
		{{eth4, ipUDP, udp}, {eth4, "4500 0024 0000 0000 40 11 0000 0a000002 0a000001", "0035 1388 0010 0000 0102030405060708"}},
		{{eth6, ip6("0010 11"), udp}, {eth6, "60000000 0010 11 40 20010db8000000000000000000000002 20010db8000000000000000000000001", "0035 1388 0010 0000 0102030405060708"}},
		{{eth4, "4500 0024 0000 0000 40 11 0000 0a000001 0a000001", udp}, {eth4, "4500 0024 0000 0000 40 11 0000 0a000001 0a000001", "0035 1388 0010 0000 0102030405060708"}},
	} {
		var d decode.Decoder
		var a, b bpf.Packet
		d.Decode(octets(t, c[0]...), 50, 1, &a)
		d.Decode(octets(t, c[1]...), 50, 1, &b)
		if a.Key != b.Key || a.SrcEnd == b.SrcEnd {
			t.Errorf("%+v\n%+v", a, b)
		}
	}
}

func TestFromAnEndToItselfEverythingIsForward(t *testing.T) {
	data := octets(t, eth4, "4500 0024 0000 0000 40 11 0000 0a000001 0a000001", "1388 1388 0010 0000 0102030405060708")
	var d decode.Decoder
	var p bpf.Packet
	if d.Decode(data, 50, 1, &p); p.SrcEnd != 0 {
		t.Errorf("source end %d", p.SrcEnd)
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, c := range cases {
		if c.want.status != ok {
			continue
		}
		switch c.name {
		case "TCP flags and payload", "IPv6", "four tags", "VXLAN":
		default:
			continue
		}
		data := octets(b, c.data...)
		b.Run(strings.ReplaceAll(c.name, " ", "_"), func(b *testing.B) {
			d := decode.Decoder{DecodeTunnels: true}
			var p bpf.Packet
			b.ReportAllocs()
			for b.Loop() {
				d.Decode(data, 100, c.link, &p)
			}
		})
	}
}
