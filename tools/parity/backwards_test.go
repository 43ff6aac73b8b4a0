package main

import (
	"maps"
	"testing"

	"github.com/weirflow/weir/userspace"
)

// A packet that the reference moves in time explains the times that are its own, and
// gaps, and no other column.
func TestAMovedPacketExplainsItsOwnTimesOnly(t *testing.T) {
	flow := row{
		"src_ip": "192.0.2.1", "src_port": 1.0, "dst_ip": "192.0.2.2", "dst_port": 2.0, "protocol": 6.0,
		"bidirectional_first_seen_ms": 10_000.0, "bidirectional_last_seen_ms": 30_000.0, "bidirectional_duration_ms": 20_000.0,
	}
	for _, c := range []struct {
		column    string
		want, got float64
		explained bool
	}{
		{"src2dst_last_seen_ms", 21_000, 15_000, true},
		{"src2dst_last_seen_ms", 21_000, 16_000, true},
		{"src2dst_last_seen_ms", 20_000, 20_000.5, false},
		{"src2dst_last_seen_ms", 22_000, 16_000, false},
		{"dst2src_first_seen_ms", 22_000, 20_000, true},
		{"src2dst_mean_piat_ms", 500, 400, true},
		{"src2dst_packets", 2, 3, false},
		{"bidirectional_bytes", 200, 300, false},
		{"vlan_id", 1, 2, false},
	} {
		want, got := maps.Clone(flow), maps.Clone(flow)
		want[c.column], got[c.column] = c.want, c.got
		test := &testCase{config: userspace.DefaultConfig(), frames: newFrames()}
		test.frames.ours[tupleOfRow(flow).key()] = []*frame{
			{timeMs: 10_000, clampedMs: 10_000, metered: true},
			{timeMs: 20_000, clampedMs: 21_000, metered: true},
			{timeMs: 30_000, clampedMs: 30_000, metered: true},
		}
		if rule := test.columnRule(c.column, want, got); (rule == timesBackwards) != c.explained || !c.explained && rule != "" {
			t.Errorf("%s, %v and %v: %q", c.column, c.want, c.got, rule)
		}
	}
}

// A duration is other only where an end is, and that is the moved packet's.
func TestADurationIsExplainedByItsEndsOnly(t *testing.T) {
	ends := row{
		"src_ip": "192.0.2.1", "src_port": 1.0, "dst_ip": "192.0.2.2", "dst_port": 2.0, "protocol": 6.0,
		"bidirectional_first_seen_ms": 10_000.0, "bidirectional_last_seen_ms": 21_000.0, "bidirectional_duration_ms": 11_000.0,
	}
	other := maps.Clone(ends)
	other["bidirectional_duration_ms"] = 10_000.0
	moved := []*frame{{timeMs: 20_000, clampedMs: 21_000, metered: true}}
	test := &testCase{config: userspace.DefaultConfig(), frames: newFrames()}
	test.frames.ours[tupleOfRow(ends).key()] = moved
	if rule := test.columnRule("bidirectional_duration_ms", ends, other); rule != "" {
		t.Errorf("with the same ends: %q", rule)
	}
	other["bidirectional_last_seen_ms"] = 20_000.0
	if rule := test.columnRule("bidirectional_duration_ms", ends, other); rule != timesBackwards {
		t.Errorf("with the moved packet as the last: %q", rule)
	}
}

// A frame whose size was cut explains the octets that it was cut by, and no more.
func TestAFrameOfAnotherSizeExplainsThatManyOctetsOnly(t *testing.T) {
	flow := row{
		"src_ip": "192.0.2.1", "src_port": 1.0, "dst_ip": "192.0.2.2", "dst_port": 2.0, "protocol": 6.0,
		"bidirectional_first_seen_ms": 10_000.0, "bidirectional_last_seen_ms": 30_000.0,
	}
	for octets, explained := range map[float64]bool{65_700: true, 65_701: false} {
		want, got := maps.Clone(flow), maps.Clone(flow)
		want["src2dst_bytes"], got["src2dst_bytes"] = 164.0, octets
		test := &testCase{config: userspace.DefaultConfig(), frames: newFrames()}
		test.frames.ours[tupleOfRow(flow).key()] = []*frame{
			{timeMs: 20_000, clampedMs: 20_000, metered: true, octets: 65_600, theirs: reading{size: 64}, size: wrappedSize},
		}
		if rule := test.columnRule("src2dst_bytes", want, got); (rule == wrappedSize) != explained {
			t.Errorf("164 and %.0f: %q", octets, rule)
		}
	}
}

// The end of a list, -1, is within 1 ms of a gap of 0 and is none.
func TestTheEndOfAListIsNoGap(t *testing.T) {
	if same("splt_piat_ms", []float64{0, -1}, []float64{0, 0}) || same("splt_piat_ms", []float64{0, 0}, []float64{0, -1}) {
		t.Error("a list that ends is the same as one with a gap of 0")
	}
	if !same("splt_piat_ms", []float64{0, 5, -1}, []float64{0, 5.999, -1}) {
		t.Error("a gap that the reference truncates is another")
	}
}
