package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// A capture that is cut ends with exit code 3 and the byte, and with the flows
// before it; one that ends at a record is whole.
func TestE1CutCapturesEndWithExitCode3(t *testing.T) {
	files := []string{"../../testdata/built-formats/micro.pcap"}
	if os.Getenv("WEIR_SOAK") != "" {
		files = append(files, "../../testdata/dns-udp/dns-udp.pcap", "../../testdata/dns-tcp/dns-tcp.pcap", "../../testdata/icmpv6/icmpv6.pcap",
			"../../testdata/mdns/mdns.pcap", "../../testdata/dhcp/dhcp.pcap", "../../testdata/ntp/ntp.pcap", "../../testdata/icmp/icmp.pcap",
			"../../testdata/built-vlan-tags/vlan-tags.pcap", "../../testdata/built-gre/gre.pcap")
	}
	cuts := 0
	for _, path := range files {
		raw := read(t, path)
		packets, end := 0, 24 // whole ones before the cut, and where the last of them ends
		for cut := 24; cut <= len(raw); cut++ {
			if next := end + 16; cut >= next && cut == next+int(binary.LittleEndian.Uint32(raw[end+8:])) {
				packets, end = packets+1, cut
			}
			checkCutReplay(t, write(t, "cut.pcap", raw[:cut]), packets, end, cut == end)
			cuts++
		}
		if packets < 2 || end != len(raw) {
			t.Errorf("%s: %d packets, the last ends at %d of %d octets", path, packets, end, len(raw))
		}
	}
	t.Logf("measured: weir replay of %d captures cut at %d octets: exit code 3 with the byte and the flows before, or 0 at a record", len(files), cuts)
}

func checkCutReplay(t *testing.T, path string, packets, end int, whole bool) {
	t.Helper()
	code, f := weir(t, "replay", "-q", "-o", "csv:-", "--dissections", "0", path)
	got := 0
	for _, row := range table(t, f.out.Bytes()) {
		n, _ := strconv.Atoi(row["bidirectional_packets"])
		got += n
	}
	want, said := exitDamaged, fmt.Sprintf("damaged at byte %d", end)
	if whole {
		want, said = exitComplete, ""
	}
	if code != want || !strings.Contains(f.err.String(), said) || got != packets {
		t.Fatalf("cut behind byte %d: exit code %d, %d packets, %q; want %d, %d and %q", end, code, got, f.err.String(), want, packets, said)
	}
}
