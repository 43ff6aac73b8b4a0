package userspace

import (
	"testing"
	"time"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/bpftest"
)

// Keys that collide under a hash that anybody can compute cost the Go meter's table
// no more than others: every table has a secret of its own.
func TestA7CollidingKeysCostTheGoTableNoMore(t *testing.T) {
	costs := bpftest.CostOfCollisions(t, 100_000, func(keys []bpf.Key) time.Duration { return accountAll(t, keys) })
	t.Logf("measured: Go's table: %s", costs)
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
