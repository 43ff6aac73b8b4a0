package userspace

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/weirflow/weir/bpf"
)

// TestIndexHoldsWhatIsOpen opens, touches and closes flows at random and
// compares the index and the list with a map.
func TestIndexHoldsWhatIsOpen(t *testing.T) {
	for seed := range uint64(2) {
		random := rand.New(rand.NewPCG(seed, 1))
		cfg := DefaultConfig()
		cfg.IdleTimeout, cfg.ActiveTimeout, cfg.MaxFlows = time.Millisecond, 3*time.Millisecond, 3000
		var tab *table
		last := map[bpf.Key]uint64{}
		tab = newTable(&cfg, func(*core) bool { return true }, func(uint64) {})
		p := bpf.Packet{TimeNs: 1}
		for range 100_000 {
			p.TimeNs += random.Uint64N(2000)
			binary.NativeEndian.PutUint32(p.Key.Addr[0][:], random.Uint32N(6000))
			tab.advance(p.TimeNs)
			tab.account(&p, 0)
			last[p.Key] = p.TimeNs
		}
		open := 0
		for key, ns := range last {
			tag := uint32(0)
			if i := find(tab, &key, &tag); i != 0 {
				open++
				if tab.quiet.links[i].seen != ns || tab.entry(i).tag != tag {
					t.Fatalf("entry %d: seen %d, want %d", i, tab.quiet.links[i].seen, ns)
				}
			} else if p.TimeNs-ns < uint64(cfg.IdleTimeout) && len(last) < cfg.MaxFlows {
				t.Fatalf("a flow seen %d ns ago is gone", p.TimeNs-ns)
			}
		}
		if open != tab.flows || open == 0 || open > cfg.MaxFlows {
			t.Errorf("%d flows found, %d counted", open, tab.flows)
		}
		inOrder(t, tab)
		tab.drain()
		for i, s := range tab.slots {
			if s.entry != 0 {
				t.Fatalf("slot %d is not empty after the drain", i)
			}
		}
	}
}

func find(tab *table, key *bpf.Key, tag *uint32) uint32 {
	for i := tab.quiet.links[0].next; i != 0; i = tab.quiet.links[i].next {
		if keyEqual(&tab.entry(i).key, key) {
			*tag = tab.entry(i).tag
			return tab.find(*tag, key)
		}
	}
	return 0
}

func inOrder(t *testing.T, tab *table) {
	t.Helper()
	n, seen := 0, uint64(0)
	for i := tab.quiet.links[0].next; i != 0; i = tab.quiet.links[i].next {
		if tab.quiet.links[i].seen < seen || tab.quiet.links[tab.quiet.links[i].next].prev != i {
			t.Fatalf("the list is out of order at entry %d", i)
		}
		seen = tab.quiet.links[i].seen
		n++
	}
	if n != tab.flows {
		t.Errorf("%d entries in the list, %d flows", n, tab.flows)
	}
}

// TestGapsOf32BitsAreCutAsInC holds the one case in which the range of a gap
// does not fit in its field: a direction quiet for longer than 71 minutes in a
// flow that the other keeps open.
func TestGapsOf32BitsAreCutAsInC(t *testing.T) {
	for _, c := range []struct {
		least, most         uint32
		gap                 uint64
		first               bool
		wantLeast, wantMost uint32
	}{
		{0, 0, 7, true, 7, 7},
		{5, 9, 7, false, 5, 9},
		{5, 9, 3, false, 3, 9},
		{5, 9, 12, false, 5, 12},
		{5, 9, 1<<32 + 1, false, 5, 1},
	} {
		least, most := c.least, c.most
		if gapRange(&least, &most, c.gap, c.first); least != c.wantLeast || most != c.wantMost {
			t.Errorf("%+v: %d to %d", c, least, most)
		}
	}
}
