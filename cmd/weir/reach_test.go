package main

import (
	"slices"
	"strings"
	"testing"
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
