package dpi

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/dpi/worker"
	"github.com/weirflow/weir/userspace"
)

// readOctets of answers are taken at a time, and the flows they are over handed
// on together.
const readOctets = 256 << 10

// read takes answers until the socket ends, or one cannot be.
func (p *process) read() {
	err := p.answers(p.conn)
	if !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrClosed) && !errors.Is(err, unix.ECONNRESET) {
		p.broken.Store(&err)
	}
	p.kill()
}

func (p *process) answers(conn io.Reader) error {
	buf := make([]byte, readOctets)
	var verdicts []verdict
	var flows []*pending
	for n := 0; ; {
		m, err := conn.Read(buf[n:])
		if err != nil {
			return err
		}
		p.alive()
		verdicts = verdicts[:0]
		rest := buf[:n+m]
		for {
			var kind worker.Kind
			var body []byte
			if kind, body, rest, err = worker.NextFrame(rest); err != nil {
				return err
			}
			if kind == 0 {
				break
			}
			if verdicts, err = p.answer(kind, body, verdicts); err != nil {
				return err
			}
		}
		n = copy(buf, rest)
		flows, err = p.w.publish(verdicts, flows[:0])
		resolve(flows)
		if err != nil {
			return err
		}
	}
}

func (p *process) answer(kind worker.Kind, body []byte, verdicts []verdict) ([]verdict, error) {
	switch kind {
	case worker.KindVerdict:
		ref, payload, err := worker.SplitVerdict(body)
		if err != nil {
			return verdicts, err
		}
		l7, err := p.labels.of(payload)
		return append(verdicts, verdict{ref, l7}), err
	case worker.KindDone:
		ref, err := worker.ParseFlowFrame(kind, body)
		if err == nil {
			p.w.stopSamples(ref)
		}
		return verdicts, err
	case worker.KindLabel:
		l, err := worker.ParseLabel(body)
		if err == nil && p.w.o.Classified != nil {
			p.announce(l)
		}
		return verdicts, err
	case worker.KindAck:
		return verdicts, p.ack(body)
	default:
		return verdicts, &worker.ProtocolError{Kind: kind, Reason: "not one for this side"}
	}
}

func (p *process) ack(body []byte) error {
	a, err := worker.ParseAck(body)
	if err != nil {
		return err
	}
	hello := uint64(p.hello)
	if a.Octets < hello || a.Octets-hello > p.sent.Load() {
		return &worker.ProtocolError{Kind: worker.KindAck, Reason: "of more than was sent"}
	}
	p.acked.Store(a.Octets - hello)
	p.w.mu.Lock()
	p.w.now = a
	p.w.mu.Unlock()
	return nil
}

// labels keeps verdicts that come again and again, so that most flows share
// one.
type labels struct{ m map[string]*userspace.L7 }

const (
	labelsMax      = 4096
	labelOctetsMax = 96
)

func (l *labels) of(payload []byte) (*userspace.L7, error) {
	if known := l.m[string(payload)]; known != nil {
		return known, nil
	}
	l7, err := worker.ParseVerdict(payload)
	if err != nil || len(payload) > labelOctetsMax {
		return l7, err
	}
	if l.m == nil || len(l.m) >= labelsMax {
		l.m = make(map[string]*userspace.L7)
	}
	l.m[string(payload)] = l7
	return l7, nil
}
