package worker

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
)

// segments make a TCP connection between two ends.
func tcp(sourcePort, destinationPort uint16, sequence, acknowledgement uint32, flags byte, payload []byte) *segment {
	at := func(last byte, port uint16) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, last}), port)
	}
	return &segment{source: at(1, sourcePort), destination: at(2, destinationPort), protocol: protocolTCP, flags: flags, sequence: sequence,
		acknowledgement: acknowledgement, payload: payload}
}

// hello is a handshake message of n octets in TLS records of at most 100, too
// short to be one of a client.
func hello(n int) []byte {
	message := append([]byte{1, byte(n >> 16), byte(n >> 8), byte(n)}, make([]byte, n)...)
	var b []byte
	for len(message) > 0 {
		k := min(len(message), 100)
		b = append(binary.BigEndian.AppendUint16(append(b, 22, 3, 1), uint16(k)), message[:k]...)
		message = message[k:]
	}
	return b
}

func TestAHelloInPiecesIsWantedUntilItIsWhole(t *testing.T) {
	var r reading
	r.take(tcp(40000, 443, 1000, 0, flagSYN, nil), false)
	if r.wants() {
		t.Error("a SYN alone makes it want more")
	}
	b := hello(500)
	r.take(tcp(40000, 443, 1001+300, 1, flagACK, b[300:]), false)
	if !r.wants() {
		t.Error("it does not want the beginning")
	}
	r.take(tcp(40000, 443, 1001, 1, flagACK, b[:300]), false)
	if r.wants() || !r.streams[0].Done() {
		t.Error("it wants more than the whole")
	}
}

func TestTheServersStreamBeginsWhereTheClientAcknowledges(t *testing.T) {
	var r reading
	r.take(tcp(40000, 443, 1001, 7001, flagACK, hello(10)), false)
	r.take(tcp(443, 40000, 7001+50, 1, flagACK, hello(100)[50:]), true)
	if !r.wants() {
		t.Fatal("a later segment is taken for the beginning")
	}
	r.take(tcp(443, 40000, 7001, 1, flagACK, hello(100)[:50]), true)
	if r.wants() {
		t.Error("it wants more than the whole")
	}
}

func TestOctetsOfHellosAreBoundedLeastRecentFirst(t *testing.T) {
	var rs readings
	rs.list.Init()
	var first, last *reading
	n := 0
	for rs.dropped == 0 {
		r := new(reading)
		r.take(tcp(40000, 443, 1, 1, flagACK, hello(16000)[:12000]), false)
		rs.settle(r)
		if first == nil {
			first = r
		}
		last = r
		n++
		if n > readingOctetsMax/10000 {
			t.Fatalf("%d readings hold %d octets", n, rs.octets)
		}
	}
	if first.wants() || !last.wants() || rs.octets > readingOctetsMax || rs.list.Len() != n-1 {
		t.Errorf("the first wants %v, the last %v; %d octets of %d of %d readings", first.wants(), last.wants(), rs.octets, rs.list.Len(), n)
	}
	last.drop()
	before := rs.octets
	rs.settle(last)
	if rs.octets >= before || rs.list.Len() != n-2 {
		t.Errorf("a reading that is done still holds %d octets", rs.octets)
	}
}

func TestPacketsAreSplitAsFarAsTheyAreThere(t *testing.T) {
	v4 := udp(53, "payload")
	v6 := append([]byte{0x60, 0, 0, 0, 0, 8 + 8 + 3, 60, 64}, make([]byte, 32)...)
	v6[23], v6[39] = 1, 2
	v6 = append(v6, 17, 0, 1, 4, 0, 0, 0, 0) // destination options
	v6 = append(v6, 0x9c, 0x40, 0, 53, 0, 11, 0, 0, 'a', 'b', 'c', 'p', 'a', 'd')
	for name, c := range map[string]struct {
		packet []byte
		want   string
	}{
		"IPv4":                {v4, "192.0.2.1:40001 192.0.2.2:53 payload"},
		"padding":             {append(v4[:len(v4):len(v4)], 0, 0, 0), "192.0.2.1:40001 192.0.2.2:53 payload"},
		"IPv6 with extension": {v6, "[::1]:40000 [::2]:53 abc"},
	} {
		s, ok := splitPacket(c.packet)
		if got := fmt.Sprintf("%v %v %s", s.source, s.destination, s.payload); !ok || got != c.want {
			t.Errorf("%s: %s, %v; want %s", name, got, ok, c.want)
		}
		for n := range len(c.packet) {
			splitPacket(c.packet[:n]) // must not read past the end
		}
	}
	later := append([]byte(nil), v4...)
	later[7] = 9
	if _, ok := splitPacket(later); ok {
		t.Error("a later fragment is taken")
	}
}

func FuzzReading(f *testing.F) {
	f.Add(udp(53, dnsQuery), udp(443, "\xc0\x00\x00\x00\x01\x00\x00"))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var r reading
		for i, packet := range [][]byte{a, b, a} {
			if s, ok := splitPacket(packet); ok {
				r.take(&s, i == 1)
			}
		}
		if r.size() > 200_000 {
			t.Errorf("%d octets are held", r.size())
		}
		c := Classifier{}
		e := entry{reading: &r}
		if _, err := ParseVerdict(appendDetails(appendUnknown(nil, ""), c.gather(&e))); err != nil {
			t.Error(err)
		}
	})
}
