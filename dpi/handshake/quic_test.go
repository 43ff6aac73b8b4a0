package handshake

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The connection id of the examples in RFC 9001 appendix A and RFC 9369
// appendix A.
var exampleID = unhex("8394c8f03e515708")

// exampleHello is the CRYPTO frame's content in both.
var exampleHello = unhex("010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e86804fe3a47f06a2b69484c00000413011302010000c0000000" +
	"10000e00000b6578616d706c652e636f6dff01000100000a00080006001d0017001800100007000504616c706e0005000501000000000033002600240" +
	"01d00209370b2c9caa47fbabaf4559fedba753de171fa71f50f1ce15d43e994ec74d748002b0003020304000d0010000e040305030603020308040805" +
	"0806002d00020101001c00024001003900320408ffffffffffffffff05048000ffff07048000ffff0801100104800075300901100f088394c8f03e515" +
	"70806048000ffff")

func unhex(text string) []byte {
	b, err := hex.DecodeString(text)
	if err != nil {
		panic(err)
	}
	return b
}

func TestKeysAreThoseOfTheRFCs(t *testing.T) {
	for name, c := range map[string]struct {
		version    uint32
		iv, sample string
		mask       string
	}{
		"RFC 9001 appendix A.1 and A.2": {QUICv1, "fa044b2f42a3fd3b46fb255c", "d1b1c98dd7689fb8ec11d242b123dc9b", "437b9aec36"},
		"RFC 9369 appendix A.1 and A.2": {QUICv2, "91f73e2351d8fa91660e909f", "ffe67b6abcdb4298b485dd04de806071", "94a0c95e80"},
	} {
		t.Run(name, func(t *testing.T) {
			v, _ := quicVersionOf(c.version)
			p, err := initialProtection(v, exampleID, clientSide)
			if err != nil {
				t.Fatal(err)
			}
			var mask [16]byte
			p.header.Encrypt(mask[:], unhex(c.sample))
			if iv, m := hex.EncodeToString(p.iv), hex.EncodeToString(mask[:5]); iv != c.iv || m != c.mask {
				t.Errorf("iv %s, mask %s; want %s, %s", iv, m, c.iv, c.mask)
			}
		})
	}
}

// TestInitialsOfTheRFCs reads the packets of RFC 9001 appendix A.2 and RFC 9369
// appendix A.2.
func TestInitialsOfTheRFCs(t *testing.T) {
	for name, version := range map[string]uint32{"rfc9001-a2": QUICv1, "rfc9369-a2": QUICv2} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("testdata", name+".hex"))
			if err != nil {
				t.Fatal(err)
			}
			packet := unhex(strings.Join(strings.Fields(string(text)), ""))
			if len(packet) != 1200 {
				t.Fatalf("%d octets", len(packet))
			}
			var q QUIC
			q.Datagram(packet)
			if q.Version() != version || !bytes.Equal(q.Message(), exampleHello) || !q.Done() {
				t.Fatalf("version %#x, message %x", q.Version(), q.Message())
			}
		})
	}
}

// A piece is a CRYPTO frame's range of a hello.
type piece struct{ from, to int }

// seal makes an Initial packet of a client.
func seal(t testing.TB, version uint32, dcid []byte, number byte, payload []byte) []byte {
	return sealBy(t, clientSide, version, dcid, number, payload)
}

func sealBy(t testing.TB, side string, version uint32, dcid []byte, number byte, payload []byte) []byte {
	t.Helper()
	v, ok := quicVersionOf(version)
	if !ok {
		t.Fatalf("version %#x", version)
	}
	p, err := initialProtection(v, dcid, side)
	if err != nil {
		t.Fatal(err)
	}
	b := []byte{0xc0 | v.initialType<<4}
	b = binary.BigEndian.AppendUint32(b, version)
	b = append(append(b, byte(len(dcid))), dcid...)
	b = append(b, 0, 0) // no source connection id, no token
	b = binary.BigEndian.AppendUint16(b, 0x4000|uint16(1+len(payload)+16))
	offset := len(b)
	b = append(b, number)
	nonce := slices.Clone(p.iv)
	nonce[11] ^= number
	b = p.aead.Seal(b, nonce, payload, b)
	var mask [16]byte
	p.header.Encrypt(mask[:], b[offset+4:offset+20])
	b[0] ^= mask[0] & 0x0f
	b[offset] ^= mask[1]
	return b
}

// frames holds the pieces of a hello, and what may stand between them.
func frames(hello []byte, pieces ...piece) []byte {
	b := []byte{framePing}
	for _, p := range pieces {
		b = append(b, frameCRYPTO)
		b = binary.BigEndian.AppendUint16(b, 0x4000|uint16(p.from))
		b = binary.BigEndian.AppendUint16(b, 0x4000|uint16(p.to-p.from))
		b = append(b, hello[p.from:p.to]...)
		b = append(b, framePadding, frameACK, 5, 0, 1, 0, 1, 1)
	}
	return append(b, make([]byte, 40)...)
}

func TestAHelloIsPutTogetherFromAnyPieces(t *testing.T) {
	n := len(exampleHello)
	other := []byte{1, 2, 3, 4, 5, 6, 7, 8}
	for name, datagrams := range map[string][][]byte{
		"in order":              {frames(exampleHello, piece{0, 100}, piece{100, n})},
		"out of order":          {frames(exampleHello, piece{150, n}, piece{0, 50}, piece{100, 150}, piece{50, 100})},
		"over two datagrams":    {frames(exampleHello, piece{100, n}), frames(exampleHello, piece{0, 100})},
		"over three, scrambled": {frames(exampleHello, piece{200, n}, piece{10, 20}), frames(exampleHello, piece{0, 10}), frames(exampleHello, piece{20, 200})},
		"overlapping":           {frames(exampleHello, piece{20, 120}, piece{0, 60}), frames(exampleHello, piece{100, n}, piece{0, n})},
	} {
		for _, version := range []uint32{QUICv1, QUICv2, quicDraft29, quicDraft34} {
			t.Run(name, func(t *testing.T) {
				var q QUIC
				for i, d := range datagrams {
					if q.Done() {
						t.Fatalf("done before datagram %d", i)
					}
					q.Datagram(seal(t, version, exampleID, byte(i), d))
				}
				if !bytes.Equal(q.Message(), exampleHello) || q.Version() != version {
					t.Errorf("version %#x, message %x", q.Version(), q.Message())
				}
			})
		}
	}
	t.Run("after a Retry", func(t *testing.T) {
		var q QUIC
		q.Datagram(seal(t, QUICv1, exampleID, 0, frames(exampleHello, piece{0, 50})))
		q.Datagram(seal(t, QUICv1, other, 1, frames(exampleHello, piece{0, n})))
		if !bytes.Equal(q.Message(), exampleHello) {
			t.Errorf("message %x", q.Message())
		}
	})
	t.Run("coalesced", func(t *testing.T) {
		var q QUIC
		q.Datagram(append(seal(t, QUICv1, exampleID, 0, frames(exampleHello, piece{0, 50})),
			seal(t, QUICv1, exampleID, 1, frames(exampleHello, piece{50, n}))...))
		if !bytes.Equal(q.Message(), exampleHello) {
			t.Errorf("message %x", q.Message())
		}
	})
}

// exampleServer is the packet of RFC 9001 appendix A.3, and what it holds.
var (
	exampleServer = unhex("cf000000010008f067a5502a4262b5004075c0d95a482cd0991cd25b0aac406a5816b6394100f37a1c69797554780bb38cc5a99f5ede4cf73c3ec2493a1839b3dbcba3f6" +
		"ea46c5b7684df3548e7ddeb9c3bf9c73cc3f3bded74b562bfb19fb84022f8ef4cdd93795d77d06edbb7aaf2f58891850abbdca3d20398c276456cbc42158407dd074ee")
	exampleAnswer = unhex("020000560303eefce7f7b37ba1d1632e96677825ddf73988cfc79825df566dc5430b9a045a1200130100002e00330024001d00209d3c940d89690b84d08a60993c144eca" +
		"684d1081287c834d5311bcf32bb9da1a002b00020304")
)

func TestTheServersHelloIsReadWithTheClientsID(t *testing.T) {
	var client, server QUIC
	server.Server(&client)
	server.Datagram(exampleServer)
	if server.Message() != nil {
		t.Error("it is read without the client's id")
	}
	client.Datagram(seal(t, QUICv1, exampleID, 0, frames(exampleHello, piece{0, len(exampleHello)})))
	server.Datagram(exampleServer)
	if !bytes.Equal(server.Message(), exampleAnswer) {
		t.Fatalf("message %x", server.Message())
	}
	if h, err := ParseServerHello(server.Message()); err != nil || h.Cipher != 0x1301 || h.Version != 0x0304 {
		t.Errorf("%+v, %v", h, err)
	}
	for _, version := range []uint32{QUICv2, quicDraft29} {
		var client, server QUIC
		server.Server(&client)
		client.Datagram(seal(t, version, exampleID, 0, frames(exampleHello, piece{0, len(exampleHello)})))
		server.Datagram(sealBy(t, serverSide, version, exampleID, 0, frames(exampleAnswer, piece{40, len(exampleAnswer)}, piece{0, 40})))
		if !bytes.Equal(server.Message(), exampleAnswer) {
			t.Errorf("version %#x: message %x", version, server.Message())
		}
	}
}

// exampleRetry is the packet of RFC 9001 appendix A.4. The client's id is exampleID,
// the one that it is to begin anew with exampleRetryID.
var (
	exampleRetry   = unhex("ff000000010008f067a5502a4262b5746f6b656e04a265ba2eff4d829058fb3f0f2496ba")
	exampleRetryID = unhex("f067a5502a4262b5")
)

func TestAfterARetryKeysFollowFromTheServersID(t *testing.T) {
	n := len(exampleHello)
	first := func(pieces ...piece) []byte { return seal(t, QUICv1, exampleID, 0, frames(exampleHello, pieces...)) }
	again := seal(t, QUICv1, exampleRetryID, 1, frames(exampleHello, piece{0, n}))
	answer := sealBy(t, serverSide, QUICv1, exampleRetryID, 0, frames(exampleAnswer, piece{0, len(exampleAnswer)}))
	elsewhere := slices.Clone(exampleRetry)
	elsewhere[7] ^= 1 // in the id that it tells
	type step struct {
		fromServer bool
		datagram   []byte
	}
	for name, steps := range map[string][]step{
		"the hello was whole before":      {{false, first(piece{0, n})}, {true, exampleRetry}, {false, again}, {true, answer}},
		"the hello was in pieces":         {{false, first(piece{0, 50})}, {true, exampleRetry}, {false, again}, {true, answer}},
		"the second hello is not sampled": {{false, first(piece{0, n})}, {true, exampleRetry}, {true, answer}},
		"a second Retry is none":          {{false, first(piece{0, n})}, {true, exampleRetry}, {true, elsewhere}, {true, answer}},
	} {
		t.Run(name, func(t *testing.T) {
			var client, server QUIC
			server.Server(&client)
			for _, s := range steps {
				if s.fromServer {
					server.Datagram(s.datagram)
				} else {
					client.Datagram(s.datagram)
				}
			}
			if !bytes.Equal(client.Message(), exampleHello) || !bytes.Equal(server.Message(), exampleAnswer) {
				t.Errorf("client %x, server %x", client.Message(), server.Message())
			}
		})
	}
}

func TestWhatIsNoInitialIsLeftAlone(t *testing.T) {
	n := len(exampleHello)
	whole := seal(t, QUICv1, exampleID, 0, frames(exampleHello, piece{0, n}))
	damaged := slices.Clone(whole)
	damaged[100] ^= 1
	for name, b := range map[string][]byte{
		"nothing":            nil,
		"a short header":     append([]byte{0x40}, whole[1:]...),
		"an unknown version": append([]byte{0xc0, 0xde, 0xad, 0xbe, 0xef}, whole[5:]...),
		"a damaged one":      damaged,
		"one that is cut":    whole[:200],
	} {
		var q QUIC
		q.Datagram(b)
		if q.Message() != nil || q.Version() != 0 {
			t.Errorf("%s: version %#x, message %x", name, q.Version(), q.Message())
		}
	}
	var q QUIC
	for range 1000 {
		q.Datagram(damaged)
	}
	if !q.Done() {
		t.Error("keys are tried for ever")
	}
}

func FuzzQUIC(f *testing.F) {
	whole := seal(f, QUICv1, exampleID, 0, frames(exampleHello, piece{0, len(exampleHello)}))
	f.Add(whole, []byte(nil))
	f.Add(seal(f, QUICv2, exampleID, 0, frames(exampleHello, piece{100, 200})), seal(f, QUICv2, exampleID, 1, frames(exampleHello, piece{0, 100})))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var q QUIC
		q.Datagram(a)
		q.Datagram(b)
		// What is inside of the protection is reached only by what is sealed.
		q.frames(a)
		q.frames(b)
		if q.Size() > 4*HelloMax {
			t.Errorf("%d octets are held", q.Size())
		}
		if m := q.Message(); m != nil {
			if h, err := ParseClientHello(m, false); err == nil {
				checkJA4(t, h.JA4(OverQUIC))
			}
		}
	})
}
