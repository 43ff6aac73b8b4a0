package userspace

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/bpftest"
)

// Keys that collide under a hash that anybody can compute cost the Go meter's table
// no more than others: every table has a secret of its own.
func TestA7CollidingKeysCostTheGoTableNoMore(t *testing.T) {
	const n, rounds = 100_000, 5
	sets := bpftest.CollidingKeys(n)
	least := map[string]time.Duration{}
	for range rounds {
		for name, keys := range sets {
			if took := accountAll(t, keys); least[name] == 0 || took < least[name] {
				least[name] = took
			}
		}
	}
	var text []string
	for name := range least {
		ratio := least[name].Seconds() / least["random"].Seconds()
		if ratio > 3 { // all that collide would cost thousands
			t.Errorf("keys that collide under %s cost %.1f times what others do", name, ratio)
		}
		if name != "random" {
			text = append(text, fmt.Sprintf("colliding under %s %.2f", name, ratio))
		}
	}
	slices.Sort(text)
	t.Logf("measured: %s, of what %d others cost in Go's table", strings.Join(text, ", "), n)
}

// accountAll is how long a table takes for a packet of each key, and another.
func accountAll(t *testing.T, keys []bpf.Key) time.Duration {
	t.Helper()
	c := DefaultConfig()
	tab := newTable(&c, func(*core) bool { return true }, func(uint64) {})
	p := bpf.Packet{TimeNs: 1}
	began := time.Now()
	for range 2 {
		for i := range keys {
			p.Key = keys[i]
			tab.account(&p, 0)
		}
	}
	took := time.Since(began)
	if tab.flows != len(keys) {
		t.Errorf("%d flows, want %d", tab.flows, len(keys))
	}
	return took
}

// Two tables give a key different tags, so that what collides in one does not in
// another.
func TestA7EveryTableHasASeedOfItsOwn(t *testing.T) {
	c := DefaultConfig()
	var key bpf.Key
	tags := map[uint32]bool{}
	const tables = 16
	for range tables {
		tags[newTable(&c, nil, nil).tag(&key)] = true
	}
	if len(tags) < tables-1 { // two of 16 may agree by chance, once in 36 million
		t.Errorf("%d tables give a key %d tags", tables, len(tags))
	}
	t.Logf("measured: %d tables give one key %d tags", tables, len(tags))
}
