package bpf_test

import (
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/bpftest"
)

// Keys that collide under a hash that anybody can compute cost the flow table no more
// than others: its seed is its own. A table of seed 0 shows that they do collide.
func TestA7CollidingKeysCostTheKernelsTableNoMore(t *testing.T) {
	const n, few = 100_000, 5000
	spec, err := bpf.LoadWeir()
	if err != nil {
		t.Fatal(err)
	}
	flags := spec.Maps[bpf.WeirMapFlows].Flags
	costs := bpftest.CostOfCollisions(t, n, func(keys []bpf.Key) time.Duration { return insertAll(t, keys, flags) })
	sets := bpftest.CollidingKeys(few)
	random, known := insertAll(t, sets["random"], unix.BPF_F_ZERO_SEED), insertAll(t, sets["jhash with seed 0"], unix.BPF_F_ZERO_SEED)
	if known < 3*random {
		t.Errorf("a table of seed 0 takes %v for keys made to collide in it and %v for others: they do not collide", known, random)
	}
	t.Logf("measured: the kernel's table: %s; in a table of seed 0 %d cost %.0f times as much", costs, few, known.Seconds()/random.Seconds())
}

// insertAll is how long a hash with the flow table's keys takes for keys.
func insertAll(t *testing.T, keys []bpf.Key, flags uint32) time.Duration {
	t.Helper()
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Hash, KeySize: 48, ValueSize: 8, MaxEntries: uint32(len(keys)), Flags: flags})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	value := uint64(1)
	began := time.Now()
	for i := range keys {
		if err := m.Put(&keys[i], &value); err != nil {
			t.Fatal(err)
		}
	}
	return time.Since(began)
}
