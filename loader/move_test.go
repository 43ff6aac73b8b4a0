package loader_test

import (
	"context"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// An interface that moves to another namespace goes on being metered there; only
// its own counters are out of sight.
func TestB8InterfaceMayMoveToAnotherNamespace(t *testing.T) {
	w := newWorld(t)
	o := options()
	a := attach(t, o, nearName)
	c := consumer(t, a, o)
	w.send(w.farSocket, 1, 2)
	time.Sleep(20 * time.Millisecond)
	w.moveNear()
	w.send(w.farSocket, 1, 3)
	time.Sleep(20 * time.Millisecond)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var packets []uint64
	for f, err := range c.Flows(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if f.SourcePort() == 4000 {
			packets = append(packets, f.Packets())
		}
	}
	if len(packets) != 1 || packets[0] != 5 {
		t.Errorf("flows of %d packets, want one of 5", packets)
	}
	if l := c.Ledger(); l.Check() != nil {
		t.Errorf("%v\n%+v", l.Check(), l)
	}
	t.Log("measured: moved to another namespace: packets before and after in one flow, residual 0")
}

// moveNear moves the near end into a namespace of its own, and sets it up there.
func (w *world) moveNear() {
	w.t.Helper()
	away, err := netns.New()
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = away.Close() })
	w.away = away
	w.enter(w.here)
	if err := netlink.LinkSetNsFd(w.near, int(away)); err != nil {
		w.t.Fatal(err)
	}
	w.enter(away)
	up(w.t, nearName)
	w.waitForCarrier(nearName)
	w.enter(w.here)
}

// bringBack moves it back again.
func (w *world) bringBack() {
	w.t.Helper()
	w.enter(w.away)
	near, err := netlink.LinkByName(nearName)
	if err == nil {
		err = netlink.LinkSetNsFd(near, int(w.here))
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.enter(w.here)
	w.near = up(w.t, nearName)
	w.waitForCarrier(nearName)
}
