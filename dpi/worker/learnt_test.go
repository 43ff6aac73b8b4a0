package worker

import (
	"strings"
	"testing"
)

func TestALabelIsOfAProtocolByItsWholeName(t *testing.T) {
	for label, want := range map[string]bool{
		"DNS": true, "MDNS": true, "DNS.Google": true, "Tor.DNS": true, "DNScrypt": false, "TLS.DNScrypt": false, "DoH_DoT": false, "": false, "TLS": false,
	} {
		var c Classifier
		c.result.ApplicationName = []byte(label)
		if got := c.isLabelled("DNS", "MDNS"); got != want {
			t.Errorf("%q: %v", label, got)
		}
	}
}

func TestAHostsNameIsKeptAsNDPIKeepsIt(t *testing.T) {
	for name, want := range map[string]string{
		"":                            "",
		"WWW.Example.org":             "www.example.org",
		"a" + strings.Repeat("b", 79): strings.Repeat("b", 79),
		strings.Repeat("b", 40) + strings.Repeat("é", 40): strings.Repeat("é", 39),
	} {
		if got := string(hostName(name)); got != want {
			t.Errorf("%q is kept as %q", name, got)
		}
	}
}
