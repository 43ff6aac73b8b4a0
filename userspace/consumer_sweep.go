package userspace

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"

	"github.com/weirflow/weir/bpf"
)

const (
	sweepIntervalMax = time.Second
	sweepIntervalMin = 10 * time.Millisecond
	// Under pressure, what has been quiet for long is closed first, then what has
	// been for a fourth as long, and so on down to this.
	pressureMin = time.Second
	// pressureLook is how long a full table may go unnoticed between two sweeps.
	pressureLook = 100 * time.Millisecond
)

// sweeper sweeps the flow table: by its iterator, or where there is none by test-run of
// the sweep program. Through that it knows the programs' clock.
type sweeper struct {
	program  *ebpf.Program
	walk     walk
	interval time.Duration
	idle     time.Duration
	next     time.Time
	last     bpf.Sweep // what the last sweep answered
	clock    clock
	full     uint64    // packets that had found the table full
	look     time.Time // when to look for more of them
	pressure time.Duration
}

func newSweeper(h *bpf.Handles, idle time.Duration) sweeper {
	return sweeper{
		program:  h.Sweep,
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
	before := s.full
	s.full = full()
	if s.full == before {
		s.pressure = min(s.idle, 4*s.pressure)
		return bpf.WeirSweepModeSWEEP_IDLE
	}
	s.pressure = max(pressureMin, s.pressure/4)
	return bpf.WeirSweepModeSWEEP_PRESSURE
}

// run sweeps the whole table.
func (s *sweeper) run(in bpf.Sweep) error {
	start := time.Now()
	in.PressureNs = uint64(s.pressure)
	out, err := s.table(in)
	if err != nil {
		return fmt.Errorf("sweep the flow table: %w", err)
	}
	s.keep(&out)
	took := time.Since(start)
	s.next = start.Add(s.wait(bpf.WeirSweepMode(in.Mode), took))
	s.look = start.Add(max(pressureLook, 2*took))
	return nil
}

func (s *sweeper) table(in bpf.Sweep) (bpf.Sweep, error) {
	if s.walk.open == nil {
		return s.runs(in)
	}
	clock, err := s.runOnce(bpf.Sweep{Mode: uint32(bpf.WeirSweepModeSWEEP_CLOCK)})
	if err != nil {
		return clock, err
	}
	in.NowNs = clock.NowNs
	out, err := s.walk.run(in)
	if errors.Is(err, errNoWalk) {
		s.walk.open = nil
		return s.runs(in)
	}
	return out, err
}

// runs takes as many runs of the program as the table has entries for: none holds a CPU
// for as long as all of them.
func (s *sweeper) runs(in bpf.Sweep) (all bpf.Sweep, err error) {
	for more := true; more; {
		in.Skip = all.Skip
		out, err := s.runOnce(in)
		if err != nil {
			return all, err
		}
		out.Open += all.Open
		out.Closed += all.Closed
		out.Deleted += all.Deleted
		out.PacketsOpen += all.PacketsOpen
		out.OctetsOpen += all.OctetsOpen
		all, more = out, out.More != 0
	}
	return all, nil
}

// runOnce runs the program behind the entries to be skipped, and learns the programs'
// time.
func (s *sweeper) runOnce(in bpf.Sweep) (out bpf.Sweep, err error) {
	before := s.clock.monotonic()
	if err := testRun(s.program, bytesOf(&in), bytesOf(&out)); err != nil {
		return out, err
	}
	s.clock.learn(before, int64(out.NowNs), s.clock.monotonic())
	return out, nil
}

// keep takes a sweep's answer. One that was stopped for want of ring space has
// not counted what it did not come to: what is open is then as it was.
func (s *sweeper) keep(out *bpf.Sweep) {
	if out.Deferred != 0 {
		out.PacketsOpen, out.OctetsOpen = s.last.PacketsOpen, s.last.OctetsOpen
	}
	s.last = *out
}

// wait is how long after the start of a sweep the next one is due: soon while
// there is more to do, but no more than half of the time is spent on it.
func (s *sweeper) wait(mode bpf.WeirSweepMode, took time.Duration) time.Duration {
	if s.last.Deferred != 0 || mode == bpf.WeirSweepModeSWEEP_PRESSURE {
		return max(sweepIntervalMin, 2*took)
	}
	return max(s.interval, 2*took)
}

func bytesOf[T bpf.Sweep | bpf.SweepWalk](s *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(s)), unsafe.Sizeof(*s))
}
