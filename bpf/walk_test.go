package bpf_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/bpftest"
)

// mostlyIdle opens flows of which three of four are idle a minute before the others, and
// says what four sweeps in turn are to find.
func mostlyIdle(t *testing.T, m *bpftest.Meter, flows uint32) []bpf.Sweep {
	t.Helper()
	for n := range flows {
		at := time.Second
		if n%4 == 0 {
			at = time.Minute
		}
		send(t, m, udp(t, 1, 2, uint16(n), 53, 8), at)
	}
	const idle = uint64(2*time.Minute) - 1
	return []bpf.Sweep{
		{NowNs: uint64(time.Minute), Open: flows},
		{NowNs: idle, Open: flows / 4, Closed: 3 * flows / 4},
		{NowNs: idle, Open: flows / 4, Deleted: 3 * flows / 4},
		{NowNs: idle, Open: flows / 4},
	}
}

// Wherever its reads end, in the middle of a bucket too, the iterator comes to every
// entry once, also while it deletes others.
func TestA8SweepByTheIteratorComesToEveryEntry(t *testing.T) {
	for _, piece := range []uint32{1, 3, 64, 1 << 20} {
		t.Run(fmt.Sprintf("%d at a time", piece), func(t *testing.T) { walkComesToAll(t, piece) })
	}
}

func walkComesToAll(t *testing.T, piece uint32) {
	const flows = 1000 // in 1,024 buckets: many share one
	m := bpftest.New(t, bpftest.Options{LinkType: 1, IdleNs: uint64(time.Minute), MaxFlows: 1024,
		Set: map[string]any{"cfg_sweep_piece": piece}})
	for _, want := range mostlyIdle(t, m, flows) {
		pieces := uint32(0)
		got, err := m.Walk(bpf.Sweep{NowNs: want.NowNs}, func() { pieces++ })
		if err != nil {
			t.Fatal(err)
		}
		all := want.Open + want.Closed + want.Deleted
		if got.At != all || pieces != all/piece {
			t.Errorf("%d pieces come to %d entries, want %d to %d", pieces, got.At, all/piece, all)
		}
		got.At, got.PacketsOpen, got.OctetsOpen = 0, 0, 0
		if got != want {
			t.Errorf("a walk comes to %+v, want %+v", got, want)
		}
	}
}
