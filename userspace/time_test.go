package userspace_test

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/bpftest"
	"github.com/weirflow/weir/userspace"
)

// told is a record in a word: source port, packets, part, end reason, times in s.
func told(r *bpf.Record) string {
	return fmt.Sprintf("%d×%d/%d %d [%g %g]", r.Key.Port[r.SrcEnd], r.Dir[0].Packets+r.Dir[1].Packets, r.Part, r.EndReason,
		float64(userspace.FirstNs(r))/1e9, float64(userspace.LastNs(r))/1e9)
}

func toldAll(records []bpf.Record) (all []string) {
	for i := range records {
		all = append(all, told(&records[i]))
	}
	return all
}

// TestD3ExtremeTimeoutsExpireNeitherEarlyNorNever meters at the ends of what
// timeouts can be, and of what the clock can say, in both homes.
func TestD3ExtremeTimeoutsExpireNeitherEarlyNorNever(t *testing.T) {
	const forever = time.Duration(math.MaxInt64)
	at := func(ns uint64, port uint16) userspace.CapturedPacket {
		p := udpAt(0, port, 9, 0)
		p.TimeNs = ns
		return p
	}
	for name, test := range map[string]struct {
		idle, active time.Duration
		packets      []userspace.CapturedPacket
		want         []string
	}{
		"an idle timeout of 0 ends every flow at its next packet": {0, time.Hour,
			[]userspace.CapturedPacket{at(1e9, 1), at(1e9, 1), at(2e9, 1)},
			[]string{"1×1/0 1 [1 1]", "1×1/0 1 [1 1]", "1×1/0 1 [2 2]"}},
		"an active timeout of 0 makes every packet a part": {time.Minute, 0,
			[]userspace.CapturedPacket{at(1e9, 1), at(1e9, 1), at(2e9, 1)},
			[]string{"1×1/0 2 [1 1]", "1×1/1 2 [1 1]", "1×1/2 4 [2 2]"}},
		"a nanosecond less than the idle timeout ends nothing": {time.Second, time.Hour,
			[]userspace.CapturedPacket{at(1e9, 1), at(2e9-1, 1), at(3e9-1, 1)},
			[]string{"1×2/0 1 [1 1.999999999]", "1×1/0 4 [2.999999999 2.999999999]"}},
		"an idle timeout is over when it is so in milliseconds": {time.Second, time.Hour,
			[]userspace.CapturedPacket{at(1e9+999_999, 1), at(2e9, 1), at(3e9, 1)},
			[]string{"1×1/0 1 [1.000999999 1.000999999]", "1×1/0 1 [2 2]", "1×1/0 4 [3 3]"}},
		"an active timeout is over when it is so in milliseconds": {time.Second, 3 * time.Second,
			[]userspace.CapturedPacket{at(1e9+999_999, 1), at(19e8, 1), at(28e8, 1), at(37e8, 1), at(4e9-1, 1), at(4e9, 1)},
			[]string{"1×5/0 2 [1.000999999 3.999999999]", "1×1/1 4 [4 4]"}},
		"the longest timeouts end nothing from the first millisecond to the last": {forever, forever,
			[]userspace.CapturedPacket{at(1e6, 1), at(2e6, 2), at(math.MaxInt64, 1)},
			[]string{"1×2/0 4 [0.001 9.223372036854776e+09]", "2×1/0 4 [0.002 0.002]"}},
		"a clock that starts at 0": {time.Second, time.Hour,
			[]userspace.CapturedPacket{at(0, 1), at(1e9-1, 1), at(2e9-1, 2)},
			[]string{"1×2/0 1 [0 0.999999999]", "2×1/0 4 [1.999999999 1.999999999]"}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := userspace.DefaultConfig()
			cfg.IdleTimeout, cfg.ActiveTimeout = test.idle, test.active
			got := toldAll(metersAgree(t, name, 1, cfg, &packets{List: test.packets}))
			if !slices.Equal(got, test.want) {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
			t.Logf("measured: idle %v, active %v: %d packets in %d flows", test.idle, test.active, len(test.packets), len(got))
		})
	}
}

// TestD3SweepsAreNeitherEarlyNorLate sweeps at times before the packets', as a
// clock would give that has not been set, and around the timeout.
func TestD3SweepsAreNeitherEarlyNorLate(t *testing.T) {
	const last = uint64(1_700_000_000e9)
	for _, test := range []struct {
		idle   uint64
		sweeps map[uint64]uint32 // by the time: how many records are closed
	}{
		{uint64(time.Second), map[uint64]uint32{0: 0, 1: 0, last - 1e18: 0, last - 1: 0, last: 0, last + 1e9 - 1: 0, last + 1e9: 1}},
		{0, map[uint64]uint32{0: 0, 1: 0, last - 1: 0, last: 1}},
		{math.MaxInt64, map[uint64]uint32{0: 0, 1: 0, last: 0, 1 << 62: 0, math.MaxInt64: 0, math.MaxInt64 + last - 1: 0, math.MaxInt64 + last: 1}},
	} {
		k := bpftest.New(t, bpftest.Options{LinkType: 1, Set: map[string]any{bpf.WeirVarCfgIdleNs: test.idle}})
		packet := udpAt(0, 1, 9, 0)
		if _, err := k.Frame(packet.Data, last, packet.Length); err != nil {
			t.Fatal(err)
		}
		for _, now := range slices.Sorted(maps.Keys(test.sweeps)) {
			s, err := k.Sweep(bpf.Sweep{NowNs: now})
			if err != nil || s.Closed != test.sweeps[now] || s.Open != 1-s.Closed {
				t.Errorf("idle timeout %d ns, sweep at %d, last packet at %d: %+v %v", test.idle, now, last, s, err)
			}
		}
		t.Logf("measured: idle %v: %d sweeps, none early or late", time.Duration(test.idle), len(test.sweeps))
	}
}

// TestD4TimesBackwardsInOneFlow: an older packet makes a gap of 0, may move the
// start back, never the end, and is counted.
func TestD4TimesBackwardsInOneFlow(t *testing.T) {
	var list []userspace.CapturedPacket
	for _, at := range []float64{10, 12, 11, 9, 13} {
		list = append(list, udpAt(at, 1, 9, 0))
	}
	list[3] = reply(list[3])
	got := metersAgree(t, t.Name(), 1, everything(false), &packets{List: list})
	if len(got) != 1 {
		t.Fatalf("records %q", toldAll(got))
	}
	r := &got[0]
	if told(r) != "1×5/0 4 [9 13]" || r.Regressions != 2 {
		t.Errorf("%s, %d regressions", told(r), r.Regressions)
	}
	if want := []uint32{0, 2e6, 0, 0, 1e6}; !slices.Equal(r.SpltIatUs[:5], want) || r.IatUs != 3e6 || r.IatMinUs != 0 || r.IatMaxUs != 2e6 {
		t.Errorf("gaps %v, want %v; sum %d, %d to %d", r.SpltIatUs[:5], want, r.IatUs, r.IatMinUs, r.IatMaxUs)
	}
	if f, b := r.Dir[0], r.Dir[1]; f.FirstNs != 10e9 || f.LastNs != 13e9 || b.FirstNs != 9e9 || b.LastNs != 9e9 {
		t.Errorf("directions %+v %+v", f, b)
	}
	t.Logf("measured: %d packets of 5 came back in time: gap 0, counted, from the earliest time to the latest", r.Regressions)
}

// TestD4TheClockIsTheLatestTimeSeen: what is idle by it is closed, whatever the
// next packet's time; a packet from before opens a flow of its own.
func TestD4TheClockIsTheLatestTimeSeen(t *testing.T) {
	list := []userspace.CapturedPacket{udpAt(1000, 1, 9, 0), udpAt(1121, 2, 9, 0), udpAt(1010, 1, 9, 0), udpAt(1011, 1, 9, 0)}
	got := toldAll(metersAgree(t, t.Name(), 1, everything(false), &packets{List: list}))
	if want := []string{"1×1/0 1 [1000 1000]", "1×2/0 4 [1010 1011]", "2×1/0 4 [1121 1121]"}; !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// TestD4ShufflingWithinTheIdleTimeMovesNoPacket: where no packet comes later than
// the idle time, each flow has its packets and octets all the same, in as many
// records.
func TestD4ShufflingWithinTheIdleTimeMovesNoPacket(t *testing.T) {
	var ordered []userspace.CapturedPacket
	for i := range 3000 {
		// 40 flows, each with a packet every 4 s for 300 s
		ordered = append(ordered, udpAt(float64(i)/10, uint16(i%40), 9, i%100))
	}
	want := sumsOf(metersAgree(t, "in order", 1, everything(false), &packets{List: ordered}))
	for seed := range uint64(2) {
		random := rand.New(rand.NewPCG(seed, 1))
		shuffled := slices.Clone(ordered)
		for part := range slices.Chunk(shuffled, 500) { // 50 s
			random.Shuffle(len(part), func(i, j int) { part[i], part[j] = part[j], part[i] })
		}
		got := metersAgree(t, "shuffled", 1, everything(false), &packets{List: shuffled})
		if sums := sumsOf(got); !maps.Equal(sums, want) {
			t.Errorf("seed %d: %v\nwant %v", seed, sums, want)
		}
		if regressions(got) == 0 {
			t.Errorf("seed %d: nothing was out of order", seed)
		}
	}
	t.Logf("measured: %d packets shuffled within 50 s: the sums of %d flows are the same", len(ordered), len(want))
}

// flowSum is what a flow has in all its records.
type flowSum struct{ records, packets, octets uint64 }

func sumsOf(records []bpf.Record) map[bpf.Key]flowSum {
	sums := map[bpf.Key]flowSum{}
	for i := range records {
		r := &records[i]
		s := sums[r.Key]
		s.records++
		s.packets += r.Dir[0].Packets + r.Dir[1].Packets
		s.octets += r.Dir[0].Octets + r.Dir[1].Octets
		sums[r.Key] = s
	}
	return sums
}

func regressions(records []bpf.Record) (n uint64) {
	for i := range records {
		n += records[i].Regressions
	}
	return n
}
