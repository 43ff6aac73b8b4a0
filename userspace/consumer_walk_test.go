package userspace

import (
	"errors"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/bpf"
)

// A walk that the ring was too full for goes on where it was, and comes to every flow
// once.
func TestAWalkGoesOnWhereTheRingWasFull(t *testing.T) {
	const flows = 200
	k := newKernelMeter(t, liveConfig(), uint32(os.Getpagesize()))
	k.showAll(flows, 2)
	consumer := k.consumer(liveConfig())
	forced := bpf.Sweep{NowNs: 1, Mode: uint32(bpf.WeirSweepModeSWEEP_FORCED)}
	w, reads := &consumer.sweeper.walk, 0
	consumer.yield = func(*Flow, error) bool { return true }
	for {
		out, err := w.run(forced)
		if err != nil {
			t.Fatal(err)
		}
		if err := consumer.empty(); err != nil {
			t.Fatal(err)
		}
		if reads++; out.Deferred != 0 {
			continue
		}
		if out.At != flows || out.Closed != flows || reads < 3 {
			t.Errorf("%d turns came to %d flows and closed %d, want %d", reads, out.At, out.Closed, flows)
		}
		break
	}
	packetsOf(t, consumer, drained(t))
	wantClosed(t, consumer, 2*flows)
}

// A sweep that the ring stops goes on, by keys as well, and is one sweep; its pressure
// stays as it was.
func TestA5ASweepThatTheRingStopsIsOneSweep(t *testing.T) { bothWays(t, stoppedSweepIsOne) }

func stoppedSweepIsOne(t *testing.T, way sweptBy) {
	const flows = 200
	k := way(newKernelMeter(t, liveConfig(), uint32(os.Getpagesize())))
	k.showAll(flows, 1)
	consumer := k.consumer(liveConfig())
	consumer.yield = func(*Flow, error) bool { return true }
	s := &consumer.sweeper
	full := uint64(0)
	turns, closed := 0, uint32(0)
	for goesOn := true; goesOn; turns++ {
		mode := s.mode(func() uint64 { full++; return full })
		if turns == 0 {
			s.pressure = 0 // how long quiet: not at all
		}
		if err := errors.Join(consumer.sweep(mode), consumer.empty()); err != nil {
			t.Fatal(err)
		}
		goesOn, closed = s.last.Deferred != 0, s.last.Closed
	}
	if turns < 3 || closed != flows || consumer.Sweeps() != 1 {
		t.Errorf("%d turns closed %d flows and were %d sweeps, want 1 that closes %d", turns, closed, consumer.Sweeps(), flows)
	}
	packetsOf(t, consumer, drained(t))
	wantClosed(t, consumer, flows)
}

// One for another purpose begins anew.
func TestAWalkForAnotherPurposeBeginsAnew(t *testing.T) {
	const flows = 200
	k := newKernelMeter(t, liveConfig(), uint32(os.Getpagesize()))
	k.showAll(flows, 2)
	consumer := k.consumer(liveConfig())
	w := &consumer.sweeper.walk
	first, err := w.run(bpf.Sweep{NowNs: 1, Mode: uint32(bpf.WeirSweepModeSWEEP_FORCED)})
	if err != nil || first.Deferred == 0 {
		t.Fatalf("%+v, %v", first, err)
	}
	second, err := w.run(bpf.Sweep{NowNs: 1, Mode: uint32(bpf.WeirSweepModeSWEEP_IDLE)})
	if err != nil || second.Open != flows-first.Closed || second.At != flows {
		t.Errorf("after %d were closed it comes to %+v (%v)", first.Closed, second, err)
	}
	packetsOf(t, consumer, drained(t))
	wantClosed(t, consumer, 2*flows)
}

// Whatever confines a process may know nothing of iterators, and the kernel may have no
// memory for one in the middle of the table: its keys do then.
func TestASweepIsByKeysWhereTheIteratorFails(t *testing.T) {
	for name, failing := range map[string]func(*walk){
		"not opened": func(w *walk) {
			w.open = func() (io.ReadCloser, error) { return nil, unix.EPERM }
		},
		"not read": func(w *walk) {
			open := w.open
			w.open = func() (io.ReadCloser, error) {
				pieces, err := open()
				return unreadable{pieces}, err
			}
		},
		"not told": func(w *walk) {
			closed, err := w.state.Clone()
			if err != nil {
				t.Fatal(err)
			}
			_ = closed.Close()
			w.state = closed
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKernelMeter(t, liveConfig(), ringOctets)
			k.showAll(10, 2)
			consumer := k.consumer(liveConfig())
			failing(&consumer.sweeper.walk)
			tries := countOpens(consumer)
			packetsOf(t, consumer, drained(t))
			wantClosed(t, consumer, 20)
			if *tries > 1 {
				t.Errorf("%d tries to open the iterator, want 1 at most", *tries)
			}
			if err := consumer.IteratorError(); !errors.Is(err, errNoWalk) {
				t.Errorf("the iterator failed with %v, which is not told", err)
			}
		})
	}
}

// unreadable is an iterator that the kernel has no memory to read.
type unreadable struct{ io.Closer }

func (unreadable) Read([]byte) (int, error) { return 0, unix.ENOMEM }

// Two who sweep at a time lose packets: who finds that another does ends.
func TestAWalkThatAnotherProcessSweepsThroughEnds(t *testing.T) {
	k := newKernelMeter(t, liveConfig(), ringOctets)
	k.showAll(10, 2)
	consumer := k.consumer(liveConfig())
	open := consumer.sweeper.walk.open
	consumer.sweeper.walk.open = func() (io.ReadCloser, error) {
		pieces, err := open()
		return ended{pieces}, err
	}
	if err := consumer.sweep(bpf.WeirSweepModeSWEEP_IDLE); err == nil || consumer.IteratorError() != nil {
		t.Errorf("it goes on: %v, %v", err, consumer.IteratorError())
	}
	if err := consumer.sweeper.walk.close(); err != nil {
		t.Error(err)
	}
	consumer.sweeper.walk.open = open
	packetsOf(t, consumer, drained(t))
	wantClosed(t, consumer, 20)
}

// ended is an iterator that another process has brought to its end.
type ended struct{ io.Closer }

func (ended) Read([]byte) (int, error) { return 0, io.EOF }

// countOpens counts how often the iterator is opened.
func countOpens(c *Consumer) *int {
	opens, w := new(int), &c.sweeper.walk
	open := w.open
	w.open = func() (io.ReadCloser, error) {
		*opens++
		return open()
	}
	return opens
}

// The iterator is for tables with flows in them: over many empty buckets a read of it
// would hold its CPU.
func TestA8SweepOfATableWithFewFlowsIsByItsKeys(t *testing.T) {
	c := liveConfig()
	c.MaxFlows = 64 * placesPerEntry
	k := newKernelMeter(t, c, ringOctets)
	consumer := k.consumer(c)
	consumer.sweeper.sparse = uint32(c.MaxFlows / placesPerEntry)
	consumer.yield = func(*Flow, error) bool { return true }
	opens := countOpens(consumer)
	sweep := func(mode bpf.WeirSweepMode, want int) {
		t.Helper()
		*opens = 0
		if err := errors.Join(consumer.sweep(mode), consumer.empty()); err != nil {
			t.Fatal(err)
		}
		if *opens != want {
			t.Errorf("the iterator was opened %d times, want %d; %+v", *opens, want, consumer.sweeper.last)
		}
	}
	k.showAll(63, 1)
	sweep(bpf.WeirSweepModeSWEEP_IDLE, 0) // nothing was known
	sweep(bpf.WeirSweepModeSWEEP_IDLE, 0) // 63
	k.showAll(64, 1)
	sweep(bpf.WeirSweepModeSWEEP_IDLE, 0)
	sweep(bpf.WeirSweepModeSWEEP_FORCED, 1) // 64
	sweep(bpf.WeirSweepModeSWEEP_FORCED, 1) // closed, and still there
	sweep(bpf.WeirSweepModeSWEEP_FORCED, 0) // deleted
	packetsOf(t, consumer, drained(t))
}
