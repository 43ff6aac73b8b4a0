package bpf_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/bpftest"
)

// However few keys a batch has, and however many of them share a bucket, a sweep comes to
// all entries, once each, also while it deletes.
func TestA8SweepByKeysComesToEveryEntry(t *testing.T) {
	for _, copied := range []bool{false, true} {
		for _, keys := range []int{16, 64, bpftest.SweepBatchMax} {
			t.Run(fmt.Sprintf("copied %v, %d at a time", copied, keys), func(t *testing.T) { sweepComesToAll(t, copied, keys) })
		}
	}
}

func sweepComesToAll(t *testing.T, copied bool, keys int) {
	const flows = 1000 // in 1,024 buckets: many share one
	m := bpftest.New(t, bpftest.Options{LinkType: 1, IdleNs: uint64(time.Minute), MaxFlows: 1024, Copied: copied})
	for _, want := range mostlyIdle(t, m, flows) {
		batches := uint32(0)
		got, err := m.SweepInBatches(bpf.Sweep{NowNs: want.NowNs}, keys, func() { batches++ })
		if err != nil {
			t.Fatal(err)
		}
		all := want.Open + want.Closed + want.Deleted
		if got.At != all || batches < all/uint32(keys) || keys == bpftest.SweepBatchMax && batches > 2*all/uint32(keys)+1 {
			t.Errorf("%d batches come to %d entries, want %d", batches, got.At, all)
		}
		got.At, got.PacketsOpen, got.OctetsOpen = 0, 0, 0
		if got != want {
			t.Errorf("a sweep comes to %+v, want %+v", got, want)
		}
		if err := m.Drain(); err != nil {
			t.Fatal(err)
		}
	}
}

// Flows arrive and go on other CPUs between any two steps of a sweep. Those that are there
// all the time are come to by each, and once.
func TestA8SweepByKeysComesToWhatIsThereWhileOthersArriveAndGo(t *testing.T) {
	const established = 400
	m := bpftest.New(t, bpftest.Options{LinkType: 1, IdleNs: uint64(time.Microsecond), RingOctets: 256 << 20})
	const sweeps = 30
	deleted := uint32(0)
	stop := keepOpeningFlows(t, m)
	for range sweeps {
		for n := range established {
			send(t, m, udp(t, 1, 2, uint16(n), 53, 8), 1<<60)
		}
		m.Records = m.Records[:0]
		s, err := m.SweepInBatches(bpf.Sweep{NowNs: 1<<60 + uint64(time.Second)}, 32, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Drain(); err != nil {
			t.Fatal(err)
		}
		deleted += s.Deleted
		wantEachOnce(t, m, established)
	}
	stop()
	if deleted < sweeps {
		t.Errorf("%d sweeps have deleted %d entries: nothing raced", sweeps, deleted)
	}
	finish(t, m, 1<<61)
	closes(t, m)
	t.Logf("measured: %d sweeps come to each of %d flows once, while others arrive from two CPUs and go: %d are deleted", sweeps, established, deleted)
}

// keepOpeningFlows has each writer send a packet of one flow after the other, until stop
// is called. What it comes to again has been closed and deleted meanwhile.
func keepOpeningFlows(t *testing.T, m *bpftest.Meter) (stop func()) {
	var enough atomic.Bool
	var wg sync.WaitGroup
	for writer := range byte(writers) {
		frame := udp(t, 10+writer, 4, 0, 53, 8)
		wg.Go(func() {
			for n := uint16(0); !enough.Load(); n = (n + 1) % 20_000 {
				binary.BigEndian.PutUint16(frame[34:], n)
				if _, err := m.Program("weir_xdp_in").Run(&ebpf.RunOptions{Data: frame, Repeat: 1}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	return func() {
		enough.Store(true)
		wg.Wait()
	}
}

// wantEachOnce looks for flows of one end among the records.
func wantEachOnce(t *testing.T, m *bpftest.Meter, flows int) {
	t.Helper()
	seen := map[uint16]int{}
	for i := range m.Records {
		if r := &m.Records[i]; max(r.Dir[0].LastNs, r.Dir[1].LastNs) == 1<<60 {
			seen[r.Key.Port[0]+r.Key.Port[1]]++ // one of which is the same for all
		}
	}
	if len(seen) != flows {
		t.Errorf("a sweep came to %d flows, want %d", len(seen), flows)
	}
	for port, times := range seen {
		if times != 1 {
			t.Errorf("a sweep came to the flow of port %d %d times", port-53, times)
		}
	}
}

// The ring is full: a sweep ends, loses nothing, and says so.
func TestASweepEndsWhereTheRingIsFull(t *testing.T) {
	ways := map[string]func(*bpftest.Meter, bpf.Sweep) (bpf.Sweep, error){
		"by keys":         (*bpftest.Meter).Sweep,
		"by the iterator": func(m *bpftest.Meter, s bpf.Sweep) (bpf.Sweep, error) { return m.Walk(s, nil) },
	}
	for name, sweep := range ways {
		t.Run(name, func(t *testing.T) {
			const flows = 100
			m := bpftest.New(t, bpftest.Options{LinkType: 1, RingOctets: 16384})
			for n := range flows {
				send(t, m, udp(t, 1, 2, uint16(n), 53, 8), time.Second)
			}
			turns := 0
			for deferred := true; deferred; turns++ {
				s, err := sweep(m, bpf.Sweep{NowNs: uint64(2 * time.Second), Mode: uint32(bpf.WeirSweepModeSWEEP_FORCED)})
				if err != nil {
					t.Fatal(err)
				}
				if deferred = s.Deferred != 0; deferred && (s.More == 0 || s.Closed == 0) {
					t.Fatalf("it was put off: %+v", s)
				}
				if err := m.Drain(); err != nil {
					t.Fatal(err)
				}
			}
			if len(m.Records) != flows || turns < 2 {
				t.Errorf("%d flows were closed in %d turns, want %d in several", len(m.Records), turns, flows)
			}
		})
	}
}

// With hardly a flow in it, a table of ten million places is come through without holding
// a CPU: the kernel passes over empty buckets on its own. As no table has more buckets
// than this one, no memory for entries is taken.
func TestA8SweepOfAnEmptyTableHoldsNoCPUForLong(t *testing.T) {
	m := bpftest.New(t, bpftest.Options{LinkType: 1, MaxFlows: 10_000_000, NoPrealloc: true})
	send(t, m, udp(t, 1, 2, 1, 53, 8), time.Second)
	runtime.LockOSThread() // whose time it is
	defer runtime.UnlockOSThread()
	least := time.Hour
	for range 5 {
		longest, began := time.Duration(0), cpuTime(t)
		s, err := m.SweepInBatches(bpf.Sweep{NowNs: uint64(time.Second)}, bpftest.SweepBatchMax, func() {
			longest = max(longest, cpuTime(t)-began)
			began = cpuTime(t)
		})
		if err != nil || s.Open != 1 {
			t.Fatalf("%+v, %v", s, err)
		}
		least = min(least, longest)
	}
	if least > 50*time.Millisecond {
		t.Errorf("a piece of a sweep holds its CPU for %v", least)
	}
	t.Logf("measured: a sweep of a flow among 10,000,000 places is at most %v of its CPU at a time", least.Round(100*time.Microsecond))
}

// cpuTime is what this thread has had of its CPU so far: what others take does not count.
func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now); err != nil {
		t.Fatal(err)
	}
	return time.Duration(now.Nano())
}

// A bucket that no batch has room for is told, and not passed over.
func TestASweepTellsOfABucketLargerThanItsBatch(t *testing.T) {
	const flows = 64 // in as many buckets: many share one
	m := bpftest.New(t, bpftest.Options{LinkType: 1, MaxFlows: flows})
	for n := range flows {
		send(t, m, udp(t, 1, 2, uint16(n), 53, 8), time.Second)
	}
	if s, err := m.SweepInBatches(bpf.Sweep{NowNs: uint64(time.Second)}, 1, nil); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("%+v, %v", s, err)
	}
	finish(t, m, 2*time.Second)
	closes(t, m)
}
