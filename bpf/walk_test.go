package bpf_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/bpftest"
)

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

// The ring is full: the walk ends, loses nothing, and says so.
func TestAWalkEndsWhereTheRingIsFull(t *testing.T) {
	const flows = 100
	m := bpftest.New(t, bpftest.Options{LinkType: 1, RingOctets: 16384})
	for n := range flows {
		send(t, m, udp(t, 1, 2, uint16(n), 53, 8), time.Second)
	}
	closed := uint32(0)
	for range flows {
		s, err := m.Walk(bpf.Sweep{NowNs: uint64(2 * time.Second), Mode: uint32(bpf.WeirSweepModeSWEEP_FORCED)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		closed += s.Closed
		if s.Deferred == 0 {
			break
		}
		if s.More == 0 || s.Closed == 0 {
			t.Fatalf("it was put off: %+v", s)
		}
		if err := m.Drain(); err != nil {
			t.Fatal(err)
		}
	}
	if closed != flows {
		t.Errorf("%d flows were closed, want %d", closed, flows)
	}
}
