package sink

import (
	"crypto/tls"
	"errors"
	"io"
	mathrand "math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/weirflow/weir/userspace/sink/tlstest"
)

// collectTLS listens as collect does. serve gets connections of which the handshake is
// still to be made.
func collectTLS(t *testing.T, config *tls.Config, serve func(c *collector, number int, conn *tls.Conn)) *collector {
	t.Helper()
	c := collect(t, "tcp", func(c *collector, number int, conn net.Conn) {
		secured := tls.Server(conn, config)
		serve(c, number, secured)
		_ = secured.Close()
	})
	c.path = "tls" + strings.TrimPrefix(c.path, "tcp")
	return c
}

func readAll(c *collector, number int, conn *tls.Conn) { c.read(number, conn, 0) }

// arriveOnce offers flows, all of which have to arrive, once each, and returns how
// many did.
func arriveOnce(t *testing.T, s *remote, c *collector) int {
	t.Helper()
	const flows = 3000
	refused := offer(t, s, flows)
	got := arrivals(t, c.end())
	for n := uint64(1); n <= flows; n++ {
		if got[n] != 1 {
			t.Fatalf("flow %d arrived %d times", n, got[n])
		}
	}
	if len(refused) > 0 {
		t.Errorf("not sent: %v", refused)
	}
	return len(got)
}

func TestG3FlowsArriveOverTLSInOrderEachOnce(t *testing.T) {
	a := tlstest.New(t)
	server, client := a.Certificate(tlstest.Soon(), "127.0.0.1"), a.Certificate(tlstest.Soon())
	for _, c := range []struct {
		name    string
		version uint16
		mutual  tls.ClientAuthType
		silent  bool // no tickets
	}{
		{"TLS 1.3", tls.VersionTLS13, tls.NoClientCert, false}, {"TLS 1.2", tls.VersionTLS12, tls.NoClientCert, false},
		{"TLS 1.3, both prove who they are", tls.VersionTLS13, tls.RequireAndVerifyClientCert, false},
		{"TLS 1.2, both prove who they are", tls.VersionTLS12, tls.RequireAndVerifyClientCert, false},
		{"TLS 1.3, of a server that says nothing after it", tls.VersionTLS13, tls.RequireAndVerifyClientCert, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := collectTLS(t, &tls.Config{Certificates: []tls.Certificate{server}, MaxVersion: c.version, ClientAuth: c.mutual,
				ClientCAs: a.Pool(), SessionTicketsDisabled: c.silent}, readAll)
			s := openRemote(t, l.path, WithQueue(200, 1<<20), WithDrain(time.Minute), patientLimits,
				WithTLS(&tls.Config{RootCAs: a.Pool(), Certificates: []tls.Certificate{client}}))
			s.Patient()
			arriveOnce(t, s, l)
		})
	}
}

// patientLimits leave handshakes the time that they take on a busy machine.
func patientLimits(l *limits) {
	l.connect, l.stall, l.accept = 20*time.Second, 20*time.Second, 500*time.Millisecond
}

// A failingHandshake is one that comes to no end, and why.
type failingHandshake struct {
	name   string
	server *tls.Config
	client *tls.Config
	serve  func(*collector, int, *tls.Conn) // nil to read all
	limits Option
	want   string
}

func failingHandshakes(t *testing.T) (a *tlstest.Authority, all []failingHandshake) {
	t.Helper()
	a, other := tlstest.New(t), tlstest.New(t)
	mine := a.Certificate(tlstest.Soon(), "127.0.0.1")
	stalled := make(chan struct{})
	t.Cleanup(func() { close(stalled) })
	return a, []failingHandshake{
		{name: "another name", server: &tls.Config{Certificates: []tls.Certificate{a.Certificate(tlstest.Soon(), "other.example", "10.0.0.1")}},
			want: "x509: certificate is valid for 10.0.0.1, not 127.0.0.1"},
		{name: "another name than is asked for", server: &tls.Config{Certificates: []tls.Certificate{mine}}, client: &tls.Config{ServerName: "collector.example"},
			want: "collector.example"},
		{name: "expired", server: &tls.Config{Certificates: []tls.Certificate{a.Certificate(time.Now().Add(-time.Hour), "127.0.0.1")}},
			want: "certificate has expired"},
		{name: "not trusted", server: &tls.Config{Certificates: []tls.Certificate{other.Certificate(tlstest.Soon(), "127.0.0.1")}},
			want: "unknown authority"},
		{name: "signed by itself", server: &tls.Config{Certificates: []tls.Certificate{tlstest.NoAuthority(t).Certificate(tlstest.Soon(), "127.0.0.1")}},
			want: "unknown authority"},
		{name: "not TLS", server: &tls.Config{}, want: "does not look like a TLS handshake",
			serve: func(_ *collector, _ int, conn *tls.Conn) {
				_, _ = conn.NetConn().Write([]byte("220 ready\r\n\r\n\r\n"))
			}},
		{name: "a handshake that stalls", server: &tls.Config{}, want: "the handshake takes longer than 100ms",
			serve: func(*collector, int, *tls.Conn) { <-stalled }, limits: func(l *limits) { l.connect = 100 * time.Millisecond }},
		{name: "a handshake that stalls for longer than there is", server: &tls.Config{}, want: errUnderWay.Error(),
			serve: func(*collector, int, *tls.Conn) { <-stalled }, limits: func(l *limits) { l.connect = time.Minute }},
		{name: "a reset in the handshake", server: &tls.Config{}, want: "connection reset by peer",
			serve: func(_ *collector, _ int, conn *tls.Conn) {
				_, _ = conn.NetConn().Read(make([]byte, 100))
				_ = conn.NetConn().(*net.TCPConn).SetLinger(0)
				_ = conn.NetConn().Close()
			}},
		{name: "an end in the handshake", server: &tls.Config{}, want: "closed by the other side",
			serve: func(_ *collector, _ int, conn *tls.Conn) {
				_, _ = io.CopyN(io.Discard, conn.NetConn(), 5)
				_, _ = conn.NetConn().Read(make([]byte, 4096))
				_ = conn.NetConn().Close()
			}},
		{name: "too old a version", server: &tls.Config{Certificates: []tls.Certificate{mine}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, want: "protocol version"},
		// In TLS 1.3 the client's handshake is over before the server has looked at its certificate.
		{name: "no certificate where one is wanted", server: &tls.Config{Certificates: []tls.Certificate{mine}, ClientAuth: tls.RequireAnyClientCert}, want: "the other side refuses: tls: certificate required"},
		{name: "a certificate that is not wanted", server: &tls.Config{Certificates: []tls.Certificate{mine}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: a.Pool()},
			client: &tls.Config{GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				strange := other.Certificate(tlstest.Soon())
				return &strange, nil
			}}, want: "the other side refuses: tls: "},
		{name: "no certificate where one is wanted, TLS 1.2", server: &tls.Config{Certificates: []tls.Certificate{mine}, ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12},
			want: "the other side refuses: tls: "},
	}
}

// Whatever keeps a handshake from its end, no flow leaves, and each is counted with that cause.
func TestG3HandshakeThatFailsCostsWhatFindsNoRoom(t *testing.T) {
	a, all := failingHandshakes(t)
	for _, c := range all {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			serve := c.serve
			if serve == nil {
				serve = readAll
			}
			l := collectTLS(t, c.server, serve)
			if c.client == nil {
				c.client = &tls.Config{}
			}
			c.client.RootCAs = a.Pool()
			if c.limits == nil {
				c.limits = func(*limits) {}
			}
			s := openRemote(t, l.path, WithQueue(100, 1<<20), patientLimits, func(l *limits) { l.accept = 20 * time.Second }, WithTLS(c.client), c.limits)
			want := uint64(500)
			if c.want == errUnderWay.Error() { // what comes until then has no connection, for another reason
				want = 100
			} else {
				awaitTrouble(t, s, c.want)
			}
			refused := offer(t, s, 500)
			if c.want == errUnderWay.Error() {
				awaitTrouble(t, s, c.want)
			}
			if got := refused["no TLS"]; got.flows != want || refused.total().flows != 500 || refused.total().count.Packets != sum(500) {
				t.Errorf("not sent: %+v, want all, for want of TLS", refused)
			}
			_ = l.Close()
			if !strings.Contains(c.name, "stalls") {
				if got := strings.Join(l.end(), ""); got != "" {
					t.Errorf("%.100q was taken", got)
				}
			}
		})
	}
}

// awaitTrouble waits until a first handshake has failed as it should.
func awaitTrouble(t *testing.T, s *remote, want string) {
	t.Helper()
	for tries := 0; !strings.Contains(s.reason().Error(), want); tries++ {
		if tries > 1000 {
			t.Fatalf("the trouble is %v, want %q", s.reason(), want)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// What the other side has acknowledged counts as sent, the rest comes again on the next connection.
func TestG3ResetsOfTLSAreFollowedByWhatWasNotTaken(t *testing.T) {
	a := tlstest.New(t)
	l := collectTLS(t, &tls.Config{Certificates: []tls.Certificate{a.Certificate(tlstest.Soon(), "127.0.0.1")}}, func(c *collector, number int, conn *tls.Conn) {
		if number < 10 {
			c.read(number, conn, 10)
			_ = conn.NetConn().(*net.TCPConn).SetLinger(0)
			_ = conn.NetConn().Close()
			return
		}
		c.read(number, conn, 0)
	})
	s := openRemote(t, l.path, WithDrain(time.Minute), WithQueue(300, 1<<20), patientLimits, WithTLS(&tls.Config{RootCAs: a.Pool()}))
	s.Patient()
	const flows = 1500
	refused := offer(t, s, flows)
	received := l.end()
	got := arrivals(t, received)
	if len(received) < 11 || len(refused) > 0 || got[flows] == 0 {
		t.Errorf("%d connections, the last flow came %d times; not sent: %v", len(received), got[flows], refused)
	}
}

// A collector that accepts and reads nothing has, in the buffers of its machine, what
// counts as sent over TLS.
func TestG3CollectorThatStallsHasWhatCountsAsSentOverTLS(t *testing.T) {
	a := tlstest.New(t)
	late := make(chan struct{})
	l := collectTLS(t, &tls.Config{Certificates: []tls.Certificate{a.Certificate(tlstest.Soon(), "127.0.0.1")}}, func(c *collector, number int, conn *tls.Conn) {
		_ = conn.Handshake()
		<-late
		c.read(number, conn, 0)
	})
	s := openRemote(t, l.path, WithQueue(400, 1<<20), WithTLS(&tls.Config{RootCAs: a.Pool()}), func(l *limits) { l.connect = 20 * time.Second })
	received, got, refused := outrun(t, s, l, late)
	t.Logf("measured: %d connections, %d flows there, not sent: %+v", len(received), len(got), refused)
}

func TestG4PartialWritesGiveTheSameOctetsOverTLS(t *testing.T) {
	a := tlstest.New(t)
	c := collectTLS(t, &tls.Config{Certificates: []tls.Certificate{a.Certificate(tlstest.Soon(), "127.0.0.1")}}, readAll)
	p, _, _ := findPlace(c.path)
	r := newRemote("ndjson:"+c.path, p, newEncoder(NDJSON, everything, ending{}), nil, newLimits([]Option{WithTLS(&tls.Config{RootCAs: a.Pool()})}))
	for n := uint64(1); n <= 50; n++ {
		if err := r.Write(numbered(n)); err != nil {
			t.Fatal(err)
		}
	}
	w, err := dialWire(t.Context(), "tcp", p.address, &r.limits)
	if err != nil {
		t.Fatal(err)
	}
	w.conn = &reluctantConn{w.conn, mathrand.New(mathrand.NewPCG(1, 1))}
	s, err := secure(t.Context(), w, "127.0.0.1", &r.limits)
	if err != nil {
		t.Fatal(err)
	}
	close(r.closing)
	if err := r.talk(t.Context(), s); err != nil {
		t.Error(err)
	}
	s.close()
	got := arrivals(t, c.end())
	for n := uint64(1); n <= 50; n++ {
		if got[n] != 1 {
			t.Errorf("flow %d came %d times", n, got[n])
		}
	}
}

// What a server writes into its certificate is neither long nor a command to a terminal.
func TestTroubleWithTLSIsALineThatPrints(t *testing.T) {
	err := &handshakeError{errors.New("valid for \x1b[31m" + strings.Repeat("evil\n", 10_000))}
	if text := err.Error(); len([]rune(text)) > handshakeTextMax+20 || strings.ContainsAny(text, "\x1b\n") || !strings.HasPrefix(text, "TLS: valid for ") {
		t.Errorf("%q", text)
	}
}

// Without a configuration the system's roots decide, and not everybody is trusted.
func TestWithoutAConfigurationNoStrangerIsTrusted(t *testing.T) {
	c := (&secured{limits: &limits{}}).config("fe80::1%eth0", new(bool))
	if c.InsecureSkipVerify || c.RootCAs != nil || c.ServerName != "fe80::1" || len(c.Certificates) > 0 {
		t.Errorf("%+v", c)
	}
}
