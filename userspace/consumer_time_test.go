package userspace

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/bpf"
)

// clockSlack is how far off a flow's wall times may be.
const clockSlack = 5 * time.Millisecond

// TestD1WallClockSetMidFlow moves the wall clock by an hour while a flow goes
// on: its start and end are the new clock's, all else is as if nothing had been.
func TestD1WallClockSetMidFlow(t *testing.T) {
	for _, jump := range []time.Duration{time.Hour, -time.Hour} {
		t.Run(jump.String(), func(t *testing.T) {
			t.Parallel()
			wallClockSetMidFlow(t, jump)
		})
	}
}

func wallClockSetMidFlow(t *testing.T, jump time.Duration) {
	c := liveConfig()
	c.IdleTimeout = time.Second
	k := newKernelMeter(t, c, ringOctets)
	consumer := k.consumer(c)
	var offset atomic.Int64
	wall := func(id int32) int64 {
		if id == unix.CLOCK_REALTIME {
			return readClock(id) + offset.Load()
		}
		return readClock(id)
	}
	consumer.sweeper.clock.read = wall
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	shown := make(chan showing, 1)
	go func() {
		shown <- k.showUntil(ctx, func() bool { return consumer.Ledger().ClockJumps > 0 }, func() { offset.Store(int64(jump)) })
	}()
	var got *Flow
	var delivered int64
	for f, err := range consumer.Flows(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if got != nil {
			t.Errorf("a second flow: %+v", f.Record)
		}
		got, delivered = f.Clone(), readClock(unix.CLOCK_MONOTONIC)
		cancel()
	}
	if got == nil {
		t.Fatal("no flow")
	}
	want := <-shown
	want.matches(t, got, jump)
	quiet := time.Duration(delivered - want.last[1])
	if got.EndReason() != bpf.WeirFlowEndReasonEND_IDLE || quiet < c.IdleTimeout-clockSlack || quiet > c.IdleTimeout+5*time.Second {
		t.Errorf("ended as %v, %v after its last packet; the idle timeout is %v", got.EndReason(), quiet, c.IdleTimeout)
	}
	l := wantClosed(t, consumer, uint64(want.packets))
	if l.ClockJumps != 1 || (l.ClockJumped-time.Hour).Abs() > clockSlack {
		t.Errorf("the ledger has %d jumps of %v", l.ClockJumps, l.ClockJumped)
	}
	t.Logf("measured: the clock set by %v: %d packets, %d jump noted; ended %v after its last packet, the idle timeout is %v", jump, want.packets, l.ClockJumps, quiet.Round(time.Millisecond), c.IdleTimeout)
}

// A showing is when the first and the last packet were shown, each between two
// readings of the monotonic clock.
type showing struct {
	packets     int
	first, last [2]int64
}

// showUntil shows packets of one flow until done says so, and calls midway once
// on the way.
func (k *kernelMeter) showUntil(ctx context.Context, done func() bool, midway func()) (s showing) {
	for ctx.Err() == nil && !done() {
		before := readClock(unix.CLOCK_MONOTONIC)
		k.show(1)
		s.last = [2]int64{before, readClock(unix.CLOCK_MONOTONIC)}
		if s.packets++; s.packets == 1 {
			s.first = s.last
		}
		if s.packets == 10 {
			midway()
		}
		time.Sleep(10 * time.Millisecond)
	}
	return s
}

// matches compares a flow with the showing, by a wall clock that is off from
// this machine's.
func (s *showing) matches(t *testing.T, f *Flow, off time.Duration) {
	t.Helper()
	toWall := readClock(unix.CLOCK_REALTIME) - readClock(unix.CLOCK_MONOTONIC) + int64(off)
	for _, at := range []struct {
		name string
		got  time.Time
		want [2]int64
	}{{"start", f.Start(), s.first}, {"end", f.End(), s.last}} {
		earliest := time.Unix(0, at.want[0]+toWall).Add(-clockSlack)
		latest := time.Unix(0, at.want[1]+toWall).Add(clockSlack)
		if at.got.Before(earliest) || at.got.After(latest) {
			t.Errorf("%s %v, want between %v and %v", at.name, at.got, earliest, latest)
		}
	}
	// not by the wall clock: to the packet
	lasted, least, most := int64(f.End().Sub(f.Start())), s.last[0]-s.first[1], s.last[1]-s.first[0]
	if slack := int64(time.Microsecond); lasted < least-slack || lasted > most+slack {
		t.Errorf("the flow lasted %d ns, want %d to %d", lasted, least, most)
	}
	if f.Packets() != uint64(s.packets) {
		t.Errorf("%d packets, want %d", f.Packets(), s.packets)
	}
}

// timeNamespace, in the environment, holds what the monotonic clock outside of
// the time namespace was.
const timeNamespace = "WEIR_TEST_TIME_NAMESPACE"

// TestD2TimeNamespaceMovesNoFlow runs a meter in a time namespace whose
// monotonic clock is a million seconds ahead of the programs'.
func TestD2TimeNamespaceMovesNoFlow(t *testing.T) {
	const ahead = 1_000_000
	if outside := os.Getenv(timeNamespace); outside != "" {
		ns, err := strconv.ParseInt(outside, 10, 64)
		if off := readClock(unix.CLOCK_MONOTONIC) - ns; err != nil || off < ahead*int64(time.Second) {
			t.Fatalf("this is no such time namespace: its clock is %v ahead (%v)", time.Duration(off), err)
		}
		timesInNamespace(t)
		return
	}
	// In a child: before Linux 6.3 exec alone did not bring a process into it.
	cmd := exec.Command("unshare", "--time", "--fork", "--monotonic", strconv.Itoa(ahead), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", timeNamespace, readClock(unix.CLOCK_MONOTONIC)))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %v\n%s", cmd.Args, err, out)
	}
	t.Logf("measured: %d s ahead of the clock outside, the times of a flow are right to %v", ahead, clockSlack)
}

func timesInNamespace(t *testing.T) {
	c := liveConfig()
	c.IdleTimeout = 100 * time.Millisecond
	k := newKernelMeter(t, c, ringOctets)
	consumer := k.consumer(c)
	s := k.showUntil(t.Context(), countdown(5), func() {})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	n := 0
	for f, err := range consumer.Flows(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		s.matches(t, f, 0)
		if f.EndReason() != bpf.WeirFlowEndReasonEND_IDLE {
			t.Errorf("ended as %v", f.EndReason())
		}
		cancel()
	}
	if l := wantClosed(t, consumer, 5); n != 1 || l.ClockJumps != 0 {
		t.Errorf("%d flows, %d jumps of the clock", n, l.ClockJumps)
	}
}

func countdown(n int) func() bool {
	return func() bool { n--; return n < 0 }
}
