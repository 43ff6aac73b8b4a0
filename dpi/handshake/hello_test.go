package handshake

import (
	"crypto/tls"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"
)

// clientHello builds a message.
func clientHello(h *ClientHello, grease bool) []byte {
	var b cryptobyte.Builder
	b.AddUint8(KindClientHello)
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) {
		b.AddUint16(h.Version)
		b.AddBytes(make([]byte, 32))
		b.AddUint8(0)
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { addValues(b, h.Ciphers, grease) })
		b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddUint8(0) })
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			if grease {
				b.AddUint16(0xaaaa)
				b.AddUint16(0)
			}
			for _, kind := range h.Extensions {
				b.AddUint16(kind)
				b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { h.addExtension(b, kind, grease) })
			}
		})
	})
	return b.BytesOrPanic()
}

func addValues(b *cryptobyte.Builder, list []uint16, grease bool) {
	if grease {
		b.AddUint16(0x1a1a)
	}
	for _, v := range list {
		b.AddUint16(v)
	}
}

func (h *ClientHello) addExtension(b *cryptobyte.Builder, kind uint16, grease bool) {
	switch kind {
	case extensionServerName:
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			b.AddUint8(0)
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(h.ServerName)) })
		})
	case extensionSignatureAlgorithms:
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { addValues(b, h.SignatureAlgorithms, false) })
	case extensionSupportedVersions:
		b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { addValues(b, h.SupportedVersions, grease) })
	case extensionALPN:
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			for _, name := range h.ALPN {
				b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(name)) })
			}
		})
	}
}

// chrome is the client of the example in FoxIO's description of JA4.
var chrome = ClientHello{
	Version: 0x0303,
	Ciphers: []uint16{0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035},
	Extensions: []uint16{0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012, 0x002b, 0xff01, 0x000b,
		0x000a, 0x0015},
	SignatureAlgorithms: []uint16{0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601},
	SupportedVersions:   []uint16{0x0304, 0x0303},
	ServerName:          "www.example.org",
	ALPN:                []string{"h2", "http/1.1"},
}

func TestJA4IsThePublishedOne(t *testing.T) {
	for name, c := range map[string]struct {
		change    func(*ClientHello)
		transport Transport
		want      string
	}{
		"the example":           {func(*ClientHello) {}, OverTCP, "t13d1516h2_8daaf6152771_e5627efa2ab1"},
		"over QUIC":             {func(*ClientHello) {}, OverQUIC, "q13d1516h2_8daaf6152771_e5627efa2ab1"},
		"its extensions turned": {func(h *ClientHello) { slices.Reverse(h.Extensions) }, OverTCP, "t13d1516h2_8daaf6152771_e5627efa2ab1"},
		"no server named": {func(h *ClientHello) {
			h.Extensions = slices.DeleteFunc(h.Extensions, func(e uint16) bool { return e == 0 })
		},
			OverTCP, "t13i1515h2_8daaf6152771_e5627efa2ab1"},
		"an ALPN that is no text":   {func(h *ClientHello) { h.ALPN = []string{"\xabx\xcd"} }, OverTCP, "t13d1516ad_8daaf6152771_e5627efa2ab1"},
		"an ALPN of one character":  {func(h *ClientHello) { h.ALPN = []string{"h"} }, OverTCP, "t13d1516hh_8daaf6152771_e5627efa2ab1"},
		"TLS 1.2 without a list":    {func(h *ClientHello) { h.SupportedVersions = nil }, OverTCP, "t12d1516h2_8daaf6152771_e5627efa2ab1"},
		"DTLS 1.2":                  {func(h *ClientHello) { h.SupportedVersions = []uint16{0xfefd, 0xfeff} }, OverDTLS, "dd2d1516h2_8daaf6152771_e5627efa2ab1"},
		"no ciphers, no extensions": {func(h *ClientHello) { *h = ClientHello{Version: 0x0301} }, OverTCP, "t10i000000_000000000000_000000000000"},
	} {
		t.Run(name, func(t *testing.T) {
			h := chrome
			h.Extensions = slices.Clone(h.Extensions)
			c.change(&h)
			if got := h.JA4(c.transport); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

func TestAHelloIsReadWithoutGREASE(t *testing.T) {
	for _, grease := range []bool{false, true} {
		h, err := ParseClientHello(clientHello(&chrome, grease), false)
		if err != nil {
			t.Fatal(err)
		}
		if got := h.JA4(OverTCP); got != "t13d1516h2_8daaf6152771_e5627efa2ab1" {
			t.Errorf("GREASE %v: %s", grease, got)
		}
		if h.ServerName != chrome.ServerName || !slices.Equal(h.ALPN, chrome.ALPN) || h.ECH {
			t.Errorf("GREASE %v: %+v", grease, h)
		}
	}
}

// TestTheHelloOfARealClient reads that of crypto/tls off the wire.
func TestTheHelloOfARealClient(t *testing.T) {
	near, far := net.Pipe()
	go func() {
		config := &tls.Config{ServerName: "www.example.org", NextProtos: []string{"h2", "http/1.1"}, MinVersion: tls.VersionTLS12}
		_ = tls.Client(near, config).Handshake() // ends with the pipe
	}()
	var s Stream
	b, at := make([]byte, 100), uint32(1)
	for !s.Done() {
		n, err := far.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		s.Add(at, b[:n])
		at += uint32(n)
	}
	far.Close()
	h, err := ParseClientHello(s.Message(), false)
	if err != nil || h.ServerName != "www.example.org" || !slices.Equal(h.ALPN, []string{"h2", "http/1.1"}) || !slices.Contains(h.Ciphers, tls.TLS_AES_128_GCM_SHA256) {
		t.Fatalf("%+v, %v", h, err)
	}
	if ja4 := h.JA4(OverTCP); !strings.HasPrefix(ja4, "t13d") || !strings.Contains(ja4, "h2_") {
		t.Errorf("JA4 %s", ja4)
	}
}

func TestAHelloThatIsCutIsMalformed(t *testing.T) {
	message := clientHello(&chrome, true)
	for n := range message {
		if _, err := ParseClientHello(message[:n], false); err == nil {
			t.Fatalf("%d of %d octets are taken for a hello", n, len(message))
		}
	}
}

func TestAServerHello(t *testing.T) {
	message := func(version, cipher uint16, extensions ...byte) []byte {
		var b cryptobyte.Builder
		b.AddUint8(KindServerHello)
		b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) {
			b.AddUint16(version)
			b.AddBytes(make([]byte, 32))
			b.AddUint8(0)
			b.AddUint16(cipher)
			b.AddUint8(0)
			if extensions != nil {
				b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(extensions) })
			}
		})
		return b.BytesOrPanic()
	}
	for name, c := range map[string]struct {
		message []byte
		want    ServerHello
	}{
		"TLS 1.0":           {message(0x0301, 0x002f), ServerHello{0x0301, 0x002f, ""}},
		"TLS 1.2 with ALPN": {message(0x0303, 0xc02f, 0, 16, 0, 5, 0, 3, 2, 'h', '2'), ServerHello{0x0303, 0xc02f, "h2"}},
		"TLS 1.3":           {message(0x0303, 0x1301, 0, 43, 0, 2, 3, 4), ServerHello{0x0304, 0x1301, ""}},
	} {
		h, err := ParseServerHello(c.message)
		if err != nil || *h != c.want {
			t.Errorf("%s: %+v, %v", name, h, err)
		}
		if _, err := ParseServerHello(c.message[:len(c.message)-1]); err == nil {
			t.Errorf("%s: it is taken without its last octet", name)
		}
	}
}

var ja4Form = regexp.MustCompile(`^[tqd](1[0-3]|s[23]|d[123]|00)[di]\d{4}[0-9A-Za-z]{2}_[0-9a-f]{12}_[0-9a-f]{12}$`)

func checkJA4(t *testing.T, ja4 string) {
	t.Helper()
	if !ja4Form.MatchString(ja4) {
		t.Errorf("JA4 %q", ja4)
	}
}

func FuzzHello(f *testing.F) {
	f.Add(clientHello(&chrome, true))
	f.Add(exampleHello)
	f.Fuzz(func(t *testing.T, message []byte) {
		for _, dtls := range []bool{false, true} {
			if h, err := ParseClientHello(message, dtls); err == nil {
				checkJA4(t, h.JA4(OverTCP))
			}
		}
		_, _ = ParseServerHello(message)
		var d DTLS
		d.Datagram(message)
		d.Datagram(message)
		if d.Size() > 4*HelloMax {
			t.Errorf("%d octets are held", d.Size())
		}
	})
}
