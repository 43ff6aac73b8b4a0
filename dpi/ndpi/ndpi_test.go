//go:build cgo && !nodpi

package ndpi

import (
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/weirflow/weir/tools/procstatus"
)

func open(t testing.TB) *Module {
	t.Helper()
	m, err := Open(Files{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// packet is an IPv4 packet of the protocol with the transport octets.
func packet(protocol byte, transport ...byte) []byte {
	b := append(ipv4(20+len(transport), 20, 0), transport...)
	b[8], b[9] = 64, protocol
	copy(b[12:], []byte{192, 0, 2, 1, 192, 0, 2, 2})
	return b
}

func udp(source, destination uint16, payload string) []byte {
	b := make([]byte, 8, 8+len(payload))
	binary.BigEndian.PutUint16(b, source)
	binary.BigEndian.PutUint16(b[2:], destination)
	binary.BigEndian.PutUint16(b[4:], uint16(8+len(payload)))
	return packet(17, append(b, payload...)...)
}

func tcp(source, destination uint16, sequence uint32, payload string) []byte {
	b := make([]byte, 20, 20+len(payload))
	binary.BigEndian.PutUint16(b, source)
	binary.BigEndian.PutUint16(b[2:], destination)
	binary.BigEndian.PutUint32(b[4:], sequence)
	binary.BigEndian.PutUint32(b[8:], 1)
	b[12], b[13] = 5<<4, 0x18
	return packet(6, append(b, payload...)...)
}

// dnsQuery asks for the address of a.example.org.
const dnsQuery = "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x07example\x03org\x00\x00\x01\x00\x01"

func feed(m *Module, f *Flow, packet []byte) State {
	return m.Feed(f, packet, uint32(len(packet)), 1)
}

func TestVersionIsARelease(t *testing.T) {
	if !Available() || strings.Count(Version(), ".") < 2 {
		t.Errorf("available %v, version %q", Available(), Version())
	}
}

func TestTheLibraryIsTheOneThatWasBuiltFor(t *testing.T) {
	l, err := Loaded()
	if err != nil || l.API == 0 || l.API != l.BuiltAPI {
		t.Errorf("%+v, %v", l, err)
	}
	if release := fmt.Sprintf("%d.%d.", l.BuiltMajor, l.BuiltMinor); !strings.HasPrefix(l.Version, release) {
		t.Errorf("built for %s, loaded is %s", release, l.Version)
	}
}

func TestTheLibraryListsWhatItKnows(t *testing.T) {
	m := open(t)
	dns := slices.IndexFunc(m.Protocols(), func(p Protocol) bool { return p.Name == "DNS" })
	if dns < 0 || m.Protocols()[dns].Category != "Network" || m.Protocols()[dns].Breed == "" {
		t.Errorf("DNS is at %d of %v", dns, m.Protocols())
	}
	if n := len(m.Protocols()); n < 250 {
		t.Errorf("%d protocols", n)
	}
	if c := m.Categories(); len(c) < 30 || c[0] != "Unspecified" {
		t.Errorf("categories %q", c)
	}
	if r := m.Risks(); len(r) < 30 || !slices.ContainsFunc(r, func(name string) bool { return strings.Contains(name, "Self-signed") }) {
		t.Errorf("risks %q", r)
	}
}

func TestAVerdictOfEveryKind(t *testing.T) {
	m := open(t)
	const request = "GET / HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: caf\xe9 1.0\r\nAccept: */*\r\n\r\n"
	const response = "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nok"
	for name, c := range map[string]struct {
		packets [][]byte
		check   func(r *Result) bool
	}{
		"by dissection": {[][]byte{udp(5000, 53, dnsQuery)}, func(r *Result) bool {
			return string(r.ApplicationName) == "DNS" && r.Confidence == 4 && !r.Guessed && string(r.ServerName) == "a.example.org"
		}},
		"by port": {[][]byte{tcp(5000, 22, 1, "")}, func(r *Result) bool {
			return string(r.ApplicationName) == "SSH" && r.Confidence == 1 && r.Guessed
		}},
		"none": {[][]byte{udp(40001, 40003, "zzzzzzzz")}, func(r *Result) bool {
			return string(r.ApplicationName) == "Unknown" && string(r.CategoryName) == "Unspecified" && r.Confidence == 0 && !r.Guessed
		}},
		"HTTP, with the response's content type and no octets that are not UTF-8": {
			[][]byte{tcp(5000, 80, 1, request), tcp(80, 5000, 1, ""), tcp(80, 5000, 1, response)}, func(r *Result) bool {
				return strings.HasPrefix(string(r.ApplicationName), "HTTP") && string(r.UserAgent) == "caf 1.0" &&
					string(r.ContentType) == "text/html" && string(r.ServerName) == "www.example.org"
			}},
	} {
		t.Run(name, func(t *testing.T) {
			var f Flow
			for _, p := range c.packets {
				if s := feed(m, &f, p); s&Rejected != 0 {
					t.Fatalf("rejected: %v", p)
				}
			}
			var r Result
			m.Finish(f, &r, nil)
			if !c.check(&r) {
				t.Errorf("%q (%q) confidence %d guessed %v host %q agent %q content %q",
					r.ApplicationName, r.CategoryName, r.Confidence, r.Guessed, r.ServerName, r.UserAgent, r.ContentType)
			}
		})
	}
}

// Packets of another transport protocol in a live flow crash every release of
// nDPI seen so far.
func TestWhatWouldLeadNDPIAstrayIsNotShown(t *testing.T) {
	m := open(t)
	cut := tcp(5000, 80, 1, "")[:30]
	binary.BigEndian.PutUint16(cut[2:], 30)
	offset := tcp(5000, 80, 1, "")
	offset[32] = 0xf0
	for name, c := range map[string]struct{ first, next []byte }{
		"UDP into TCP":            {tcp(5000, 80, 1, "GET / HTTP/1.1\r\n"), udp(5000, 80, dnsQuery)},
		"TCP into UDP":            {udp(5000, 53, dnsQuery), tcp(5000, 53, 1, "GET")},
		"ICMP into TCP":           {tcp(5000, 443, 1, "\x16\x03\x01"), packet(1, 8, 0, 0, 0, 0, 0, 0, 0)},
		"half a TCP header":       {tcp(5000, 80, 1, ""), cut},
		"a TCP header too long":   {tcp(5000, 80, 1, ""), offset},
		"an empty datagram later": {udp(5000, 443, "x"), udp(5000, 443, "")},
		"a later fragment":        {udp(5000, 53, dnsQuery), ipv4(100, 100, 100)},
		"nothing":                 {udp(5000, 53, dnsQuery), nil},
	} {
		t.Run(name, func(t *testing.T) {
			var f Flow
			if s := feed(m, &f, c.first); s&Rejected != 0 {
				t.Fatal("the flow's first packet was rejected")
			}
			if s := feed(m, &f, c.next); s&Rejected == 0 {
				t.Errorf("state %d", s)
			}
			var r Result
			m.Finish(f, &r, nil)
		})
	}
}

// A flow of which nothing could be shown has a verdict all the same.
func TestAFlowWithoutAPacket(t *testing.T) {
	m := open(t)
	var f Flow
	if s := feed(m, &f, nil); s != Rejected {
		t.Errorf("state %d", s)
	}
	var r Result
	m.Finish(f, &r, nil)
	if string(r.ApplicationName) != "Unknown" || r.Confidence != 0 {
		t.Errorf("%q %d", r.ApplicationName, r.Confidence)
	}
}

// More flows than are kept for reuse, all of them with memory of their own.
func TestMemoryIsGivenBack(t *testing.T) {
	m := open(t)
	var r Result
	round := func() {
		flows := make([]Flow, 5000)
		for i := range flows {
			feed(m, &flows[i], tcp(5000, 80, 1, "GET /"+strings.Repeat("a", 200)+" HTTP/1.1\r\nHost: x.example\r\nUser-Agent: y\r\n\r\n"))
		}
		for _, f := range flows {
			m.Finish(f, &r, nil)
		}
	}
	for range 10 { // until the heap has taken its shape
		round()
	}
	// 150,000 flows; 100 octets lost of each would be 3,660 pages, every time. The
	// Go heap may grow once, as when the machine is busy.
	var grown int
	for range 3 {
		before := resident(t)
		for range 30 {
			round()
		}
		if grown = resident(t) - before; grown <= 1800 {
			return
		}
	}
	t.Errorf("resident memory grew by %d pages, the third time", grown)
}

// resident is the process's resident memory, in pages.
func resident(t *testing.T) int {
	t.Helper()
	self, err := procstatus.Of(os.Getpid())
	if err != nil || self.Number("VmRSS") == 0 {
		t.Fatalf("%v; of this process is told:\n%s", err, self)
	}
	return self.Number("VmRSS") << 10 / os.Getpagesize()
}

func BenchmarkFeed(b *testing.B) {
	m := open(b)
	query := udp(5000, 53, dnsQuery)
	var r Result
	b.ReportAllocs()
	for b.Loop() {
		var f Flow
		feed(m, &f, query)
		m.Finish(f, &r, nil)
	}
}
