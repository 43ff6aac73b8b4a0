package loader_test

import (
	"errors"
	"io"
	"testing"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/testrun"
	"github.com/weirflow/weir/tools/flowgen"
	"github.com/weirflow/weir/tools/soak"
)

// A table of many flows is swept in pieces that each hold their CPU for a moment only, by
// the iterator, and by keys where there is none.
func TestA8SweepOfManyFlowsHoldsNoCPUForLong(t *testing.T) {
	l := newLoad(t)
	o := options()
	flows := soak.Of(300_000, 10_000_000)
	o.Config.MaxFlows, o.Config.IdleTimeout, o.RingOctets = flows, time.Hour, 16<<20
	a := attach(t, o, nearName)
	r := consumer(t, a, o)
	l.send(l.generator(uint32(flows), 1), template(flowgen.UDP4, 60), flows)
	h := a.Handles()
	walked, ran := best(t, 3, flows, func() swept { return walkAll(t, &h) }), best(t, 3, flows, func() swept { return runAll(t, &h) })
	for way, s := range map[string]swept{"by the iterator": walked, "by keys": ran} {
		if s.longest > 50*time.Millisecond {
			t.Errorf("a piece of a sweep %s holds its CPU for %v", way, s.longest)
		}
	}
	if walked.pieces < flows/4096 || ran.pieces < flows/256 {
		t.Errorf("a sweep is %d pieces by the iterator and %d by keys", walked.pieces, ran.pieces)
	}
	reading := read(t, r, func(generated) bool { return false })
	ledger := reading.end(l.sent)
	t.Logf("measured: %d flows in %d MB of the kernel's memory, swept by the iterator in %v (%d pieces of at most %v), by keys in %v (%d pieces of at most %v), drained with residual 0; lost %d",
		flows, kernelOctets(t, h.Flows)/1e6, walked.all.Round(time.Millisecond), walked.pieces, walked.longest.Round(10*time.Microsecond),
		ran.all.Round(time.Millisecond), ran.pieces, ran.longest.Round(10*time.Microsecond), ledger.Lost.Packets)
}

// swept is what a sweep has taken of its CPU, by the thread's own clock: what others take
// meanwhile does not count.
type swept struct {
	longest, all time.Duration // a piece, or a run; and all of them
	pieces, open int
}

// best is the sweep of some that was disturbed least; each must come to every flow.
func best(t *testing.T, sweeps, flows int, sweep func() swept) (least swept) {
	t.Helper()
	for i := range sweeps {
		s := sweep()
		if s.open != flows {
			t.Errorf("%d flows are open, want %d", s.open, flows)
		}
		if i == 0 || s.longest < least.longest {
			least = s
		}
	}
	return least
}

func (s *swept) took(cpu time.Duration) {
	s.longest = max(s.longest, cpu)
	s.all += cpu
	s.pieces++
}

// cpuTime is what the thread has had of its CPU so far.
func cpuTime() time.Duration {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now) != nil {
		return 0
	}
	return time.Duration(now.Nano())
}

// walkAll sweeps, by the iterator, a table in which nothing is over.
func walkAll(t *testing.T, h *bpf.Handles) (s swept) {
	t.Helper()
	if h.SweepIter == nil {
		t.Fatal("the meter's sweep has no iterator (it takes CAP_PERFMON, and a kernel with BTF)")
	}
	state := bpf.SweepWalk{Sweep: bpf.Sweep{NowNs: 1, More: 1}}
	if err := h.SweepState.Put(uint32(0), octetsOf(&state)); err != nil {
		t.Fatal(err)
	}
	pieces, err := h.SweepIter.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer pieces.Close()
	for piece := make([]byte, 1); err == nil; {
		began := cpuTime()
		_, err = pieces.Read(piece)
		s.took(cpuTime() - began)
	}
	if !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if err := h.SweepState.Lookup(uint32(0), octetsOf(&state)); err != nil {
		t.Fatal(err)
	}
	s.open = int(state.Sweep.Open)
	return s
}

// runAll does so by the table's keys.
func runAll(t *testing.T, h *bpf.Handles) (s swept) {
	t.Helper()
	sweep := testrun.NewSweep(h.Flows, h.Sweep)
	if err := sweep.Begin(bpf.Sweep{NowNs: 1}); err != nil {
		t.Fatal(err)
	}
	for {
		began := cpuTime()
		out, err := sweep.Piece()
		s.took(cpuTime() - began)
		if err != nil {
			t.Fatal(err)
		}
		if out.More == 0 {
			s.open = int(out.Open)
			return s
		}
	}
}

func octetsOf(s *bpf.SweepWalk) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(s)), unsafe.Sizeof(*s))
}

// kernelOctets is the memory of a map.
func kernelOctets(t *testing.T, m *ebpf.Map) (octets uint64) {
	t.Helper()
	info, err := m.Info()
	if err != nil {
		t.Fatal(err)
	}
	octets, known := info.Memlock()
	if !known {
		t.Fatal("the kernel does not tell how much memory a map takes")
	}
	return octets
}
