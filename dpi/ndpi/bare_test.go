//go:build cgo && !nodpi

package ndpi

import "testing"

// TestBareIsAsGoodAsThePacket holds what nDPI is told of a packet without payload
// against the packet itself, before a response and before the rest of a request.
func TestBareIsAsGoodAsThePacket(t *testing.T) {
	m := open(t)
	const request = "GET /a HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: x\r\n\r\n"
	const response = "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Type: application/octet-stream\r\nContent-Length: 2\r\n\r\nok"
	client, server := tcp(5000, 80, 1, ""), tcp(80, 5000, 1, "")
	for name, c := range map[string]struct {
		packets [][]byte
		bare    []byte // before the last of packets
		against bool
	}{
		"the server acknowledges":           {[][]byte{tcp(5000, 80, 1, request), tcp(80, 5000, 1, response)}, server, false},
		"the client acknowledges":           {[][]byte{tcp(5000, 80, 1, request), tcp(80, 5000, 1, response)}, client, true},
		"the server, in between a request":  {[][]byte{tcp(5000, 80, 1, request[:40]), tcp(5000, 80, 41, request[40:])}, server, true},
		"the client, in between a request":  {[][]byte{tcp(5000, 80, 1, request[:40]), tcp(5000, 80, 41, request[40:])}, client, false},
		"what is no HTTP has no turns":      {[][]byte{tcp(5000, 22, 1, "SSH-2.0-x\r\n"), tcp(22, 5000, 1, "SSH-2.0-y\r\n")}, server, false},
		"before the first packet it is not": {[][]byte{tcp(5000, 80, 1, request)}, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			last := len(c.packets) - 1
			var shown, told Flow
			for i, p := range c.packets {
				if i == last && c.bare != nil {
					feed(m, &shown, c.bare)
				}
				feed(m, &shown, p)
				if i == last {
					m.Bare(told, p, uint32(len(p)), 1, c.against)
				}
				feed(m, &told, p)
			}
			want, got := verdictOf(m, shown), verdictOf(m, told)
			if got != want {
				t.Errorf("told of it %q, shown it %q", got, want)
			}
		})
	}
}

func verdictOf(m *Module, f Flow) [5]string {
	var r Result
	m.Finish(f, &r, nil)
	return [5]string{string(r.ApplicationName), string(r.CategoryName), string(r.ServerName), string(r.UserAgent), string(r.ContentType)}
}

func TestBareOfWhatIsNoPacketIsNotShown(t *testing.T) {
	m := open(t)
	var f Flow
	feed(m, &f, tcp(5000, 80, 1, "GET /a HTTP/1.1\r\nHost: www.example.org\r\n\r\n"))
	for _, packet := range [][]byte{nil, {0x45}, tcp(80, 5000, 1, "")[:30], udp(80, 5000, "x")} {
		m.Bare(f, packet, uint32(len(packet)), 1, true)
	}
	if got := verdictOf(m, f); got[0] != "HTTP" {
		t.Errorf("%q", got)
	}
}
