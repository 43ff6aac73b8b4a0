package main

import (
	"maps"
	"testing"

	"github.com/weirflow/weir/userspace"
)

// A frame that only one side has in a flow explains what it can have moved, and no
// other column.
func TestAFrameReadOtherwiseExplainsWhatItMovesOnly(t *testing.T) {
	flow := row{
		"src_ip": "192.0.2.1", "src_port": 1.0, "dst_ip": "192.0.2.2", "dst_port": 2.0, "protocol": 6.0,
		"bidirectional_first_seen_ms": 10_000.0, "bidirectional_last_seen_ms": 30_000.0, "bidirectional_duration_ms": 20_000.0,
	}
	const middle, beginning = 20_000, 10_000
	for _, c := range []struct {
		column    string
		at        uint64 // when the frame came
		want, got any
		explained bool
	}{
		{"bidirectional_packets", middle, 3.0, 4.0, true},
		{"bidirectional_packets", middle, 3.0, 5.0, false},
		{"src2dst_syn_packets", middle, 1.0, 0.0, true},
		{"src2dst_bytes", middle, 300.0, 400.0, true},
		{"src2dst_bytes", middle, 300.0, 401.0, false},
		{"bidirectional_mean_ps", middle, 100.0, 90.0, true},
		{"src2dst_max_piat_ms", middle, 5000.0, 4000.0, true},
		{"splt_ps", middle, nil, nil, true},
		{"dst2src_first_seen_ms", middle, 0.0, 20_000.0, true},
		{"dst2src_first_seen_ms", middle, 15_000.0, 17_000.0, false},
		{"dst2src_duration_ms", middle, 0.0, 20.0, false},
		{"src_mac", middle, "a", "b", false},
		{"src_mac", beginning, "a", "b", true},
		{"dst_oui", beginning, "a", "b", true},
		{"vlan_id", beginning, 1.0, 2.0, false},
		{"ip_version", middle, 4.0, 6.0, false},
		{"tunnel_id", middle, 0.0, 1.0, false},
		{"expiration_id", middle, 0.0, 1.0, false},
	} {
		want, got := maps.Clone(flow), maps.Clone(flow)
		want[c.column], got[c.column] = c.want, c.got
		test := &testCase{config: userspace.DefaultConfig(), frames: newFrames()}
		test.frames.ours[tupleOfRow(flow).key()] = []*frame{{timeMs: c.at, clampedMs: c.at, metered: true, octets: 100, reading: shortFrames}}
		if rule := test.columnRule(c.column, want, got); (rule == shortFrames) != c.explained || !c.explained && rule != "" {
			t.Errorf("%s, %v and %v, by a frame at %d ms: %q", c.column, c.want, c.got, c.at, rule)
		}
	}
}

// A frame before a flow explains what is in it only if a timeout has parted the flow
// elsewhere.
func TestAFrameBesideAFlowExplainsOtherEndsOnly(t *testing.T) {
	flow := row{
		"src_ip": "192.0.2.1", "src_port": 1.0, "dst_ip": "192.0.2.2", "dst_port": 2.0, "protocol": 6.0,
		"bidirectional_first_seen_ms": 100_000.0, "bidirectional_last_seen_ms": 130_000.0, "bidirectional_packets": 3.0,
	}
	same, shorter := maps.Clone(flow), maps.Clone(flow)
	same["bidirectional_packets"], shorter["bidirectional_packets"] = 2.0, 2.0
	shorter["bidirectional_last_seen_ms"] = 120_000.0
	test := &testCase{config: userspace.DefaultConfig(), frames: newFrames()}
	test.frames.theirs[tupleOfRow(flow).key()] = []*frame{
		{timeMs: 50_000, clampedMs: 50_000, reading: malformed}, {timeMs: 100_000, clampedMs: 100_000, metered: true}, {timeMs: 130_000, clampedMs: 130_000, metered: true},
	}
	if rule := test.columnRule("bidirectional_packets", flow, same); rule != "" {
		t.Errorf("with the same ends: %q", rule)
	}
	if rule := test.columnRule("bidirectional_packets", flow, shorter); rule != malformed {
		t.Errorf("with other ends: %q", rule)
	}
}
