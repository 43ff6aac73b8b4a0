package sink

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
)

// A handshakeError is why there is no TLS connection. What it says may be of the other
// side's making, its certificate's names for one.
type handshakeError struct{ err error }

const handshakeTextMax = 300

func (e *handshakeError) Error() string {
	text := e.err.Error()
	if unverified := (*tls.CertificateVerificationError)(nil); errors.As(e.err, &unverified) {
		text = unverified.Err.Error()
	}
	if len(text) > handshakeTextMax {
		text = strings.ToValidUTF8(text[:handshakeTextMax], "") + "…"
	}
	return "TLS: " + strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return unicode.ReplacementChar
	}, text)
}

func (e *handshakeError) Unwrap() error { return e.err }

// handshakeAdvice says what the user can do about a handshakeError, if err is one.
func handshakeAdvice(err error) string {
	var e *handshakeError
	switch {
	case !errors.As(err, &e):
		return ""
	case errors.As(e.err, new(x509.UnknownAuthorityError)):
		return "; trust who has signed its certificate, if that is right"
	case errors.As(e.err, new(x509.HostnameError)):
		return "; connect to a name that its certificate has, or tell that name"
	case errors.As(e.err, new(x509.CertificateInvalidError)):
		return "; see its certificate, and the clock"
	case errors.Is(e.err, errRefused):
		return "; see what it wants of a client's certificate"
	}
	return "; see that TLS is spoken there"
}

// Why there is no TLS connection, or none any more.
var (
	errUnderWay = errors.New("the handshake was under way at the end")
	errRefused  = errors.New("the other side refuses")
)

// reasonOf is why TLS has ended.
func reasonOf(err error) error {
	var op *net.OpError
	switch {
	case errors.As(err, &op) && op.Op == "remote error": // an alert
		return fmt.Errorf("%w: %w", errRefused, op.Err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errClosed
	}
	return bareNetwork(err)
}

// A secured is TLS over a wire. Its positions are of what was given to it; a record of TLS
// has arrived when the wire's octets up to its end have, and those of its handshake.
type secured struct {
	limits   *limits
	tls      *tls.Conn
	begun    atomic.Int64 // is written, or some of it is
	arrived  int64
	marks    []mark        // of what has not arrived
	accepted chan struct{} // closed when the other side has said anything since the handshake
	accept   sync.Once
	ended    chan struct{} // closed when nothing more is read
	end      error         // why, after that; nil where the other side has only closed its half

	mu   sync.Mutex // TLS answers by itself while it reads
	wire *wire
}

// A mark is a position, and where on the wire what is before it ends.
type mark struct{ plain, wire int64 }

// recordMax is what a record of TLS holds at most.
const recordMax = 16 << 10

// secure has TLS spoken over a connection. The other side is known to be who it should
// be, and to take this one, when it returns.
func secure(ctx context.Context, w *wire, host string, l *limits) (*secured, error) {
	s := &secured{limits: l, wire: w, accepted: make(chan struct{}), ended: make(chan struct{})}
	asked := false // for a certificate
	s.tls = tls.Client(&carrier{w.conn, ctx, s}, s.config(host, &asked))
	brief, cancel := context.WithTimeout(ctx, l.connect)
	defer cancel()
	err := s.tls.HandshakeContext(brief)
	if err != nil {
		switch {
		case ctx.Err() != nil:
			err = errUnderWay
		case brief.Err() != nil:
			err = fmt.Errorf("the handshake takes longer than %v", l.connect)
		}
		close(s.ended)
		s.discard()
		return nil, &handshakeError{reasonOf(err)}
	}
	go s.read()
	if asked && s.tls.ConnectionState().Version >= tls.VersionTLS13 {
		if err := s.awaitAcceptance(ctx); err != nil {
			s.discard()
			return nil, &handshakeError{err}
		}
	}
	return s, nil
}

// config is of one connection. Sessions are not taken up again: each time all of the
// other side's certificate is looked at.
func (s *secured) config(host string, asked *bool) *tls.Config {
	c := &tls.Config{}
	if s.limits.tls != nil {
		c = s.limits.tls.Clone()
	}
	if c.ServerName == "" {
		c.ServerName, _, _ = strings.Cut(host, "%") // without the zone of an IPv6 address
	}
	choose := c.GetClientCertificate
	own := c.Certificates
	c.GetClientCertificate = func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		*asked = true
		if choose != nil {
			return choose(info)
		}
		for i := range own {
			if info.SupportsCertificate(&own[i]) == nil {
				return &own[i], nil
			}
		}
		return &tls.Certificate{}, nil
	}
	c.ClientSessionCache = tickets{s}
	return c
}

// tickets keeps none: that one comes shows that the other side goes on.
type tickets struct{ s *secured }

func (t tickets) Get(string) (*tls.ClientSessionState, bool) { return nil, false }

func (t tickets) Put(string, *tls.ClientSessionState) { t.s.accept.Do(func() { close(t.s.accepted) }) }

// awaitAcceptance waits for the other side to take this one's certificate, or for it to do without.
// In TLS 1.3 a handshake is over before that, and what is sent meanwhile would be taken by
// the other machine, and be lost. A server that says nothing has a moment for it.
func (s *secured) awaitAcceptance(ctx context.Context) error {
	select {
	case <-s.accepted:
	case <-time.After(s.limits.accept):
	case <-ctx.Done():
		return errUnderWay
	case <-s.ended:
		if s.end == nil {
			return errClosed
		}
		return s.end
	}
	return nil
}

// read takes what the other side says, and makes nothing of it but its refusal to go on.
func (s *secured) read() {
	defer close(s.ended)
	for dump := make([]byte, 4096); ; {
		n, err := s.tls.Read(dump)
		if n > 0 {
			s.accept.Do(func() { close(s.accepted) })
		}
		if err == nil {
			continue
		}
		if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			s.end = reasonOf(err)
		}
		return
	}
}

// A carrier is the wire as TLS sees it: a write waits as long as anything moves.
type carrier struct {
	net.Conn
	ctx context.Context
	s   *secured
}

func (c *carrier) Write(p []byte) (int, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if err := c.s.wire.write(c.ctx, p, func(int64) {}); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (s *secured) write(ctx context.Context, p []byte, arrived func(int64)) error {
	for len(p) > 0 {
		chunk := p[:min(len(p), recordMax)]
		p = p[len(chunk):]
		s.begun.Add(int64(len(chunk)))
		_, err := s.tls.Write(chunk)
		if err == nil {
			s.marks = append(s.marks, mark{s.begun.Load(), s.wire.written.Load()})
			err = ctx.Err()
		}
		s.advance(arrived)
		if err != nil {
			return s.because(err)
		}
	}
	return s.look(arrived)
}

func (s *secured) look(arrived func(int64)) error {
	s.mu.Lock()
	err := s.wire.look(func(int64) {})
	s.mu.Unlock()
	s.advance(arrived)
	select {
	case <-s.ended:
		if s.end != nil {
			return s.end
		}
	default:
	}
	if err != nil {
		return s.because(err)
	}
	return nil
}

// advance tells how far what was given to TLS has arrived.
func (s *secured) advance(arrived func(int64)) {
	s.mu.Lock()
	on := s.wire.arrived
	s.mu.Unlock()
	before := s.arrived
	for len(s.marks) > 0 && s.marks[0].wire <= on {
		s.arrived, s.marks = s.marks[0].plain, s.marks[1:]
	}
	if s.arrived > before {
		arrived(s.arrived)
	}
}

// because is what the other side has said where it has ended the connection, rather than
// that it is ended.
func (s *secured) because(err error) error {
	select {
	case <-s.ended:
		if s.end != nil {
			return s.end
		}
	case <-time.After(s.limits.look):
	}
	return bareNetwork(err)
}

func (s *secured) hasArrived() bool { return s.arrived == s.begun.Load() }

func (s *secured) position() int64 { return s.begun.Load() }

// close tells the other side that this is all, if all has arrived.
func (s *secured) close() {
	if s.hasArrived() {
		_ = s.tls.Close()
		<-s.ended
		return
	}
	s.discard()
}

// discard ends the connection so that nothing further arrives.
func (s *secured) discard() {
	if tcp, ok := s.wire.conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = s.wire.conn.Close()
	<-s.ended
}
