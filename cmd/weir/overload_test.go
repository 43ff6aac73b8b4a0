package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/bpf/bpftest"
	"github.com/weirflow/weir/tools/flowgen"
	"github.com/weirflow/weir/tools/soak"
)

// flood sends SYNs to one port from ever other addresses, for so long.
func (s *sender) flood(d time.Duration) {
	s.t.Helper()
	const portion = 20_000 // which takes some 20 ms
	ended := make(chan error)
	go func() { // its thread is spoilt, and ends with it
		runtime.LockOSThread()
		ended <- s.inNamespace(func(near netlink.Link) error {
			for end := time.Now().Add(d); time.Now().Before(end); s.sent.Add(portion) {
				if err := s.sendSYNs(near, portion); err != nil {
					return err
				}
			}
			return nil
		})
	}()
	if err := <-ended; err != nil {
		s.t.Fatal(err)
	}
}

// sendSYNs makes the frames in the kernel. They are metered on the CPU that sends
// them before it sends more, so that none is dropped on the way.
func (s *sender) sendSYNs(near netlink.Link, packets uint32) error {
	const batch = 64
	if s.floods == nil {
		g, err := flowgen.Load(flowgen.Options{Flows: flowgen.MaxFlows, Forward: true, Ifindex: near.Attrs().Index})
		if err != nil {
			return err
		}
		s.floods = g
		s.t.Cleanup(func() { _ = g.Close() })
	}
	frame := flowgen.Template(flowgen.TCP4, 60, [2][6]byte{{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}})
	frame[14+20+13] = 2 // SYN
	return s.floods.Live(frame, packets, batch)
}

// warmUp sends a flood until a process takes no more memory for it.
func (s *sender) warmUp(pid int) {
	s.t.Helper()
	most, _ := used(s.t, pid)
	for quiet, seconds := 0, 0; quiet < 3; quiet++ {
		s.flood(time.Second)
		if now, _ := used(s.t, pid); now > most+most/50 {
			most, quiet = now, -1
		}
		if seconds++; seconds > 60 {
			s.t.Fatal("the process takes ever more memory")
		}
	}
}

// used is what a process and those that it started take: resident KiB, and the time
// that they have had a CPU.
func used(t *testing.T, pid int) (kib int, cpu time.Duration) {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	family := map[int]bool{pid: true}
	for range 3 { // parents may come behind their children
		kib, cpu = 0, 0
		for _, path := range paths {
			stat, err := os.ReadFile(path)
			if err != nil {
				continue // it has ended
			}
			_, rest, _ := strings.Cut(string(stat), ") ")
			fields := strings.Fields(rest) // from field 3 of proc(5) on
			self, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			if family[self] || family[integer(fields[1])] {
				family[self] = true
				kib += integer(fields[21]) * os.Getpagesize() >> 10
				cpu += time.Duration(integer(fields[11])+integer(fields[12])) * time.Second / 100
			}
		}
	}
	return kib, cpu
}

// residentOf is what a process takes alone, in KiB.
func residentOf(t *testing.T, pid int) int {
	t.Helper()
	fields := strings.Fields(string(read(t, fmt.Sprintf("/proc/%d/statm", pid))))
	return integer(fields[1]) * os.Getpagesize() >> 10
}

func integer(text string) int {
	n, _ := strconv.Atoi(text)
	return n
}

// settledMemory is what a process takes that has come to rest after its start.
func settledMemory(t *testing.T, pid int) (kib int) {
	t.Helper()
	kib, _ = used(t, pid)
	for before := 0; kib > before+before/100; {
		before = kib
		time.Sleep(500 * time.Millisecond)
		kib, _ = used(t, pid)
	}
	return kib
}

// A flood of SYNs takes one CPU at most, and no memory that was not taken at the start
// but for a little garbage. Only the process with nDPI takes what its flows need when
// they come, up to its bounds (H13); the consumer beside it does not.
func TestA6FloodTakesOneCPUAndNoMoreMemoryThanItsBounds(t *testing.T) {
	for _, c := range []struct {
		name  string
		args  []string
		mark  bool // comes to the full load
		warms bool // takes memory in the first seconds, and then no more
	}{
		{name: "flows", mark: true, args: []string{"-o", "csv:" + os.DevNull, "--dissections", "0"}},
		{name: "every group", args: []string{"-o", "ndjson:" + os.DevNull, "--dissections", "0",
			"--statistics", "--splt", "20", "--tcp-statistics", "--ip-statistics"}},
		{name: "nDPI", args: []string{"-o", "csv:" + os.DevNull, "--l7-flows", "4096"}, warms: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWire(t)
			// How much waits for a writer that gets no CPU is a bound of its own (G2).
			p := w.attach(t, append(c.args, "--max-flows", "20000", "--queue-octets", "1048576")...)
			s, pid := w.sender(t), p.Process.Pid
			base, against := settledMemory(t, pid), "idle"
			consumer := child(t, pid, consumerCommand)
			idle := residentOf(t, consumer)
			if c.warms {
				s.warmUp(pid)
				base, _ = used(t, pid)
				against = "warmed up"
			}
			told, rate := s.floodWithin(p, base)
			if c.mark {
				s.holdToMark(rate)
			}
			full := residentOf(t, consumer)
			if c.warms && full-idle > idle/10 {
				t.Errorf("the consumer has %d KiB resident, %d after the flood: want 10 %% more at most", idle, full)
			}
			time.Sleep(50 * time.Millisecond)
			p.interrupt(t)
			code, _, said := p.end(t)
			closes(t, said)
			if code != exitComplete && code != exitLoss {
				t.Errorf("exit code %d: %s", code, said)
			}
			t.Logf("measured: %s %s; the consumer alone %d, from %d idle; residual 0", told, against, full>>10, idle>>10)
		})
	}
}

// floodWithin floods a meter, and wants it to take one CPU at most, and 10 % more memory
// at most than it did before.
func (s *sender) floodWithin(p *process, baseKiB int) (told string, rate float64) {
	s.t.Helper()
	sent, began := s.sent.Load(), time.Now()
	_, before := used(s.t, p.Process.Pid)
	s.flood(soak.Of(3*time.Second, time.Minute))
	took, flooded := time.Since(began), s.sent.Load()-sent
	full, after := used(s.t, p.Process.Pid)
	cpu := after - before
	if full-baseKiB > baseKiB/10 {
		s.t.Errorf("%d KiB resident, %d after the flood: want 10 %% more at most", baseKiB, full)
	}
	if cpu > took+took/10 {
		s.t.Errorf("%v of CPU in %v: want one CPU at most", cpu, took)
	}
	rate = float64(flooded) / 1e6 / took.Seconds()
	told = fmt.Sprintf("%d SYNs at %.2f M/s: %.2f CPUs; %d MiB resident at the end, from %d",
		flooded, rate, cpu.Seconds()/took.Seconds(), full>>10, baseKiB>>10)
	return told, rate
}

// The reader of a pinned meter is dead under a full load: what is aggregated in the
// table loses nothing, single packets that found no room are counted, and whoever
// comes next has the rest.
func TestG6DeadReaderUnderLoadCostsSinglePacketsOnly(t *testing.T) {
	w := newWire(t)
	s, pin, out := w.sender(t), bpftest.PinPlace(t), filepath.Join(t.TempDir(), "flows.ndjson")
	args := []string{"--pin", pin, "-o", out, "--dissections", "0", "--max-flows", "4096", "--max-loss", "100"}
	p := w.attach(t, args...)
	const established = 500
	s.send(established, 1)
	rounds, rate := s.loadWhile(p.kill, established)
	p = w.attach(t, args...)
	s.send(established, 1)
	rounds += 2
	code, _, second := w.runIn(t, "consume", "--pin", pin, "-o", "csv:"+os.DevNull)
	if code != exitFailed || !strings.Contains(second, "pid") {
		t.Errorf("a second reader: exit code %d: %s", code, second)
	}
	time.Sleep(100 * time.Millisecond)
	p.interrupt(t)
	if code, _, said := p.end(t); code != exitComplete {
		t.Errorf("exit code %d: %s", code, said)
	}
	code, _, said := w.runIn(t, "detach", "--pin", pin, "-o", out, "--max-loss", "100")
	closes(t, said)
	lost := ledgerTerm(t, said, "lost")
	if packets, _, again := once(t, out); code != exitComplete || packets != uint64(rounds*established) || again != 0 {
		t.Errorf("exit code %d; %d packets of established flows, want %d: %s", code, packets, rounds*established, said)
	}
	if lost == 0 || ledgerTerm(t, said, "metered") != s.sent.Load() {
		t.Errorf("%d packets sent, %d lost: want the ring to have been full: %s", s.sent.Load(), lost, said)
	}
	t.Logf("measured: %d packets at %.2f M/s while no reader lives: %d established flows exact, %d single packets lost and counted, residual 0",
		s.sent.Load(), rate, established, lost)
}

// holdToMark wants a load to have come to a million frames a second, in soak, for which the
// machine is to have nothing else to do.
func (s *sender) holdToMark(rate float64) {
	s.t.Helper()
	if mark := soak.Of(0.0, 1.0); rate < mark {
		s.t.Errorf("%.2f M frames/s, want %.0f M: is the machine busy?", rate, mark)
	}
}

// loadWhile stops a reader, and floods while it is gone: between rounds, which it
// counts, of the established flows. More comes than any ring holds. The rate is in
// millions a second.
func (s *sender) loadWhile(stop func(), established int) (rounds int, rate float64) {
	s.t.Helper()
	stop()
	began, before := time.Now(), s.sent.Load()
	for time.Since(began) < soak.Of(time.Second, 10*time.Second) || s.sent.Load() < 300_000 {
		s.flood(100 * time.Millisecond)
		s.send(established, 1)
		rounds++
	}
	return rounds, float64(s.sent.Load()-before) / 1e6 / time.Since(began).Seconds()
}

// C4 under load: the meter is stopped, as the kernel stops it, and goes on.
func TestC4StoppedMeterUnderLoadLosesSinglePacketsOnly(t *testing.T) {
	w := newWire(t)
	out := filepath.Join(t.TempDir(), "flows.ndjson")
	p := w.attach(t, "-o", out, "--dissections", "0", "--max-flows", "4096", "--max-loss", "100")
	s := w.sender(t)
	const established = 500
	s.send(established, 1)
	rounds, rate := s.loadWhile(func() { p.stopConsumer(t, unix.SIGSTOP) }, established)
	p.stopConsumer(t, unix.SIGCONT)
	s.send(established, 1)
	time.Sleep(100 * time.Millisecond)
	p.interrupt(t)
	code, _, said := p.end(t)
	closes(t, said)
	lost := ledgerTerm(t, said, "lost")
	if packets, _, _ := once(t, out); code != exitComplete || packets != uint64((rounds+2)*established) {
		t.Errorf("exit code %d; %d packets of established flows, want %d: %s", code, packets, (rounds+2)*established, said)
	}
	s.holdToMark(rate)
	if lost == 0 || ledgerTerm(t, said, "metered") != s.sent.Load() {
		t.Errorf("%d packets sent, %d lost: want the ring to have been full: %s", s.sent.Load(), lost, said)
	}
	t.Logf("measured: %d packets, most at %.2f M/s while it is stopped: %d established flows exact, %d single packets lost and counted, residual 0",
		s.sent.Load(), rate, established, lost)
}
