package worker

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"

	"github.com/weirflow/weir/dpi/handshake"
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

// helloWith is a client's hello in one record, with a name and n protocols in it.
func helloWith(name string, n int) []byte {
	var b cryptobyte.Builder
	b.AddUint8(22)
	b.AddUint16(0x0301)
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		b.AddUint8(handshake.KindClientHello)
		b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) {
			b.AddUint16(0x0303)
			b.AddBytes(make([]byte, 32+1)) // random, no session
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddUint16(0x1301) })
			b.AddBytes([]byte{1, 0})
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
				b.AddUint16(0)
				b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
					b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
						b.AddUint8(0)
						b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(name)) })
					})
				})
				b.AddUint16(16)
				b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
					b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(bytes.Repeat([]byte{1, 'x'}, n)) })
				})
			})
		})
	})
	return b.BytesOrPanic()
}

func TestOfAHelloLittleIsKept(t *testing.T) {
	var r reading
	r.take(tcp(40000, 443, 1, 1, flagACK, helloWith(strings.Repeat("é", 4000), 3000)), false)
	if r.client == nil || r.client.serverName != strings.Repeat("é", 127) || len(r.client.alpn) != factMax || r.client.ja4 == "" {
		t.Fatalf("of the hello is kept %+v", r.client)
	}
	if r.streams[0].Size() != 0 || !r.streams[0].Done() {
		t.Errorf("the stream holds %d octets", r.streams[0].Size())
	}
}

func TestAnAnswerIsWaitedForAFewSamples(t *testing.T) {
	const (
		header   = "\x21\x12\xa4\x42\xa6\x67\x4f\x75\xf0\xad\x2c\x00\x13\x15\xb3\x36"
		request  = "\x00\x01\x00\x00" + header
		response = "\x01\x01\x00\x0c" + header + "\x00\x20\x00\x08\x00\x01\xed\x86\xe1\x12\xa6\x43"
	)
	datagram := func(payload string) *segment {
		s, ok := splitPacket(udp(3478, payload))
		if !ok {
			t.Fatal("the datagram is not read")
		}
		return &s
	}
	var answered, silent reading
	answered.take(datagram(request), false)
	if !answered.wants() {
		t.Error("a request wants no answer")
	}
	answered.take(datagram(response), true)
	if answered.wants() || answered.stun.Mapped.String() != "192.0.2.1:52372" {
		t.Errorf("after the answer it wants %v, %v", answered.wants(), answered.stun.Mapped)
	}
	n := 0
	for silent.take(datagram(request), false); silent.wants(); silent.take(datagram(request), false) {
		if n++; n > answerSamples {
			t.Fatal("it is waited for ever")
		}
	}
}

func TestDNSOverTCPIsPutTogether(t *testing.T) {
	framed := func(message string) []byte {
		return append([]byte{0, byte(len(message))}, message...)
	}
	for name, sizes := range map[string]int{"whole": 1000, "the length by itself": 2, "octet by octet": 1, "in pieces": 17} {
		t.Run(name, func(t *testing.T) {
			var r reading
			for i, b := range [][]byte{framed(dnsQuery), framed(dnsAnswer)} {
				for at := 0; at < len(b); at += sizes {
					s := tcp(40000, 53, uint32(1+at), 1, flagACK, b[at:min(len(b), at+sizes)])
					if i == 1 {
						s = tcp(53, 40000, uint32(1+at), 1, flagACK, b[at:min(len(b), at+sizes)])
					}
					r.take(s, i == 1)
					if last := at+sizes >= len(b); r.wants() == last {
						t.Fatalf("message %d at %d: wants %v", i, at, r.wants())
					}
					r.dnsSoFar() // as an early label does: no half of a message is kept
				}
			}
			if d := r.dnsSoFar(); d.Query != "a.example.org" || d.Code != "NOERROR" || len(d.Answers) != 1 || d.Answers[0] != "192.0.2.9" {
				t.Errorf("%+v", d)
			}
		})
	}
}

func TestOfDNSOverTCPThatIsCutTheBeginningIsRead(t *testing.T) {
	var r reading
	r.take(tcp(53, 40000, 1, 1, flagACK, append([]byte{1, 0}, dnsAnswer...)), true)
	if d := r.dnsSoFar(); d.Query != "a.example.org" || len(d.Answers) != 1 {
		t.Errorf("%+v", d)
	}
}

// quicAnswer is the packet of RFC 9001 appendix A.3, which answers that of A.2.
const quicAnswer = "cf000000010008f067a5502a4262b5004075c0d95a482cd0991cd25b0aac406a5816b6394100f37a1c69797554780bb38cc5a99f5ede4cf73c3ec2493a1839b3dbcba3f6" +
	"ea46c5b7684df3548e7ddeb9c3bf9c73cc3f3bded74b562bfb19fb84022f8ef4cdd93795d77d06edbb7aaf2f58891850abbdca3d20398c276456cbc42158407dd074ee"

func TestTheAnswerToAQUICHelloInOneDatagramIsRead(t *testing.T) {
	text, err := os.ReadFile("../handshake/testdata/rfc9001-a2.hex")
	if err != nil {
		t.Fatal(err)
	}
	var r reading
	for i, digits := range []string{strings.Join(strings.Fields(string(text)), ""), quicAnswer} {
		payload, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatal(err)
		}
		s, ok := splitPacket(udp(443, string(payload)))
		r.take(&s, i == 1)
		if !ok || r.client == nil || r.wants() != (i == 0) {
			t.Fatalf("datagram %d: client %+v, wants %v", i, r.client, r.wants())
		}
	}
	if r.server == nil || r.server.Cipher != 0x1301 {
		t.Errorf("server %+v", r.server)
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
