package bpf_test

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/bpftest"
	"github.com/weirflow/weir/tools/soak"
)

// writers run the metering program on two CPUs; each packet is one of flows.
const (
	writers       = 2
	flowsInRace   = 8
	repeatsInRace = 10_000
)

// roundsInRace makes 4 million packets of eight flows, and in full 10^8.
func roundsInRace() int {
	if soak.Full() {
		return 625
	}
	return 25
}

// meterOn runs the metering program on one CPU until all rounds are done.
func meterOn(t *testing.T, m *bpftest.Meter, cpu int, frames [][]byte) {
	defer stayOn(t, cpu)()
	defer blockSignals(t)()
	for range roundsInRace() {
		for _, f := range frames {
			if _, err := m.Program("weir_xdp_in").Run(&ebpf.RunOptions{Data: f, Repeat: repeatsInRace}); err != nil {
				t.Error(err)
				return
			}
		}
	}
}

// stayOn keeps the goroutine on a CPU until what it returns is called.
func stayOn(t *testing.T, cpu int) (leave func()) {
	runtime.LockOSThread()
	var set, before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Error(err)
	}
	set.Set(cpu % runtime.NumCPU())
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		t.Error(err)
	}
	return func() {
		_ = unix.SchedSetaffinity(0, &before)
		runtime.UnlockOSThread()
	}
}

// blockSignals keeps signals from the thread until what it returns is called: a
// run of many repeats that one interrupts is started again from the beginning,
// and what it had metered already is metered twice.
func blockSignals(t *testing.T) (unblock func()) {
	var all, before unix.Sigset_t
	for i := range all.Val {
		all.Val[i] = ^uint64(0)
	}
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &all, &before); err != nil {
		t.Error(err)
	}
	return func() { _ = unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil) }
}

// whileWriting lets all writers run, and calls other again and again until they have
// ended.
func whileWriting(write func(cpu int), other func()) {
	var wg sync.WaitGroup
	var running atomic.Int32
	running.Store(writers)
	for cpu := range writers {
		wg.Go(func() {
			defer running.Add(-1)
			write(cpu)
		})
	}
	for running.Load() > 0 {
		other()
	}
	wg.Wait()
}

// raced lets the writers run while other calls what they race with, then closes
// what is open.
func raced(t *testing.T, m *bpftest.Meter, frames [][]byte, other func()) bpf.LedgerCount {
	t.Helper()
	whileWriting(func(cpu int) { meterOn(t, m, cpu, frames) }, func() {
		other()
		if err := m.Drain(); err != nil {
			t.Fatal(err)
		}
	})
	if err := m.Finish(1 << 62); err != nil {
		t.Fatal(err)
	}
	l := closes(t, m)
	if want := uint64(writers * roundsInRace() * repeatsInRace * len(frames)); l.MeteredPackets != want {
		t.Errorf("metered %d packets, sent %d", l.MeteredPackets, want)
	}
	if l.LostPackets != 0 {
		t.Errorf("%d packets lost", l.LostPackets)
	}
	return l
}

func raceFrames(t *testing.T, flows int) (frames [][]byte) {
	for i := range flows {
		frames = append(frames, udp(t, 1, 2, uint16(1000+i), 2, 8))
	}
	return frames
}

// Every flow is closed and deleted by every sweep while two CPUs go on metering:
// FAULTS A2.
func TestA2SweepRacingTwoWritersLosesNothing(t *testing.T) {
	for name, sweep := range sweepings {
		t.Run(name, func(t *testing.T) { sweepsRace(t, sweep) })
	}
}

// A sweeping is a way to sweep the whole table.
type sweeping func(*testing.T, *bpftest.Meter, bpf.WeirSweepMode)

var sweepings = map[string]sweeping{"by keys": sweepRuns, "by the iterator": sweepWalks}

func sweepsRace(t *testing.T, sweep sweeping) {
	m := bpftest.New(t, bpftest.Options{LinkType: 1, Statistics: true, Set: map[string]any{"cfg_sweep_piece": uint32(3)}})
	sweeps := 0
	l := raced(t, m, raceFrames(t, flowsInRace), func() {
		sweeps++
		sweep(t, m, bpf.WeirSweepModeSWEEP_FORCED)
	})
	t.Logf("measured: %d packets of two CPUs, %d sweeps beside them, %d records, %d single packets, residual 0", l.MeteredPackets, sweeps, len(m.Records), len(m.Packets))
}

// Both CPUs meter the same flow: FAULTS A3.
func TestA3TwoWritersOfOneFlowKeepItsSums(t *testing.T) {
	m := bpftest.New(t, bpftest.Options{LinkType: 1, Statistics: true})
	raced(t, m, raceFrames(t, 1), func() {})
	if len(m.Records) != 1 || len(m.Packets) != 0 {
		t.Fatalf("%d records and %d single packets of one flow", len(m.Records), len(m.Packets))
	}
	r := m.Records[0]
	if n := r.Dir[0].Packets; r.Dir[0].Octets != 60*n || r.Dir[0].SizeSq != 3600*n {
		t.Errorf("sums of %d packets do not fit: %+v", n, r.Dir[0])
	}
	t.Logf("measured: %d packets of two CPUs, %d octets in one record, as were sent", r.Dir[0].Packets, r.Dir[0].Octets)
}
