package sink

import (
	"context"
	"net"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// names has every name be both of this machine's addresses.
func names(t *testing.T) *net.Resolver {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	go func() {
		for buffer := make([]byte, 1500); ; {
			n, from, err := server.ReadFrom(buffer)
			if err != nil {
				return
			}
			if reply, err := answerBoth(buffer[:n]); err == nil {
				_, _ = server.WriteTo(reply, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
}

func answerBoth(question []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(question); err != nil {
		return nil, err
	}
	m.Response, m.Additionals = true, nil
	header := dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Type: m.Questions[0].Type, Class: dnsmessage.ClassINET}
	switch header.Type {
	case dnsmessage.TypeA:
		m.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}}}}
	case dnsmessage.TypeAAAA:
		m.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AAAAResource{AAAA: [16]byte{15: 1}}}}
	}
	return m.Pack()
}

// A collector that listens at one of several addresses of its name is found, whichever
// that is.
func TestG3CollectorOverUDPIsFoundAtAnyAddressOfItsName(t *testing.T) {
	resolver := names(t)
	for _, address := range []string{"127.0.0.1", "::1"} {
		p := gather(t, net.JoinHostPort(address, "0"))
		_, port, err := net.SplitHostPort(p.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		s := openExporter(t, "udp://collector.example:"+port, WithDrain(30*time.Second), func(l *limits) { l.resolver, l.connect = resolver, 10*time.Second })
		if err := s.Write(numbered(1)); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		if got := checkArrivals(t, p.sessions(t)); got[1] != 1 {
			t.Errorf("%s: the flow arrived %d times", address, got[1])
		}
	}
}
