package feature

import (
	"net/netip"
	"testing"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/userspace"
)

// The vectors are those of the specification's baseline. Of ICMP, the ports are
// type and, for one-way messages, code.
func TestCommunityIDIsTheSpecifications(t *testing.T) {
	for _, c := range []struct {
		protocol     uint8
		src, dst     string
		sport, dport uint16
		want         string
	}{
		{58, "fe80::200:86ff:fe05:80da", "fe80::260:97ff:fe07:69ea", 135, 0, "1:dGHyGvjMfljg6Bppwm3bg0LO8TY="},
		{58, "fe80::260:97ff:fe07:69ea", "fe80::200:86ff:fe05:80da", 136, 0, "1:dGHyGvjMfljg6Bppwm3bg0LO8TY="},
		{58, "fe80::260:97ff:fe07:69ea", "fe80::200:86ff:fe05:80da", 135, 0, "1:zavyT/cezQr1fmImYCwYnMXbgck="},
		{58, "fe80::200:86ff:fe05:80da", "fe80::260:97ff:fe07:69ea", 136, 0, "1:zavyT/cezQr1fmImYCwYnMXbgck="},
		{58, "3ffe:501:1800:2345::2", "3ffe:507:0:1:200:86ff:fe05:80da", 3, 0, "1:2ObVBgIn28oZvibYZhZMBgh7WdQ="},
		{58, "3ffe:501:410:0:2c0:dfff:fe47:33e", "3ffe:507:0:1:200:86ff:fe05:80da", 1, 4, "1:hLZd0XGWojozrvxqE0dWB1iM6R0="},
		{58, "3ffe:507:0:1:200:86ff:fe05:80da", "3ffe:501:0:1001::2", 128, 0, "1:+TW+HtLHvV1xnGhV1lv7XoJrqQg="},
		{58, "3ffe:501:0:1001::2", "3ffe:507:0:1:200:86ff:fe05:80da", 129, 0, "1:+TW+HtLHvV1xnGhV1lv7XoJrqQg="},
		{58, "fe80::200:86ff:fe05:80da", "ff02::2", 133, 0, "1:hO+sN4H+MG5MY/8hIrXPqc4ZQz0="},
		{58, "fe80::260:97ff:fe07:69ea", "ff02::1", 134, 0, "1:pkvHqCL88/tg1k4cPigmZXUtL00="},
		{1, "192.168.0.89", "192.168.0.1", 8, 0, "1:X0snYXpgwiv9TZtqg64sgzUn6Dk="},
		{1, "192.168.0.1", "192.168.0.89", 0, 0, "1:X0snYXpgwiv9TZtqg64sgzUn6Dk="},
		{1, "10.0.0.1", "10.0.0.2", 11, 0, "1:YHxtAirCG//0OzkcVAukqKQN9xM="},
		{6, "2001:470:e5bf:dead:4957:2174:e82c:4887", "2607:f8b0:400c:c03::1a", 63943, 25, "1:/qFaeAR+gFe1KYjMzVDsMv+wgU4="},
		{6, "2607:f8b0:400c:c03::1a", "2001:470:e5bf:dead:4957:2174:e82c:4887", 25, 63943, "1:/qFaeAR+gFe1KYjMzVDsMv+wgU4="},
		{132, "192.168.170.8", "192.168.170.56", 7, 7, "1:MP2EtRCAUIZvTw6MxJHLV7N7JDs="},
		{132, "192.168.170.56", "192.168.170.8", 7, 7, "1:MP2EtRCAUIZvTw6MxJHLV7N7JDs="},
		{6, "128.232.110.120", "66.35.250.204", 34855, 80, "1:LQU9qZlK+B5F3KDmev6m5PMibrg="},
		{6, "66.35.250.204", "128.232.110.120", 80, 34855, "1:LQU9qZlK+B5F3KDmev6m5PMibrg="},
		{17, "192.168.1.52", "8.8.8.8", 54585, 53, "1:d/FP5EW3wiY1vCndhwleRRKHowQ="},
		{17, "8.8.8.8", "192.168.1.52", 53, 54585, "1:d/FP5EW3wiY1vCndhwleRRKHowQ="},
		{46, "10.1.12.1", "10.1.12.2", 0, 0, "1:KHlLkgoJW7ifUTyTSgyVfkFHzKw="},
		{46, "10.1.12.2", "10.1.12.1", 0, 0, "1:KHlLkgoJW7ifUTyTSgyVfkFHzKw="},
	} {
		for end := range uint8(2) {
			f := conversation(c.protocol, c.src, c.dst, c.sport, c.dport, end)
			if got := string(appendCommunityID(nil, &Row{Flow: f})); got != c.want {
				t.Errorf("protocol %d, %s:%d to %s:%d, source at end %d: %s, want %s", c.protocol, c.src, c.sport, c.dst, c.dport, end, got, c.want)
			}
		}
	}
}

// conversation is a flow whose source is at the given end of its key.
func conversation(protocol uint8, src, dst string, sport, dport uint16, end uint8) *userspace.Flow {
	from, to := netip.MustParseAddr(src), netip.MustParseAddr(dst)
	f := &userspace.Flow{Record: bpf.Record{SrcEnd: end}}
	k := &f.Record.Key
	k.Protocol, k.IpVersion = protocol, 6
	if from.Is4() {
		k.IpVersion = 4
	}
	copy(k.Addr[end][:], from.AsSlice())
	copy(k.Addr[end^1][:], to.AsSlice())
	if protocol == protocolICMP || protocol == protocolICMPv6 {
		f.Record.IcmpType, f.Record.IcmpCode = uint8(sport), uint8(dport)
	} else {
		k.Port[end], k.Port[end^1] = sport, dport
	}
	return f
}

func BenchmarkCommunityID(b *testing.B) {
	r := &Row{Flow: conversation(protocolTCP, "10.0.0.1", "10.0.0.2", 1, 2, 0)}
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = appendCommunityID(dst[:0], r)
	}
}
