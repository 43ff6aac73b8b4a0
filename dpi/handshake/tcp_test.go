package handshake

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// records splits a message over records of n octets.
func records(message []byte, n int) (b []byte) {
	for len(message) > 0 {
		part := message[:min(n, len(message))]
		message = message[len(part):]
		b = append(b, recordHandshake, 3, 1)
		b = binary.BigEndian.AppendUint16(b, uint16(len(part)))
		b = append(b, part...)
	}
	return b
}

func TestAHelloIsPutTogetherFromSegments(t *testing.T) {
	message := clientHello(&chrome, true)
	const base = 0xffffff80 // sequence numbers wrap within the hello
	for name, c := range map[string]struct {
		stream  []byte
		size    int // of a segment
		shuffle bool
		begin   bool
	}{
		"one segment":              {records(message, 16384), 1460, false, false},
		"small segments":           {records(message, 16384), 7, false, false},
		"records within a message": {records(message, 40), 100, false, false},
		"out of order":             {records(message, 16384), 50, true, true},
		"out of order, in records": {records(message, 60), 50, true, true},
		"with what follows":        {append(records(message, 16384), bytes.Repeat([]byte{23}, 3000)...), 1460, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			var s Stream
			if c.begin {
				s.Begin(base)
			}
			var order []int
			for at := 0; at < len(c.stream); at += c.size {
				order = append(order, at)
			}
			if c.shuffle {
				rand.New(rand.NewPCG(1, 2)).Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
			}
			for _, at := range order {
				s.Add(base+uint32(at), c.stream[at:min(at+c.size, len(c.stream))])
			}
			if !bytes.Equal(s.Message(), message) || !s.Done() {
				t.Errorf("message %x", s.Message())
			}
		})
	}
}

func TestWhatIsNoHandshakeEndsAtItsFirstOctet(t *testing.T) {
	for name, first := range map[string]string{
		"HTTP":           "GET / HTTP/1.1\r\n",
		"an alert":       "\x15\x03\x01\x00\x02\x01\x00",
		"another record": "\x16\x03\x01\x00\x05\x10\x00\x00\x01\x00",
		"an empty one":   "\x16\x03\x01\x00\x00",
		"SSL 2":          "\x80\x2e\x01",
		"too long":       "\x16\x03\x01\x40\x00\x01\xff\xff\xff",
	} {
		var s Stream
		s.Add(1, []byte(first))
		if !s.Done() || s.Message() != nil || s.Size() != 0 {
			t.Errorf("%s: done %v, %d octets held", name, s.Done(), s.Size())
		}
	}
}

func TestAStreamIsBounded(t *testing.T) {
	var s Stream
	s.Add(0, []byte("\x16\x03\x01\x3f\x00\x01\x00\x3f"))
	for i := range uint32(100000) {
		s.Add(9+2*i, []byte("x"))
		if s.Size() > 3*HelloMax {
			t.Fatalf("%d octets are held", s.Size())
		}
	}
	if !s.Done() {
		t.Error("it is read with any number of gaps")
	}
}

func FuzzStream(f *testing.F) {
	f.Add(records(clientHello(&chrome, true), 100), uint16(50), uint32(7))
	f.Fuzz(func(t *testing.T, b []byte, size uint16, step uint32) {
		var s Stream
		for at := 0; at < len(b); at += max(1, int(size)) {
			s.Add(uint32(at)*max(1, step%3), b[at:min(len(b), at+max(1, int(size)))])
		}
		if s.Size() > 4*HelloMax {
			t.Errorf("%d octets are held", s.Size())
		}
		if m := s.Message(); m != nil && m[0] != KindClientHello && m[0] != KindServerHello {
			t.Errorf("message of kind %d", m[0])
		}
	})
}

// dtlsBody is the example's hello as DTLS has it, with a cookie of n octets.
func dtlsBody(n int) []byte {
	tls := clientHello(&chrome, false)
	body := append([]byte(nil), tls[4:4+2+32+1]...)
	body[0], body[1] = 0xfe, 0xfd
	body = append(append(body, byte(n)), make([]byte, n)...)
	return append(body, tls[4+2+32+1:]...)
}

// dtlsRecord is a record of fragments of a hello, of a sequence number.
func dtlsRecord(sequence byte, body []byte, pieces ...piece) []byte {
	var record []byte
	for _, p := range pieces {
		record = append(record, KindClientHello, 0, byte(len(body)>>8), byte(len(body)), 0, sequence, 0, byte(p.from>>8), byte(p.from), 0,
			byte((p.to-p.from)>>8), byte(p.to-p.from))
		record = append(record, body[p.from:p.to]...)
	}
	header := []byte{recordHandshake, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0}
	return append(binary.BigEndian.AppendUint16(header, uint16(len(record))), record...)
}

func TestADTLSHelloIsPutTogetherFromFragments(t *testing.T) {
	body := dtlsBody(0)
	n := len(body)
	again := dtlsBody(20)
	// Another message, as of a server's flight, before the hello in its record.
	other := dtlsRecord(0, body, piece{0, n})
	other = append(append(other[:13:13], 3, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 2, 9, 9), other[13:]...)
	binary.BigEndian.PutUint16(other[11:], uint16(len(other)-13))
	for name, datagrams := range map[string][][]byte{
		"whole":                      {dtlsRecord(0, body, piece{0, n})},
		"two datagrams":              {dtlsRecord(0, body, piece{0, 100}), dtlsRecord(0, body, piece{100, n})},
		"the last first":             {dtlsRecord(0, body, piece{100, n}), dtlsRecord(0, body, piece{0, 100})},
		"two in a record":            {dtlsRecord(0, body, piece{0, 100}, piece{100, n})},
		"two records in a datagram":  {append(dtlsRecord(0, body, piece{0, 100}), dtlsRecord(0, body, piece{100, n})...)},
		"overlapping":                {dtlsRecord(0, body, piece{0, 150}), dtlsRecord(0, body, piece{50, n})},
		"begun anew with a cookie":   {dtlsRecord(0, body, piece{0, 100}), dtlsRecord(1, again, piece{0, 100}), dtlsRecord(1, again, piece{100, len(again)})},
		"behind a message of others": {other},
	} {
		t.Run(name, func(t *testing.T) {
			var d DTLS
			for i, b := range datagrams {
				if d.Done() {
					t.Fatalf("done before datagram %d", i)
				}
				d.Datagram(b)
			}
			h, err := ParseClientHello(d.Message(), true)
			if err != nil || h.ServerName != chrome.ServerName || h.Version != 0xfefd {
				t.Fatalf("%+v, %v", h, err)
			}
		})
	}
}

func TestWhatIsNoDTLSHelloIsLeftAlone(t *testing.T) {
	body := dtlsBody(0)
	whole := dtlsRecord(0, body, piece{0, len(body)})
	for i := range whole {
		var d DTLS
		if d.Datagram(whole[:i]); d.Message() != nil {
			t.Fatalf("%d of %d octets are taken for a hello", i, len(whole))
		}
	}
	encrypted := append([]byte(nil), whole...)
	encrypted[4] = 1
	var d DTLS
	if d.Datagram(encrypted); d.Message() != nil || d.Size() != 0 {
		t.Errorf("of a later epoch is read %x", d.Message())
	}
	long := append([]byte(nil), whole...)
	long[14] = 0xff
	if d.Datagram(long); !d.Done() || d.Size() != 0 {
		t.Errorf("a hello of 16 MB is waited for: %d octets are held", d.Size())
	}
}
