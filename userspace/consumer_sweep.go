package userspace

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/testrun"
)

const (
	sweepIntervalMax = time.Second
	sweepIntervalMin = 10 * time.Millisecond
	// Under pressure, what has been quiet for long is closed first, then what has
	// been for a fourth as long, and so on down to this.
	pressureMin = time.Second
	// placesPerEntry is how many places a table has for each entry where either way to
	// sweep it takes the same time. To an entry the iterator comes in half of it, over an
	// empty bucket in ten times as much, and where there is no entry it does not end its
	// read: that of an empty table of ten million places held a CPU for 0.2 s.
	placesPerEntry = 32
	// halfOpen: under pressure a flow that has one packet only, or no answer, must have been
	// quiet for just this fraction of the time (PRESSURE_HALF_OPEN of bpf/sweep.h).
	halfOpen = 8
	// pressureLook is how long a full table may go unnoticed between two sweeps.
	pressureLook = 100 * time.Millisecond
)

// sweeper sweeps the flow table: by its iterator, or by its keys. Through their program
// it knows the programs' clock.
type sweeper struct {
	keys     *testrun.Sweep
	walk     walk
	noWalk   error  // why there is none any more
	sparse   uint32 // of fewer entries the table is swept by its keys
	entries  uint32 // that the last sweep has left
	interval time.Duration
	idle     time.Duration
	next     time.Time
	last     bpf.Sweep // what the last sweep answered
	clock    clock
	begun    atomic.Uint64
	full     uint64    // packets that had found the table full
	look     time.Time // when to look for more of them
	pressure time.Duration
}

func newSweeper(h *bpf.Handles, idle time.Duration) sweeper {
	return sweeper{
		keys:     testrun.NewSweep(h.Flows, h.Sweep),
		walk:     newWalk(h),
		interval: max(sweepIntervalMin, min(sweepIntervalMax, idle/4)),
		idle:     idle,
		pressure: idle,
		clock:    newClock(),
	}
}

// due says whether it is time for a sweep: the next in turn, or one because the table
// is found to be full.
func (s *sweeper) due(full func() uint64) bool {
	now := time.Now()
	if !now.Before(s.next) {
		return true
	}
	if now.Before(s.look) {
		return false
	}
	s.look = now.Add(pressureLook)
	return s.last.Deferred == 0 && full() != s.full
}

// mode is what the next sweep is for. full tells how many packets have found
// the table full.
func (s *sweeper) mode(full func() uint64) bpf.WeirSweepMode {
	if s.last.Deferred != 0 && s.last.Mode == uint32(bpf.WeirSweepModeSWEEP_PRESSURE) {
		return bpf.WeirSweepModeSWEEP_PRESSURE // which goes on
	}
	before := s.full
	s.full = full()
	if s.full == before {
		s.pressure = min(s.idle, 4*s.pressure)
		return bpf.WeirSweepModeSWEEP_IDLE
	}
	s.pressure = max(pressureMin, s.pressure/4)
	return bpf.WeirSweepModeSWEEP_PRESSURE
}

// run sweeps the whole table, or what the last sweep for the same purpose has left of it
// for want of ring space.
func (s *sweeper) run(in bpf.Sweep) error {
	start := time.Now()
	if s.last.Deferred == 0 || s.last.Mode != in.Mode || s.last.Point != in.Point {
		s.begun.Add(1)
	}
	in.PressureNs = uint64(s.pressure)
	out, err := s.table(in)
	if err != nil {
		return fmt.Errorf("sweep the flow table: %w", err)
	}
	s.keep(&out)
	took := time.Since(start)
	s.next = start.Add(s.wait(bpf.WeirSweepMode(in.Mode), took))
	s.look = start.Add(max(pressureLook, 2*took))
	if bpf.WeirSweepMode(in.Mode) == bpf.WeirSweepModeSWEEP_PRESSURE {
		s.look = s.next
	}
	return nil
}

// table sweeps in the way that is better for the table as it is.
func (s *sweeper) table(in bpf.Sweep) (bpf.Sweep, error) {
	if err := s.ask(&in); err != nil {
		return in, err
	}
	if s.walk.open == nil || s.entries < s.sparse {
		return s.keys.Run(in)
	}
	out, err := s.walk.run(in)
	if !errors.Is(err, errNoWalk) {
		return out, err
	}
	s.noWalk = errors.Join(err, s.walk.close())
	s.walk.open = nil
	return s.keys.Run(in)
}

// ask learns the programs' time, which is the sweep's.
func (s *sweeper) ask(in *bpf.Sweep) (err error) {
	before := s.clock.monotonic()
	if in.NowNs, err = s.keys.Clock(); err != nil {
		return err
	}
	s.clock.learn(before, int64(in.NowNs), s.clock.monotonic())
	return nil
}

// keep takes a sweep's answer. One that was stopped for want of ring space has
// not counted what it did not come to: what is open is then as it was.
func (s *sweeper) keep(out *bpf.Sweep) {
	if out.Deferred != 0 {
		out.PacketsOpen, out.OctetsOpen = s.last.PacketsOpen, s.last.OctetsOpen
	} else {
		s.entries = out.At - out.Deleted
	}
	s.last = *out
}

// wait is how long after the start of a sweep the next one is due: soon while
// there is more to do, but no more than half of the time is spent on it. Under pressure
// it is as late as the least that the next one may find over, in the places that this one
// has made: a flood that fills them at once leaves a sweep behind it with all of them to
// close, and the one after it with all of them to delete.
func (s *sweeper) wait(mode bpf.WeirSweepMode, took time.Duration) time.Duration {
	switch {
	case s.last.Deferred != 0:
		return max(sweepIntervalMin, 2*took)
	case mode == bpf.WeirSweepModeSWEEP_PRESSURE:
		return took + max(pressureMin/halfOpen, took)
	}
	return max(s.interval, 2*took)
}

func bytesOf[T bpf.SweepWalk](s *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(s)), unsafe.Sizeof(*s))
}
