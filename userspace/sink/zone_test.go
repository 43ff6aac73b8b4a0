package sink

import (
	"net"
	"strconv"
	"testing"
)

func TestZonesAreNumbered(t *testing.T) {
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	number := strconv.Itoa(lo.Index)
	for _, network := range []string{networkTCP, networkUDP} {
		for address, want := range map[string]string{
			"[fe80::1%lo]:5170":          "[fe80::1%" + number + "]:5170",
			"[fe80::1%" + number + "]:1": "[fe80::1%" + number + "]:1",
			"[fe80::1]:5170":             "[fe80::1]:5170",
			"collector.example:5170":     "collector.example:5170",
			"/run/collector.sock":        "/run/collector.sock",
		} {
			if got, err := numberZone(network, address); err != nil || got != want {
				t.Errorf("%s %s: %s, %v, want %s", network, address, got, err, want)
			}
		}
		for _, zone := range []string{"nosuchinterface", "an-interface-of-too-long-a-name"} {
			if got, err := numberZone(network, "[fe80::1%"+zone+"]:5170"); err == nil {
				t.Errorf("%s: %s is taken for %s", network, zone, got)
			}
		}
	}
}
