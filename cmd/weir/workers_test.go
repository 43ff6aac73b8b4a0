package main

import (
	"strings"
	"testing"

	"github.com/weirflow/weir/dpi"
)

// TestSeveralProcessesWriteWhatOneWrites holds an output, order included, against
// that of one process with nDPI.
func TestSeveralProcessesWriteWhatOneWrites(t *testing.T) {
	if !dpi.Available() {
		t.Log("this build holds no nDPI")
		return
	}
	var want string
	for _, n := range []string{"1", "3"} {
		code, f := weir(t, "replay", "-q", "-o", "csv:-", "--l7", "full", "--dpi-workers", n, http1, "../../testdata/dns-udp/dns-udp.pcap", "../../testdata/quic/quic.pcap")
		if code != exitComplete {
			t.Fatalf("%s processes: exit code %d: %s", n, code, f.err.String())
		}
		if want == "" {
			want = f.out.String()
		}
		if f.out.String() != want || len(lines(want)) < 10 {
			t.Errorf("%s processes write\n%s\none\n%s", n, f.out.String(), want)
		}
	}
	if code, f := weir(t, "replay", "--dpi-workers", "65", http1); code != exitUsage || !strings.Contains(f.err.String(), "64") {
		t.Errorf("65 processes: exit code %d: %s", code, f.err.String())
	}
}
