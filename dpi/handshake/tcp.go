package handshake

import "encoding/binary"

const (
	recordHeader    = 5
	recordHandshake = 22
	// recordMax is the longest record of any version of TLS.
	recordMax = 1<<14 + 2048
)

// A Framing finds the first message in the octets at the beginning of a stream; nil
// where it is not there, and more says whether it may be when more octets are.
type Framing func(b []byte) (message []byte, more bool)

// A Stream reads the first message off one direction of a TCP connection. Without
// Begin the segment that comes first is taken for the beginning.
type Stream struct {
	// Framing is how messages are told apart; nil is that of handshake messages in
	// TLS records.
	Framing Framing

	reading
	base    uint32 // sequence number of the first octet
	started bool
}

// Begin says at which sequence number the direction's octets begin, where that
// is known of its SYN or of the other side's acknowledgement.
func (s *Stream) Begin(sequence uint32) {
	if !s.started {
		s.base, s.started = sequence, true
	}
}

// Add takes a segment's payload.
func (s *Stream) Add(sequence uint32, payload []byte) {
	if s.ended || len(payload) == 0 {
		return
	}
	s.Begin(sequence)
	offset := int(int32(sequence - s.base))
	// What is before the beginning is a keep-alive's; what is past the bound
	// belongs to what follows a hello.
	if offset < 0 || offset >= HelloMax {
		return
	}
	if !s.a.add(offset, payload[:min(len(payload), HelloMax-offset)]) {
		s.end()
		return
	}
	s.read()
}

func (s *Stream) read() {
	b, framing := s.a.prefix(), s.Framing
	if framing == nil {
		framing = inRecords
	}
	message, more := framing(b)
	switch {
	case message != nil:
		s.message = append([]byte(nil), message...)
		s.end()
	case !more || len(b) >= HelloMax:
		s.end()
	}
}

// inRecords is the Framing of TLS.
func inRecords(b []byte) (message []byte, more bool) {
	message, state := recordMessage(b)
	return message, state == partial
}

// Begun is what has come of a message that is not whole, from its beginning on.
func (s *Stream) Begun() []byte { return s.a.prefix() }

// A state is how far a message has come.
type state uint8

const (
	partial state = iota
	whole
	impossible
)

// recordMessage finds the first handshake message in TLS records, over which it
// may be spread.
func recordMessage(b []byte) ([]byte, state) {
	var joined []byte
	for {
		if len(b) > 0 && b[0] != recordHandshake || len(b) > 1 && b[1] != 3 {
			return nil, impossible
		}
		if len(b) < recordHeader {
			return nil, partial
		}
		n := int(binary.BigEndian.Uint16(b[3:]))
		if n == 0 || n > recordMax {
			return nil, impossible
		}
		body := b[recordHeader:min(len(b), recordHeader+n)]
		if joined == nil {
			joined = body[:len(body):len(body)]
		} else {
			joined = append(joined, body...)
		}
		if message, state := messageIn(joined); state != partial {
			return message, state
		}
		if len(b) < recordHeader+n {
			return nil, partial
		}
		b = b[recordHeader+n:]
	}
}

// messageIn finds a hello at the beginning of handshake octets.
func messageIn(b []byte) ([]byte, state) {
	if len(b) > 0 && b[0] != KindClientHello && b[0] != KindServerHello {
		return nil, impossible
	}
	if len(b) < messageHeader {
		return nil, partial
	}
	n := messageHeader + int(b[1])<<16 + int(b[2])<<8 + int(b[3])
	if n > HelloMax {
		return nil, impossible
	}
	if len(b) < n {
		return nil, partial
	}
	return b[:n], whole
}
