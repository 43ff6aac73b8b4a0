package loader_test

import (
	"testing"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/tools/flowgen"
)

// A table of many flows is swept in runs that each hold their CPU for a moment only.
func TestA8SweepOfManyFlowsHoldsNoCPUForLong(t *testing.T) {
	l := newLoad(t)
	o := options()
	flows := soak(300_000, 1_000_000)
	o.Config.MaxFlows, o.Config.IdleTimeout, o.RingOctets = flows, time.Hour, 16<<20
	a := attach(t, o, nearName)
	r := consumer(t, a, o)
	l.send(l.generator(uint32(flows), 1), template(flowgen.UDP4, 60), flows)
	shortest, runs := time.Hour, 0
	for range 3 {
		longest, open, n := sweepAll(t, a.Handles().Sweep)
		if shortest, runs = min(shortest, longest), n; open != flows {
			t.Errorf("%d flows are open, want %d", open, flows)
		}
	}
	if runs < flows/131_072 {
		t.Errorf("a sweep is %d runs", runs)
	}
	// Of three sweeps the one that was disturbed least, and much more than that.
	if shortest > soak(500*time.Millisecond, time.Second) {
		t.Errorf("a run holds its CPU for %v", shortest)
	}
	reading := read(t, r, func(generated) bool { return false })
	ledger := reading.end(l.sent)
	t.Logf("measured: %d flows in %d MB of the kernel's memory, swept in %d runs of at most %v, drained with residual 0; lost %d",
		flows, kernelOctets(t, a.Handles().Flows)/1e6, runs, shortest.Round(time.Millisecond), ledger.Lost.Packets)
}

// sweepAll sweeps a table in which nothing is over, and returns how long the longest
// run took, how many flows are open, and how many runs it was.
func sweepAll(t *testing.T, sweep *ebpf.Program) (longest time.Duration, open, runs int) {
	t.Helper()
	var s bpf.Sweep
	for more := true; more; more = s.More != 0 {
		in := bpf.Sweep{Skip: s.Skip}
		out := make([]byte, unsafe.Sizeof(s))
		began := time.Now()
		if _, err := sweep.Run(&ebpf.RunOptions{Data: octetsOf(&in), DataOut: out, Repeat: 1}); err != nil {
			t.Fatal(err)
		}
		longest = max(longest, time.Since(began))
		copy(octetsOf(&s), out)
		open += int(s.Open)
		runs++
	}
	return longest, open, runs
}

func octetsOf(s *bpf.Sweep) []byte {
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
