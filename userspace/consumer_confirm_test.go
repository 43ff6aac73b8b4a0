package userspace

import (
	"context"
	"errors"
	"testing"
	"time"
)

// follower reads a meter WithConfirmation, as a process that may be killed does.
func (k *kernelMeter) follower(c Config, opts ...Option) *Consumer {
	k.t.Helper()
	consumer, err := NewConsumer(k.handles(), append([]Option{WithConfig(c), WithConfirmation()}, opts...)...)
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { _ = consumer.Close() })
	return consumer
}

// shortly is a context that ends when the ring has been read.
func shortly(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// killedAfter reads until n flows were handed out, of which confirmed are safe, and
// is heard of no more.
func (k *kernelMeter) killedAfter(c Config, n, confirmed int) {
	k.t.Helper()
	consumer := k.follower(c)
	for _, err := range consumer.Flows(shortly(k.t)) {
		if err != nil {
			k.t.Fatal(err)
		}
		if n--; n == 0 {
			break
		}
	}
	if n > 0 {
		k.t.Fatalf("%d flows too few", n)
	}
	if confirmed > 0 {
		if err := consumer.Confirm(uint64(confirmed), Count{}); err != nil {
			k.t.Fatal(err)
		}
	}
	_ = consumer.Close()
}

// idle is a configuration by which flows close soon after nobody sends; not so
// soon that a slow machine does so between two packets.
func idle() Config {
	c := liveConfig()
	c.IdleTimeout = 150 * time.Millisecond
	return c
}

// fallIdle waits until all flows are idle.
func fallIdle() { time.Sleep(idle().IdleTimeout * 6 / 5) }

func TestOnlyWhatWasConfirmedDoesNotComeAgain(t *testing.T) {
	for _, test := range []struct{ read, confirmed int }{{1, 0}, {20, 0}, {20, 1}, {20, 19}, {20, 20}} {
		k := newKernelMeter(t, idle(), ringOctets)
		k.showAll(20, 3)
		fallIdle()
		k.killedAfter(idle(), test.read, test.confirmed)
		k.showAll(10, 2) // while nobody is there
		fallIdle()

		consumer := k.follower(idle(), WithDetach(func() error { return nil }))
		packets, _ := packetsOf(t, consumer, drained(t))
		total := 0
		for _, n := range packets {
			total += n
		}
		if want := 3*(20-test.confirmed) + 20; total != want {
			t.Errorf("%+v: %d packets came, want %d", test, total, want)
		}
		l := consumer.Ledger()
		if l.Check() != nil || l.Read.Packets != 80 || l.Open.Packets != 0 || l.Flows != 30 {
			t.Errorf("%+v: %v\n%+v", test, l.Check(), l)
		}
	}
}

func TestTheLedgerGoesOnOverAnEndInOrder(t *testing.T) {
	k := newKernelMeter(t, idle(), ringOctets)
	refused := Count{Packets: 2, Octets: 2 * frameOctets}
	for round := range 3 {
		k.showAll(5, 2)
		fallIdle()
		consumer := k.follower(idle())
		packetsOf(t, consumer, shortly(t))
		if err := consumer.Confirm(5, refused); err != nil {
			t.Fatal(err)
		}
		l := consumer.Ledger()
		if l.Read.Packets != uint64(10*(round+1)) || l.NotSent[earlierProcess].Packets != uint64(2*round) || l.Check() != nil {
			t.Errorf("round %d: %v\n%+v", round, l.Check(), l)
		}
		_ = consumer.Close()
	}
	consumer := k.follower(idle())
	if packets, _ := packetsOf(t, consumer, shortly(t)); len(packets) > 0 {
		t.Errorf("flows come again: %v", packets)
	}
}

// What is open stays in the kernel at the end, and is taken over by the next.
func TestAnEndWithoutDetachmentLeavesTheMeterRunning(t *testing.T) {
	k := newKernelMeter(t, liveConfig(), ringOctets)
	k.showAll(5, 2)
	consumer := k.follower(liveConfig())
	if packets, _ := packetsOf(t, consumer, shortly(t)); len(packets) > 0 {
		t.Errorf("flows were closed: %v", packets)
	}
	l := consumer.Ledger()
	if l.Check() != nil || l.Open.Packets != 10 {
		t.Errorf("%v\n%+v", l.Check(), l)
	}
	_ = consumer.Close()
	k.showAll(5, 2)
	next := k.follower(liveConfig(), WithDetach(func() error { return nil }))
	if packets, records := packetsOf(t, next, drained(t)); packets[0] != 4 || records[0] != 1 {
		t.Errorf("packets %v in records %v", packets, records)
	}
}

// driveKilled has a process die with packets that it alone knew.
func driveKilled(t *testing.T) Ledger {
	c := liveConfig()
	c.MaxFlows = 4
	k := newKernelMeter(t, c, ringOctets)
	k.showAll(40, 1)
	first := k.follower(c)
	for range 2 { // the second finds nothing further
		if err := first.poll(); err != nil {
			t.Fatal(err)
		}
	}
	first.publish()
	if err := first.keepUp(); err != nil {
		t.Fatal(err)
	}
	lost := first.overflowOpen
	_ = first.Close()
	next := k.follower(c, WithDetach(func() error { return nil }))
	l := readAll(t, next)
	if l.LostWithConsumer != lost || lost.Packets < 30 {
		t.Errorf("%v were lost with the process, want %v", l.LostWithConsumer, lost)
	}
	return l
}

func TestUnconfirmedFlowsThatFillTheRingEndInAnErrorAndStay(t *testing.T) {
	const all = 40 // more than the ring holds
	k := newKernelMeter(t, liveConfig(), 4096)
	k.showAll(all, 1)
	consumer := k.follower(liveConfig(), WithDetach(func() error { return nil }))
	var last error
	flows := 0
	for f, err := range consumer.Flows(drained(t)) {
		if last = err; f != nil {
			flows++
		}
	}
	if !errors.Is(last, ErrUnconfirmed) || flows == 0 || flows == all {
		t.Errorf("%d flows, error %v", flows, last)
	}
	_ = consumer.Close()
	next := k.follower(liveConfig(), WithDetach(func() error { return nil }))
	total := 0
	for _, err := range next.Flows(drained(t)) {
		if err != nil {
			t.Fatal(err)
		}
		total++
		if err := next.Confirm(uint64(total), Count{}); err != nil {
			t.Fatal(err)
		}
	}
	if l := next.Ledger(); total != all || l.Check() != nil {
		t.Errorf("%d flows of %d: %v", total, all, l.Check())
	}
}

func TestAConsumerSaysWhenTheRingIsCrowded(t *testing.T) {
	k := newKernelMeter(t, idle(), 4096)
	k.showAll(20, 1)
	fallIdle()
	consumer := k.follower(idle())
	flows := uint64(0)
	for _, err := range consumer.Flows(shortly(t)) {
		if err != nil {
			t.Fatal(err)
		}
		flows++
	}
	if !consumer.Crowded() || flows == 0 {
		t.Errorf("%d flows wait for confirmation: it is not crowded", flows)
	}
	if err := consumer.Confirm(flows, Count{}); err != nil {
		t.Fatal(err)
	}
	if consumer.Crowded() {
		t.Error("it is crowded although all is confirmed")
	}
}

func TestConfirmingNeedsAMeterThatRemembers(t *testing.T) {
	k := newKernelMeter(t, liveConfig(), ringOctets)
	if err := k.consumer(liveConfig()).Confirm(1, Count{}); err == nil {
		t.Error("a Consumer confirms without WithConfirmation")
	}
	h := k.handles()
	h.Progress = nil
	if _, err := NewConsumer(h, WithConfig(liveConfig()), WithConfirmation()); err == nil {
		t.Error("handles without a progress map are taken")
	}
}
