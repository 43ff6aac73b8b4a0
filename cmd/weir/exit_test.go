package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A meter that is stopped for a while has missed nothing when it goes on.
func TestC4StoppedMeterMissesNothing(t *testing.T) {
	w := newWire(t)
	p := w.attach(t, "-o", "csv:-", "--dissections", "0", "--idle-timeout", "100ms")
	const pings = 40
	w.ping(t, pings)
	p.stopConsumer(t, unix.SIGSTOP)
	w.ping(t, pings)
	w.play(t, http1)
	p.stopConsumer(t, unix.SIGCONT)
	w.ping(t, pings)
	p.interrupt(t)
	code, out, said := p.end(t)
	closes(t, said)
	echoes := 0
	for _, row := range table(t, out) {
		if row["protocol"] == "1" {
			n, _ := strconv.Atoi(row["bidirectional_packets"])
			echoes += n
		}
	}
	if code != exitComplete || echoes != 3*pings {
		t.Errorf("exit code %d, %d packets; want 0 and %d: %s", code, echoes, 3*pings, said)
	}
	t.Logf("measured: %d packets before, while and after it is stopped, all in flows, residual 0", echoes)
}

// However a run ends, nothing of it stays in the kernel.
func TestB12EveryExitLeavesNothing(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *process){
		"interrupt":      func(t *testing.T, p *process) { p.interrupt(t) },
		"terminate":      func(t *testing.T, p *process) { kill(t, p, unix.SIGTERM) },
		"quit":           func(t *testing.T, p *process) { kill(t, p, unix.SIGQUIT) },
		"two interrupts": func(t *testing.T, p *process) { p.interrupt(t); p.interrupt(t) },
		"duration":       func(*testing.T, *process) {},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWire(t)
			p := w.attach(t, "--direction", "both", "-o", "csv:"+os.DevNull, "--duration", "2s")
			kernel := objects(t, p.Process.Pid)
			if len(kernel["prog_id"]) < 3 || len(kernel["map_id"]) < 3 || len(kernel["link_id"]) != 3 {
				t.Fatalf("the running meter has %v", kernel)
			}
			end(t, p)
			p.end(t)
			deadline := time.Now().Add(time.Second)
			for left := alive(t, kernel); len(left) > 0; left = alive(t, kernel) {
				if time.Now().After(deadline) {
					t.Fatalf("a second after the end there are still %v", left)
				}
				time.Sleep(20 * time.Millisecond)
			}
			qdiscs, err := exec.Command("ip", "netns", "exec", w.rx, "tc", "qdisc", "show", "dev", "far").CombinedOutput()
			if err != nil || strings.Contains(string(qdiscs), "clsact") || strings.Contains(string(qdiscs), "ingress") {
				t.Errorf("queueing disciplines %q, %v", qdiscs, err)
			}
		})
	}
	t.Log("measured: 5 ways to end: 0 programs, maps, links and queueing disciplines left")
}

// stopConsumer stops, or lets go on, the process that reads: that its parent is
// stopped holds nothing up.
func (p *process) stopConsumer(t *testing.T, s unix.Signal) {
	t.Helper()
	if err := unix.Kill(child(t, p.Process.Pid, consumerCommand), s); err != nil {
		t.Fatal(err)
	}
}

func kill(t *testing.T, p *process, s unix.Signal) {
	t.Helper()
	if err := p.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// With 64 descriptors, and no directory that it may write, weir meters all the
// same; with too few for its programs it says so in a line.
func TestC7TightLimitsAreMetOrSaid(t *testing.T) {
	w := newWire(t)
	for _, c := range []struct {
		name        string
		descriptors int
		meters      bool
	}{{"64 descriptors", 64, true}, {"12 descriptors", 12, false}} {
		t.Run(c.name, func(t *testing.T) {
			weir := exec.Command("ip", "netns", "exec", w.rx, "prlimit", "--nofile="+strconv.Itoa(c.descriptors),
				os.Args[0], "attach", "far", "-o", "csv:-", "--duration", "300ms")
			weir.Env = []string{asWeir + "=1", "PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "TMPDIR=/nonexistent"}
			var out, said strings.Builder
			weir.Stdout, weir.Stderr = &out, &said
			_ = weir.Run()
			code := weir.ProcessState.ExitCode()
			if c.meters {
				closes(t, said.String())
			}
			if c.meters != (code == exitComplete) || !c.meters && (code != exitFailed || len(lines(said.String())) != 1) {
				t.Errorf("exit code %d, %q", code, said.String())
			}
		})
	}
	t.Log("measured: attach with 64 descriptors and no home or tmp meters; with 12 it is one line and exit code 1")
}

// memoryGroup is a control group with a memory limit. It returns the file that takes
// a process into it.
func memoryGroup(t *testing.T, octets int) string {
	t.Helper()
	parent, limit := "/sys/fs/cgroup", "memory.max"
	if exists(filepath.Join(parent, "memory")) {
		parent, limit = filepath.Join(parent, "memory"), "memory.limit_in_bytes"
	}
	group := filepath.Join(parent, fmt.Sprintf("weir-t%d", os.Getpid()))
	if err := os.Mkdir(group, 0o755); err != nil {
		t.Fatalf("make a control group: %v (this test needs root and the memory controller)", err)
	}
	t.Cleanup(func() { _ = os.Remove(group) })
	if err := os.WriteFile(filepath.Join(group, limit), []byte(strconv.Itoa(octets)), 0); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(group, "cgroup.procs")
}

// Below 128 MB the default table has no place: that is said in a line, with what
// does fit, and that meters.
func TestC7MemoryLimitIsMetOrSaid(t *testing.T) {
	w := newWire(t)
	procs := memoryGroup(t, 128<<20)
	attach := func(flows string) (code int, said string) {
		// ip netns would hide the control groups
		weir := exec.Command("sh", "-c", `echo $$ > "$0"; exec nsenter "--net=/var/run/netns/$1" "$2" attach far -o csv:- --duration 300ms --max-flows "$3"`,
			procs, w.rx, os.Args[0], flows)
		weir.Env = append(os.Environ(), asWeir+"=1")
		var stderr strings.Builder
		weir.Stderr = &stderr
		_ = weir.Run()
		return weir.ProcessState.ExitCode(), stderr.String()
	}
	code, said := attach("262144")
	fits := regexp.MustCompile(`--max-flows (\d+) fits`).FindStringSubmatch(said)
	if code != exitFailed || len(lines(said)) != 1 || fits == nil {
		t.Fatalf("exit code %d, %q; want 1 and a line that says what fits", code, said)
	}
	if code, said = attach(fits[1]); code != exitComplete {
		t.Errorf("exit code %d with --max-flows %s: %s", code, fits[1], said)
	}
	closes(t, said)
	t.Logf("measured: below 128 MB of memory the default table is refused in one line, exit code 1; --max-flows %s, which it names, meters", fits[1])
}
