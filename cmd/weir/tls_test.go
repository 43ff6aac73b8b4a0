package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weirflow/weir/userspace/sink/tlstest"
)

// A certifiedClient is the files of one.
type certifiedClient struct {
	ca, certificate, key string
	secret               string // of the key
}

// write writes the files; the key is its owner's only.
func writeClient(t *testing.T, a *tlstest.Authority, owner int) certifiedClient {
	t.Helper()
	dir := publicDir(t)
	c := certifiedClient{ca: filepath.Join(dir, "ca.pem"), certificate: filepath.Join(dir, "client.pem"), key: filepath.Join(dir, "client.key")}
	certificate, key := tlstest.PEM(t, a.Certificate(tlstest.Soon()))
	c.secret = strings.Split(string(key), "\n")[1]
	if err := errors.Join(os.WriteFile(c.ca, a.PEM(), 0o644), os.WriteFile(c.certificate, certificate, 0o644), os.WriteFile(c.key, key, 0o600),
		os.Chown(c.key, owner, owner)); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *certifiedClient) args() []string {
	return []string{"--tls-ca", c.ca, "--tls-certificate", c.certificate, "--tls-key", c.key}
}

// collectTLS listens where weir meters, by a name, and counts the packets that come.
func (w *wire) collectTLS(t *testing.T, config *tls.Config) (output string, packets <-chan uint64) {
	t.Helper()
	command(t, "ip", "-n", w.rx, "link", "set", "lo", "up")
	l := listenIn(t, w.rx, "tcp4", "127.0.0.1:0")
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan uint64, 100)
	go func() {
		for {
			conn, err := tls.NewListener(l, config).Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				got <- packetsIn(t, conn)
			}()
		}
	}()
	return "ndjson:tls://localhost:" + port, got
}

// Whoever may read the key writes the flows, and the key is told to nobody.
func TestG3FlowsAreSentOverTLSFromTheSandbox(t *testing.T) {
	w := newWire(t)
	a := tlstest.New(t)
	client := writeClient(t, a, 4242)
	output, packets := w.collectTLS(t, &tls.Config{Certificates: []tls.Certificate{a.Certificate(tlstest.Soon(), "localhost")},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: a.Pool()})
	control := filepath.Join(publicDir(t), "control")
	p := w.attach(t, append(client.args(), "-o", output, "--control", control, "-v", "--dissections", "0", "--idle-timeout", "100ms")...)
	s := w.sender(t)
	s.send(50, 4)
	time.Sleep(500 * time.Millisecond)
	status := read(t, "/dev/null")
	if code, out, said := w.runIn(t, "status", "--control", control, "--format", "json"); code == exitComplete {
		status = []byte(out)
	} else {
		t.Errorf("status: exit code %d: %s", code, said)
	}
	p.interrupt(t)
	code, _, said := p.end(t)
	closes(t, said)
	if n := <-packets; code != exitComplete || n != s.sent.Load() || !strings.Contains(said, "the consumer is user 4242") {
		t.Errorf("exit code %d, %d packets of %d: %s", code, n, s.sent.Load(), said)
	}
	if !bytes.Contains(status, []byte(output)) || strings.Contains(said+string(status), client.secret) || strings.Contains(said+string(status), "PRIVATE") {
		t.Errorf("status %s, said %s", status, said)
	}
}

// Without --tls-ca the system's certificates decide, in the sandbox too.
func TestG3CollectorThatIsNotTrustedGetsNothing(t *testing.T) {
	w := newWire(t)
	trusted, other := tlstest.New(t), tlstest.New(t)
	system := writeClient(t, trusted, 0)
	t.Setenv("SSL_CERT_FILE", system.ca)
	for _, c := range []struct {
		name   string
		server tls.Certificate
		args   []string
		code   int
		said   string // once
	}{
		{"trusted", trusted.Certificate(tlstest.Soon(), "localhost"), nil, exitComplete, ""},
		{"of a name that is told", trusted.Certificate(tlstest.Soon(), "collector.example"), []string{"--tls-server-name", "collector.example"}, exitComplete, ""},
		{"of another name", trusted.Certificate(tlstest.Soon(), "collector.example"), nil, exitLoss, "TLS: x509: certificate is valid for collector.example, not localhost"},
		{"expired", trusted.Certificate(time.Now().Add(-time.Hour), "localhost"), nil, exitLoss, "TLS: x509: certificate has expired"},
		{"of a stranger", other.Certificate(tlstest.Soon(), "localhost"), nil, exitLoss, "TLS: x509: certificate signed by unknown authority"},
	} {
		t.Run(c.name, func(t *testing.T) {
			output, packets := w.collectTLS(t, &tls.Config{Certificates: []tls.Certificate{c.server}})
			s := w.sender(t)
			p := w.attach(t, append(c.args, "-o", output, "--dissections", "0", "--idle-timeout", "50ms", "--drain", "1s")...)
			s.send(20, 2)
			time.Sleep(1500 * time.Millisecond) // of several tries
			p.interrupt(t)
			code, _, said := p.end(t)
			closes(t, said)
			refused, causes := notSent(said)
			if code != c.code || c.code == exitLoss && (causes["no TLS"] != s.sent.Load() || refused != s.sent.Load() || strings.Count(said, c.said) != 1) {
				t.Errorf("exit code %d, not sent: %v of %d: %s", code, causes, s.sent.Load(), said)
			}
			if c.code == exitComplete {
				if n := <-packets; n != s.sent.Load() || refused > 0 {
					t.Errorf("%d packets of %d arrived", n, s.sent.Load())
				}
			}
		})
	}
}

func TestTLSOptionsThatCannotBeAreOneLine(t *testing.T) {
	a := tlstest.New(t)
	client, other := writeClient(t, a, os.Geteuid()), writeClient(t, a, os.Geteuid())
	garbage := filepath.Join(t.TempDir(), "garbage")
	if err := os.WriteFile(garbage, []byte("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const output = "ndjson:tls://127.0.0.1:1"
	for _, c := range []struct {
		name string
		args []string
		code int
		said string
	}{
		{"no output over TLS", []string{"-o", "csv:-", "--tls-ca", client.ca}, exitUsage, "mean nothing without an output at tls://"},
		{"a certificate without a key", []string{"-o", output, "--tls-certificate", client.certificate}, exitUsage, "go together"},
		{"a key without a certificate", []string{"-o", output, "--tls-key", client.key}, exitUsage, "go together"},
		{"no such CA", []string{"-o", output, "--tls-ca", "/nonexistent"}, exitFailed, "read --tls-ca: open /nonexistent"},
		{"a CA that is none", []string{"-o", output, "--tls-ca", garbage}, exitFailed, "holds no certificate in PEM"},
		{"the key of another", []string{"-o", output, "--tls-certificate", client.certificate, "--tls-key", other.key}, exitFailed, "private key does not match"},
		{"a key that is none", []string{"-o", output, "--tls-certificate", client.certificate, "--tls-key", garbage}, exitFailed, "read the certificate"},
		{"a port that is none", []string{"-o", "ndjson:tls://127.0.0.1:no-such-service"}, exitFailed, "no-such-service"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, f := weir(t, append([]string{"replay", http1, "--dissections", "0"}, c.args...)...)
			said := f.err.String()
			if code != c.code || len(lines(said)) != 1 || !strings.Contains(said, c.said) || strings.Contains(said, "c2VjcmV0") || strings.Contains(said, "secret") {
				t.Errorf("exit code %d, %q; want %d and %q", code, said, c.code, c.said)
			}
		})
	}
}
