package decode_test

import (
	"testing"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/userspace/decode"
)

// linkHeaders are the octets before an IPv4 packet, by link type.
var linkHeaders = map[uint32]string{
	0:   "02000000",                                                                                   // null, in the order of the machine
	1:   eth4,                                                                                         //
	9:   "0021",                                                                                       // PPP
	12:  "",                                                                                           // raw
	50:  "ff03 0021",                                                                                  // PPP, serial
	101: "",                                                                                           // raw
	104: "0f00 0800",                                                                                  // C-HDLC
	108: "00000002",                                                                                   // loop
	113: "0000 0001 0006 020000000002 0000 0800",                                                      // SLL
	127: "0000 0800 00000000 0800 0000 020000000001 020000000002 020000000003 0000 aaaa03000000 0800", // radiotap
	228: "",                                                                                           // IPv4
	276: "0800 0000 00000001 0001 00 06 0200000000020000",                                             // SLL2
}

// The packet behind every link type that is read is the same; every other one,
// of all there are, is ignored as such and by no error.
func TestE5EveryLinkTypeIsReadOrIgnored(t *testing.T) {
	read := 0
	for link := range uint32(1 << 16) {
		header, known := linkHeaders[link]
		d := decode.Decoder{Accounting: transport}
		var p bpf.Packet
		data := octets(t, header, ipUDP, udp)
		if link == 229 {
			known, data = true, octets(t, ip6("0010 11"), udp) // IPv6
		}
		status := d.Decode(data, uint32(len(data)), link, &p)
		switch {
		case !known && status != bpf.WeirDecodeStatusSTATUS_LINK_TYPE:
			t.Errorf("link type %d: %s, want it ignored", link, status)
		case known && (status != ok || p.Key.Port[p.SrcEnd] != 5000 || p.Key.Port[p.SrcEnd^1] != 53 || p.Octets != 16):
			t.Errorf("link type %d: %s, %+v; want the UDP packet", link, status, p)
		case known:
			read++
		}
		if decode.Reads(link) != known {
			t.Errorf("Reads(%d) is %v", link, !known)
		}
	}
	t.Logf("measured: the same packet under %d link types, %d others ignored as link_type", read, 1<<16-read)
}
