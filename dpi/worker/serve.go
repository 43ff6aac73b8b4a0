package worker

import (
	"errors"
	"fmt"
	"io"

	"github.com/weirflow/weir/userspace"
)

// An Inspector is what the process does with what it reads; *Classifier is the
// real one.
type Inspector interface {
	Sample(s *userspace.Sample) (done bool)
	// Quarantine is Sample of one that is not to be looked at: the flow gets no label.
	Quarantine(s *userspace.Sample)
	// Label is the body of the Label frame that the last Sample gave rise to;
	// empty if it did not.
	Label() []byte
	Close(ref FlowRef, b []byte) []byte
	Counts() Ack
	End()
}

// An Opener makes the Inspector of a session, and names its release.
type Opener func(Hello) (i Inspector, release string, err error)

const (
	readOctets = 256 << 10
	// writeOctets of answers are sent without waiting for the end of the batch.
	writeOctets = 64 << 10
)

// Serve answers frames from conn until it ends, which is no error. The witness, which
// may be nil, is told of each sample.
func Serve(conn io.ReadWriter, witness Witness, open Opener) error {
	s := session{conn: conn, witness: witness, in: make([]byte, readOctets), out: make([]byte, 0, 2*writeOctets)}
	if err := s.greet(open); err != nil {
		return ended(err)
	}
	defer s.inspector.End()
	for {
		if err := s.frames(); err != nil {
			return err
		}
		if err := s.answer(); err != nil {
			return err
		}
		if err := s.read(); err != nil {
			return ended(err)
		}
	}
}

// ended makes the end of the connection an ordinary end.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// A session is one connection. in[start:fill] was read and not yet used.
type session struct {
	conn        io.ReadWriter
	in          []byte
	start, fill int
	out         []byte
	octets      uint64 // used so far
	acked       uint64 // … and known to the other side
	done        uint64
	inspector   Inspector
	witness     Witness
	quarantine  []Digest
	sample      userspace.Sample
	payload     []byte
}

// read reads more. Of the packets that were used nothing stays behind.
func (s *session) read() error {
	used := s.fill
	s.fill = copy(s.in, s.in[s.start:s.fill])
	s.start = 0
	clear(s.in[s.fill:used])
	n, err := s.conn.Read(s.in[s.fill:])
	s.fill += n
	if n > 0 {
		return nil
	}
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

// next is the next whole frame, or kind 0.
func (s *session) next() (Kind, []byte, error) {
	kind, body, _, err := NextFrame(s.in[s.start:s.fill])
	if err != nil || kind == 0 {
		return 0, nil, err
	}
	s.start += headerLen + len(body)
	s.octets += uint64(headerLen + len(body))
	return kind, body, nil
}

// greet reads Hello and answers it, also where there is no Inspector to be had.
func (s *session) greet(open Opener) error {
	for {
		kind, body, err := s.next()
		switch {
		case err != nil:
			return err
		case kind == KindHello:
			return s.welcome(open, body)
		case kind != 0:
			return &ProtocolError{kind, "before Hello"}
		}
		if err := s.read(); err != nil {
			return err
		}
	}
}

func (s *session) welcome(open Opener, body []byte) error {
	h, err := ParseHello(body)
	if err != nil {
		return err
	}
	s.quarantine = h.Quarantine
	i, release, openErr := open(h)
	trouble := ""
	if openErr != nil {
		trouble = openErr.Error()
	}
	s.inspector, s.acked = i, s.octets // Welcome is Hello's Ack
	if _, err := s.conn.Write(AppendWelcome(nil, release, trouble)); err != nil {
		return fmt.Errorf("answer hello: %w", err)
	}
	return openErr
}

func (s *session) frames() error {
	for {
		kind, body, err := s.next()
		if err != nil || kind == 0 {
			return err
		}
		if err := s.frame(kind, body); err != nil {
			return err
		}
		if len(s.out) >= writeOctets {
			if err := s.answer(); err != nil {
				return err
			}
		}
	}
}

func (s *session) frame(kind Kind, body []byte) error {
	switch kind {
	case KindSample:
		if err := ParseSample(body, &s.sample); err != nil {
			return err
		}
		done := s.inspect()
		if label := s.inspector.Label(); len(label) > 0 {
			s.out = append(appendHeader(s.out, KindLabel, len(label)), label...)
		}
		if done {
			s.done++
			s.out = AppendFlowFrame(s.out, KindDone, FlowRef{s.sample.FlowID, s.sample.Part})
		}
		return nil
	case KindClose:
		ref, err := ParseFlowFrame(kind, body)
		if err != nil {
			return err
		}
		s.payload = s.inspector.Close(ref, s.payload[:0])
		s.out = appendVerdict(s.out, ref, s.payload)
		return nil
	default:
		return &ProtocolError{kind, "not one for this side"}
	}
}

// inspect has the sample looked at, unless it is known to be fatal.
func (s *session) inspect() (done bool) {
	if s.isQuarantined(&s.sample) {
		s.inspector.Quarantine(&s.sample)
		return true
	}
	s.witness.hold(s.sample.Packet)
	done = s.inspector.Sample(&s.sample)
	s.witness.let()
	return done
}

// answer sends what has been gathered, with an Ack that says how far it goes.
func (s *session) answer() error {
	if s.octets == s.acked {
		return nil
	}
	a := s.inspector.Counts()
	a.Octets, a.Done = s.octets, s.done
	s.acked = s.octets
	_, err := s.conn.Write(AppendAck(s.out, a))
	s.out = s.out[:0]
	if err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	return nil
}
