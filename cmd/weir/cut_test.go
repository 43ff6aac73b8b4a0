package main

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/weirflow/weir/tools/soak"
)

// A capture that is cut ends with exit code 3 and the byte, and with the flows
// before it; one that ends at a record is whole.
func TestE1CutCapturesEndWithExitCode3(t *testing.T) {
	files := []string{"../../testdata/built-formats/micro.pcap"}
	if soak.Full() {
		files = append(files, "../../testdata/dns-udp/dns-udp.pcap", "../../testdata/dns-tcp/dns-tcp.pcap", "../../testdata/icmpv6/icmpv6.pcap",
			"../../testdata/mdns/mdns.pcap", "../../testdata/dhcp/dhcp.pcap", "../../testdata/ntp/ntp.pcap", "../../testdata/icmp/icmp.pcap",
			"../../testdata/built-vlan-tags/vlan-tags.pcap", "../../testdata/built-gre/gre.pcap")
	}
	cuts := 0
	for _, path := range files {
		raw := read(t, path)
		records, end, packets := 0, 24, 0 // whole ones before the cut, where the last of them ends, and how many packets are in flows then
		for cut := 24; cut <= len(raw); cut++ {
			whole := cut == end
			if next := end + 16; cut >= next && cut == next+int(binary.LittleEndian.Uint32(raw[end+8:])) {
				records, end, whole = records+1, cut, true
			}
			got := replayCut(t, write(t, "cut.pcap", raw[:cut]), end, whole)
			if whole && (got < packets || got > records) || !whole && got != packets {
				t.Fatalf("%s cut at %d: %d packets in flows; before it were %d records, and %d packets in flows", path, cut, got, records, packets)
			}
			packets = got
			cuts++
		}
		if records < 2 || packets < 2 || end != len(raw) {
			t.Errorf("%s: %d records, %d packets, the last ends at %d of %d octets", path, records, packets, end, len(raw))
		}
	}
	t.Logf("measured: weir replay of %d captures cut at %d octets: exit code 3 with the byte and the flows before, or 0 at a record", len(files), cuts)
}

// replayCut is how many packets are in the flows of what is left of a capture.
func replayCut(t *testing.T, path string, end int, whole bool) (packets int) {
	t.Helper()
	code, f := weir(t, "replay", "-q", "-o", "csv:-", "--dissections", "0", path)
	for _, row := range table(t, f.out.Bytes()) {
		n, _ := strconv.Atoi(row["bidirectional_packets"])
		packets += n
	}
	want, said := exitDamaged, fmt.Sprintf("damaged at byte %d", end)
	if whole {
		want, said = exitComplete, ""
	}
	if code != want || !strings.Contains(f.err.String(), said) {
		t.Fatalf("cut behind byte %d: exit code %d, %q; want %d and %q", end, code, f.err.String(), want, said)
	}
	return packets
}
