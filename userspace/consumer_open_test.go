package userspace

import (
	"testing"
)

func TestFlowIsConfirmedWhenTheLoopAsksForTheNext(t *testing.T) {
	for name, c := range map[string]struct{ read, again int }{
		"broken off at the first":    {1, 20},
		"broken off in the middle":   {7, 14},
		"broken off at the last":     {20, 1},
		"read until it is told that": {0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKernelMeter(t, idle(), ringOctets)
			k.showAll(20, 3)
			fallIdle()
			reader, err := NewConsumer(k.handles(), WithConfig(idle()), confirmsItself)
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for _, err := range reader.Flows(shortly(t)) {
				if err != nil {
					t.Fatal(err)
				}
				if n++; n == c.read {
					break
				}
			}
			_ = reader.Close()
			next := k.follower(idle(), WithDetach(func() error { return nil }))
			packets, _ := packetsOf(t, next, drained(t))
			total := 0
			for _, p := range packets {
				total += p
			}
			if l := next.Ledger(); total != 3*c.again || l.Check() != nil {
				t.Errorf("%d packets came again, want %d: %v", total, 3*c.again, l.Check())
			}
		})
	}
}

func TestAFullRingIsGivenBackByTheLoopItself(t *testing.T) {
	const all = 40 // more than the ring holds
	k := newKernelMeter(t, liveConfig(), 4096)
	k.showAll(all, 1)
	reader, err := NewConsumer(k.handles(), WithConfig(liveConfig()), confirmsItself, WithDetach(func() error { return nil }))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	flows := 0
	for _, err := range reader.Flows(drained(t)) {
		if err != nil {
			t.Fatal(err)
		}
		flows++
	}
	if l := reader.Ledger(); flows != all || l.Check() != nil {
		t.Errorf("%d flows of %d: %v", flows, all, l.Check())
	}
}
