package main

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/tools/captures"
	"github.com/weirflow/weir/userspace"
)

// A wouldBe is a flow that the reference would make of a capture, by read() and
// its expiry: idle before active, in milliseconds that never go back.
type wouldBe struct {
	tuple       tuple
	source      netip.AddrPort
	first, last uint64
	packets     [2]uint64
	octets      [2]uint64
}

func (f *wouldBe) row() row {
	destination := f.tuple.ends[0]
	if destination == f.source {
		destination = f.tuple.ends[1]
	}
	return row{
		"src_ip": f.source.Addr().String(), "src_port": f.source.Port(), "dst_ip": destination.Addr().String(), "dst_port": destination.Port(),
		"protocol": f.tuple.protocol, "vlan_id": f.tuple.vlan, "tunnel_id": f.tuple.tunnel,
		"bidirectional_first_seen_ms": f.first, "bidirectional_last_seen_ms": f.last,
		"src2dst_packets": f.packets[0], "src2dst_bytes": f.octets[0], "dst2src_packets": f.packets[1], "dst2src_bytes": f.octets[1],
	}
}

// flowsOf makes those flows.
func flowsOf(packets []userspace.CapturedPacket) (flows []*wouldBe) {
	open, clock := map[tuple]*wouldBe{}, uint64(0)
	for i := range packets {
		r := read(&packets[i], true, bpf.WeirAccountingACCOUNTING_LINK)
		if !r.metered {
			continue
		}
		clock = max(clock, packets[i].TimeNs/1e6)
		f := open[r.tuple]
		if f == nil || clock-f.last >= 120_000 || clock-f.first >= 1_800_000 {
			f = &wouldBe{tuple: r.tuple, source: r.source, first: clock}
			open[r.tuple] = f
			flows = append(flows, f)
		}
		direction := 0
		if r.source != f.source {
			direction = 1
		}
		f.last = clock
		f.packets[direction]++
		f.octets[direction] += uint64(r.size)
	}
	return flows
}

// TestEveryFlowOfTheProjectsCapturesHasItsRule compares weir's flows of captures
// that have no answer with those that the reference would make of them.
func TestEveryFlowOfTheProjectsCapturesHasItsRule(t *testing.T) {
	dir := t.TempDir()
	paths, err := captures.Below(projectCaptures)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if strings.HasSuffix(path, ".pcap") {
			writeAnswer(t, dir, path)
		}
	}
	r, err := run(t.Context(), []string{dir})
	if err != nil {
		t.Fatal(err)
	}
	paired, differences := 0, map[rule]int{}
	for _, c := range r.results {
		paired += c.paired
		for _, d := range c.differences {
			if differences[d.rule]++; d.rule == "" {
				t.Errorf("%s: %s: %s: want %s, got %s", c.name, d.flow, d.column, d.want, d.got)
			}
		}
	}
	if paired == 0 {
		t.Error("no flow is the same")
	}
	t.Logf("%d flows paired; differences: %v", paired, differences)
}

func writeAnswer(t *testing.T, dir, capture string) {
	t.Helper()
	content, err := os.ReadFile(capture)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(dir, filepath.Base(capture))
	if err := os.WriteFile(copied, content, 0o644); err != nil {
		t.Fatal(err)
	}
	var lines []byte
	for _, f := range flowsOf(framesOf(t, capture)) {
		line, err := json.Marshal(f.row())
		if err != nil {
			t.Fatal(err)
		}
		lines = append(append(lines, line...), '\n')
	}
	if err := os.WriteFile(copied+".jsonl", lines, 0o644); err != nil {
		t.Fatal(err)
	}
}
