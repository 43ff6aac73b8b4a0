package main

import (
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// A port that no datagram can be sent to is told of before anything is metered, as one of
// TCP is.
func TestPortsOfOutputsAreLookedAtFirst(t *testing.T) {
	for _, spec := range []string{"ipfix:udp://127.0.0.1:99999", "ipfix:udp://127.0.0.1:no-such-service", "ipfix:udp://127.0.0.1:2055/x", "ipfix:tcp://127.0.0.1:99999"} {
		if _, err := reachOf([]string{spec}); err == nil || !strings.Contains(err.Error(), spec) {
			t.Errorf("%s: %v, want an error that names the output", spec, err)
		}
	}
}

// Where a port is a name, the consumer finds it in the file that the parent found it in.
func TestNamesOfPortsAreFoundInTheSandbox(t *testing.T) {
	for spec, want := range map[string]bool{
		"ndjson:tcp://127.0.0.1:http": true, "ipfix:udp://127.0.0.1:domain": true,
		"ndjson:tcp://collector.example:5170": false, "ipfix:udp://127.0.0.1:4739": false, "ndjson:unix:///run/collector.sock": false,
	} {
		w, err := wantsOf(&settings{outputs: []string{spec}})
		if err != nil {
			t.Errorf("%s: %v", spec, err)
			continue
		}
		if got := slices.Contains(w.files.Read, "/etc/services"); got != want {
			t.Errorf("%s: may read /etc/services: %v, want %v", spec, got, want)
		}
	}
}

// What an address is made of is found out by the consumer, in its sandbox: the number of an
// interface, and of a service.
func TestAddressesWithNamesInThemAreReachedFromTheSandbox(t *testing.T) {
	if _, err := net.LookupPort("tcp", "syslog-tls"); err != nil {
		t.Fatalf("%v: /etc/services is missing: install netbase", err)
	}
	w := newWire(t)
	for _, args := range [][]string{{"link", "set", "lo", "up"}, {"addr", "add", "fe80::1/64", "dev", "lo", "nodad"}} {
		if args[0] == "addr" {
			command(t, "ip", "netns", "exec", w.rx, "sysctl", "-qw", "net.ipv6.conf.lo.disable_ipv6=0")
		}
		ip(t, append([]string{"-n", w.rx}, args...)...)
	}
	for output, address := range map[string]string{
		"ndjson:tcp://[fe80::1%lo]:5170": "[fe80::1%lo]:5170", "ipfix:tcp://127.0.0.1:syslog-tls": "127.0.0.1:6514",
	} {
		l := listenIn(t, w.rx, "tcp", address)
		conns := accepted(l)
		p := w.attach(t, "-o", output, "--dissections", "0")
		select {
		case <-conns:
		case <-time.After(10 * time.Second):
			t.Errorf("%s: nobody connects", output)
		}
		p.interrupt(t)
		if code, _, said := p.end(t); code != exitComplete {
			t.Errorf("%s: exit code %d: %s", output, code, said)
		}
	}
}
