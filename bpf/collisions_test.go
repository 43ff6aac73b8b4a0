package bpf_test

import (
	"fmt"
	"slices"
	"strings"
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
	const n, rounds, few = 100_000, 3, 5000
	spec, err := bpf.LoadWeir()
	if err != nil {
		t.Fatal(err)
	}
	flags := spec.Maps[bpf.WeirMapFlows].Flags
	sets := bpftest.CollidingKeys(n)
	least := map[string]time.Duration{}
	for range rounds {
		for name, keys := range sets {
			if took := insertAll(t, keys, flags); least[name] == 0 || took < least[name] {
				least[name] = took
			}
		}
	}
	const set = "jhash with seed 0"
	random, known := insertAll(t, sets["random"][:few], unix.BPF_F_ZERO_SEED), insertAll(t, sets[set][:few], unix.BPF_F_ZERO_SEED)
	if known < 3*random {
		t.Errorf("a table of seed 0 takes %v for keys made to collide in it and %v for others: they do not collide", known, random)
	}
	t.Logf("measured: %s, of what %d others cost; in a table of seed 0 %d cost %.0f times as much",
		ratios(t, least), n, few, known.Seconds()/random.Seconds())
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

// ratios are what each set of keys cost, of what random ones did. All that collide
// would cost thousands.
func ratios(t *testing.T, took map[string]time.Duration) string {
	t.Helper()
	var text []string
	for name := range took {
		ratio := took[name].Seconds() / took["random"].Seconds()
		if ratio > 3 {
			t.Errorf("keys that collide under %s cost %.1f times what others do", name, ratio)
		}
		if name != "random" {
			text = append(text, fmt.Sprintf("colliding under %s %.2f", name, ratio))
		}
	}
	slices.Sort(text)
	return strings.Join(text, ", ")
}
