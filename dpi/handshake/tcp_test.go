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

func TestADTLSHello(t *testing.T) {
	tls := clientHello(&chrome, false)
	body := append([]byte(nil), tls[4:4+2+32+1]...)
	body[0], body[1] = 0xfe, 0xfd
	body = append(body, 0) // no cookie
	body = append(body, tls[4+2+32+1:]...)
	n := len(body)
	b := []byte{recordHandshake, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, byte((n + 12) >> 8), byte(n + 12)}
	b = append(b, 1, 0, byte(n>>8), byte(n), 0, 0, 0, 0, 0, 0, byte(n>>8), byte(n))
	b = append(b, body...)
	h := DTLSClientHello(b)
	if h == nil || h.ServerName != chrome.ServerName || h.Version != 0xfefd {
		t.Fatalf("%+v", h)
	}
	for i := range b {
		if DTLSClientHello(b[:i]) != nil {
			t.Fatalf("%d of %d octets are taken for a hello", i, len(b))
		}
	}
}
