package userspace

import (
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
	// been for half as long, and so on down to this.
	pressureMin = time.Second
)

// sweeper runs the sweep program, and through it knows the programs' clock: user
// space's own may lie in another time namespace.
type sweeper struct {
	program  *ebpf.Program
	interval time.Duration
	idle     time.Duration
	next     time.Time
	last     bpf.Sweep // what the last sweep answered
	offset   int64     // wall clock less program clock, nanoseconds
	full     uint64    // packets that had found the table full
	pressure time.Duration
}

func newSweeper(program *ebpf.Program, idle time.Duration) sweeper {
	return sweeper{
		program:  program,
		interval: max(sweepIntervalMin, min(sweepIntervalMax, idle/4)),
		idle:     idle,
		pressure: idle,
	}
}

func (s *sweeper) due() bool { return !time.Now().Before(s.next) }

// mode is what the next sweep is for. full tells how many packets have found
// the table full.
func (s *sweeper) mode(full func() uint64) bpf.WeirSweepMode {
	before := s.full
	s.full = full()
	if s.full == before {
		s.pressure = s.idle
		return bpf.WeirSweepModeSWEEP_IDLE
	}
	s.pressure = max(pressureMin, s.pressure/2)
	return bpf.WeirSweepModeSWEEP_PRESSURE
}

// run sweeps once and measures the clock: the program reads it first of all.
func (s *sweeper) run(mode bpf.WeirSweepMode) error {
	in := bpf.Sweep{Mode: uint32(mode), PressureNs: uint64(s.pressure)}
	out := bpf.Sweep{}
	now := time.Now()
	_, err := s.program.Run(&ebpf.RunOptions{Data: sweepBytes(&in), DataOut: sweepBytes(&out), Repeat: 1})
	if err != nil {
		return fmt.Errorf("sweep the flow table: %w", err)
	}
	s.last = out
	s.offset = now.UnixNano() - int64(out.NowNs)
	s.next = now.Add(s.interval)
	return nil
}

// wall converts the programs' time to nanoseconds since the Unix epoch.
func (s *sweeper) wall(programNs uint64) uint64 { return uint64(int64(programNs) + s.offset) }

func sweepBytes(s *bpf.Sweep) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(s)), unsafe.Sizeof(*s))
}
