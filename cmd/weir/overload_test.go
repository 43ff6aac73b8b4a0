package main

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// flood sends SYNs to one port from ever other addresses, for so long.
func (s *sender) flood(d time.Duration) {
	s.t.Helper()
	frame := s.frame(0)[:60]
	copy(frame[16:], []byte{0, 46})
	frame[23] = unix.IPPROTO_TCP
	copy(frame[34:], []byte{0x40, 0, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0})
	for end := time.Now().Add(d); time.Now().Before(end); {
		for range 1000 {
			binary.BigEndian.PutUint32(frame[26:], 10<<24|uint32(s.sent.Load()))
			_, err := unix.Write(s.socket, frame)
			switch {
			case err == nil:
				s.sent.Add(1)
			case !errors.Is(err, unix.ENOBUFS):
				s.t.Fatal(err)
			}
		}
	}
}

// warmUp sends a flood until a process takes no more memory for it.
func (s *sender) warmUp(pid int) {
	s.t.Helper()
	most, _ := used(s.t, pid)
	for quiet := 0; quiet < 3; quiet++ {
		s.flood(time.Second)
		if now, _ := used(s.t, pid); now > most+most/50 {
			most, quiet = now, -1
		}
		if s.sent.Load() > 1<<24 {
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

func integer(text string) int {
	n, _ := strconv.Atoi(text)
	return n
}

// A flood of SYNs takes memory up to the bounds of what is metered in user space, and
// then no more, and one CPU at most.
func TestA6FloodTakesOneCPUAndNoMoreMemoryThanItsBounds(t *testing.T) {
	w := newWire(t)
	p := w.attach(t, "-o", "csv:"+os.DevNull, "--dissections", "0", "--max-flows", "20000")
	s := w.sender(t)
	idle, _ := used(t, p.Process.Pid)
	s.warmUp(p.Process.Pid)
	length, sent := soak(3*time.Second, time.Minute), s.sent.Load()
	warm, before := used(t, p.Process.Pid)
	began := time.Now()
	s.flood(length)
	took := time.Since(began)
	full, after := used(t, p.Process.Pid)
	time.Sleep(50 * time.Millisecond)
	p.interrupt(t)
	code, _, said := p.end(t)
	closes(t, said)
	cpu := after - before
	if grown := full - warm; grown > warm/10 {
		t.Errorf("%d KiB resident, %d after the flood had warmed up: want 10 %% more at most", full, warm)
	}
	if cpu > took+took/10 {
		t.Errorf("%v of CPU in %v: want one CPU at most", cpu, took)
	}
	if code != exitComplete && code != exitLoss {
		t.Errorf("exit code %d: %s", code, said)
	}
	t.Logf("measured: %d SYNs at %.2f M/s: %.2f CPUs; %d MiB resident when idle, %d warmed up, %d at the end; residual 0",
		s.sent.Load()-sent, float64(s.sent.Load()-sent)/1e6/took.Seconds(), cpu.Seconds()/took.Seconds(), idle>>10, warm>>10, full>>10)
}
