package message

import (
	"net/netip"
	"reflect"
	"testing"
	"unicode/utf8"

	"golang.org/x/net/dns/dnsmessage"
)

func build(t testing.TB, m *dnsmessage.Message) []byte {
	t.Helper()
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func name(text string) dnsmessage.Name { return dnsmessage.MustNewName(text) }

func answer(kind dnsmessage.Type, body dnsmessage.ResourceBody) dnsmessage.Resource {
	return dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: name("a.example."), Type: kind, Class: dnsmessage.ClassINET}, Body: body}
}

var question = []dnsmessage.Question{{Name: name("a.example."), Type: dnsmessage.TypeAAAA, Class: dnsmessage.ClassINET}}

var response = dnsmessage.Message{
	Header:    dnsmessage.Header{Response: true},
	Questions: question,
	Answers: []dnsmessage.Resource{
		answer(dnsmessage.TypeCNAME, &dnsmessage.CNAMEResource{CNAME: name("b.example.")}),
		answer(dnsmessage.TypeA, &dnsmessage.AResource{A: [4]byte{192, 0, 2, 7}}),
		answer(dnsmessage.TypeAAAA, &dnsmessage.AAAAResource{AAAA: netip.MustParseAddr("2001:db8::1").As16()}),
		answer(dnsmessage.TypeMX, &dnsmessage.MXResource{MX: name("mx.example.")}),
		answer(dnsmessage.TypeSRV, &dnsmessage.SRVResource{Target: name("s.example."), Port: 5060}),
		answer(dnsmessage.TypeTXT, &dnsmessage.TXTResource{TXT: []string{"v=1 ", "caf\xe9"}}),
		answer(65, &dnsmessage.UnknownResource{Type: 65, Data: []byte{0, 1, 0}}),
	},
}

func TestDNS(t *testing.T) {
	for title, c := range map[string]struct {
		message dnsmessage.Message
		want    DNS
	}{
		"a query":    {dnsmessage.Message{Questions: question}, DNS{Query: "a.example", Type: "AAAA"}},
		"no address": {dnsmessage.Message{Header: dnsmessage.Header{Response: true, RCode: 3}, Questions: question}, DNS{"a.example", "AAAA", true, "NXDOMAIN", nil}},
		"answers": {response, DNS{"a.example", "AAAA", true, "NOERROR",
			[]string{"b.example", "192.0.2.7", "2001:db8::1", "mx.example", "s.example:5060", "v=1 caf", "HTTPS"}}},
		"multicast": {dnsmessage.Message{Header: dnsmessage.Header{Response: true}, Answers: response.Answers[1:2]},
			DNS{"a.example", "A", true, "NOERROR", []string{"192.0.2.7"}}},
	} {
		b := build(t, &c.message)
		if got, ok := ReadDNS(b); !ok || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v", title, got, ok)
		}
		if got, ok := overTCP(append([]byte{0, byte(len(b))}, b...)); !ok || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s over TCP: %+v, %v", title, got, ok)
		}
	}
	if d, ok := ReadDNS([]byte("GET / HTTP/1.1\r\n\r\n")); ok {
		t.Errorf("HTTP is taken for DNS: %+v", d)
	}
}

func TestAnswersOfACutResponseAreKept(t *testing.T) {
	b := build(t, &response)
	d, ok := ReadDNS(b[:80])
	if !ok || len(d.Answers) < 1 || len(d.Answers) >= len(response.Answers) || d.Answers[0] != "b.example" {
		t.Errorf("%+v, %v", d, ok)
	}
}

// overTCP reads the first message of a stream.
func overTCP(b []byte) (DNS, bool) {
	message, more := FrameDNS(b)
	if message == nil && !more {
		return DNS{}, false
	}
	if message == nil {
		message = BegunDNS(b)
	}
	return ReadDNS(message)
}

func TestAMessageInAStreamIsWaitedFor(t *testing.T) {
	b := build(t, &response)
	stream := append([]byte{byte(len(b) >> 8), byte(len(b))}, b...)
	stream = append(stream, "the next one"...)
	for n := range stream {
		message, more := FrameDNS(stream[:n])
		if whole := n >= 2+len(b); whole != (message != nil) || whole == more {
			t.Fatalf("%d octets: a message of %d, more %v", n, len(message), more)
		}
	}
	if message, more := FrameDNS([]byte("\x00\x0b0123456789ab")); message != nil || more {
		t.Errorf("what is too short for a message is taken for %q, more %v", message, more)
	}
	if message, _ := FrameDNS(append([]byte{0xff, 0xff}, make([]byte, overTCPMax)...)); len(message) != overTCPMax {
		t.Errorf("of a message that is too long are read %d octets", len(message))
	}
}

// stun is a binding response from RFC 5769 section 2.2, less its integrity and
// fingerprint.
const stun = "\x01\x01\x00\x1c\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae" +
	"\x80\x22\x00\x0b\x74\x65\x73\x74\x20\x76\x65\x63\x74\x6f\x72\x20" +
	"\x00\x20\x00\x08\x00\x01\xa1\x47\xe1\x12\xa6\x43"

func TestSTUN(t *testing.T) {
	want := STUN{Software: "test vector", Mapped: netip.MustParseAddrPort("192.0.2.1:32853")}
	if s, ok := ReadSTUN([]byte(stun)); !ok || s != want {
		t.Errorf("%+v, %v", s, ok)
	}
	for n := range len(stun) {
		if _, ok := ReadSTUN([]byte(stun[:n])); ok {
			t.Fatalf("%d of %d octets are taken", n, len(stun))
		}
	}
}

func TestSTUNOfWhatsApp(t *testing.T) {
	const header = "\x21\x12\xa4\x42\xa6\x67\x4f\x75\xf0\xad\x2c\x00\x13\x15\xb3\x36"
	// Neither the message nor its last attribute is padded.
	if s, ok := ReadSTUN([]byte("\x00\x03\x00\x06" + header + "\x40\x00\x00\x02\x05\x03")); !ok || s != (STUN{Request: true}) {
		t.Errorf("request: %+v, %v", s, ok)
	}
	// The second of the addresses is none.
	response := "\x01\x03\x00\x18" + header + "\x00\x20\x00\x08\x00\x01\xed\x86\xe1\x12\xa6\x43" +
		"\x00\x20\x00\x08\x00\x00\x00\x01\x6b\x8e\x03\x43"
	want := STUN{Mapped: netip.MustParseAddrPort("192.0.2.1:52372")}
	if s, ok := ReadSTUN([]byte(response)); !ok || s != want {
		t.Errorf("response: %+v, %v", s, ok)
	}
}

func TestRTP(t *testing.T) {
	packet := "\x80\x88\x00\x01\x00\x00\x00\xa0\xde\xad\xbe\xefmedia"
	if r, ok := ReadRTP([]byte(packet)); !ok || r != (RTP{8, 0xdeadbeef}) {
		t.Errorf("%+v, %v", r, ok)
	}
	for title, b := range map[string]string{
		"RTCP": "\x80\xc8" + packet[2:], "another version": "\x40" + packet[1:], "half a header": packet[:11],
	} {
		if _, ok := ReadRTP([]byte(b)); ok {
			t.Errorf("%s is taken for RTP", title)
		}
	}
}

func FuzzMessage(f *testing.F) {
	f.Add(build(f, &response))
	f.Add([]byte(stun))
	f.Fuzz(func(t *testing.T, b []byte) {
		texts := []string{}
		if d, ok := ReadDNS(b); ok {
			texts = append(append(texts, d.Query, d.Type, d.Code), d.Answers...)
		}
		if d, ok := overTCP(b); ok {
			texts = append(texts, d.Query)
		}
		if s, ok := ReadSTUN(b); ok {
			texts = append(texts, s.Software, s.Realm)
		}
		ReadRTP(b)
		for _, text := range texts {
			if !utf8.ValidString(text) || len(text) > textMax+len(":65535") {
				t.Errorf("text %q", text)
			}
		}
	})
}
