package main

import (
	"maps"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// callLine is a line of strace -f -o: pid, then what the thread does. That a call
// which the tracer has interrupted goes on, as restart_syscall, is none of the parent's.
var callLine = regexp.MustCompile(`^\d+ +(?:<\.\.\. )?(\w+)(\(| resumed)`)

// callsMax is how many different system calls the parent may make.
const callsMax = 25

func TestH3ParentOpensNothingAndMakesFewSystemCalls(t *testing.T) {
	w := newWire(t)
	path := filepath.Join(publicDir(t), "flows.csv")
	p := w.attach(t, "-o", path, "--idle-timeout", "20ms")
	traced := p.trace(t)
	w.ping(t, 20)
	w.play(t, http1)
	rotate(t, p, path)
	w.ping(t, 20)
	p.interrupt(t)
	code, _, summary := p.end(t)
	if code != exitComplete {
		t.Errorf("exit code %d: %s", code, summary)
	}
	closes(t, summary)
	names := opensNothing(t, traced(), callsMax)
	t.Logf("measured: %d different system calls after the hand-over: %v", len(names), names)
}

// trace follows the parent until it ends; what it did is what traced returns.
func (p *process) trace(t *testing.T) (traced func() string) {
	t.Helper()
	trace := filepath.Join(t.TempDir(), "trace")
	strace := exec.Command("strace", "-f", "-p", strconv.Itoa(p.Process.Pid), "-o", trace)
	said, err := strace.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := strace.Start(); err != nil {
		t.Fatalf("trace the parent: %v", err)
	}
	if _, err := said.Read(make([]byte, 100)); err != nil { // "Process 1 attached"
		t.Fatal(err)
	}
	return func() string {
		_ = strace.Wait()
		return string(read(t, trace))
	}
}

// opensNothing checks a trace of the parent, and returns the system calls in it.
func opensNothing(t *testing.T, trace string, most int) (names []string) {
	t.Helper()
	calls := map[string]int{}
	for _, line := range lines(trace) {
		if m := callLine.FindStringSubmatch(line); m != nil && m[1] != "restart_syscall" {
			calls[m[1]]++
		}
	}
	names = slices.Sorted(maps.Keys(calls))
	if len(names) < 5 || len(names) > most || calls["read"] == 0 || calls["exit_group"] == 0 {
		t.Errorf("%d different system calls, want 5 to %d, reading and exiting among them: %v", len(names), most, names)
	}
	for _, name := range names {
		if strings.HasPrefix(name, "open") || name == "mmap" && strings.Contains(trace, "MAP_SHARED") || name == "execve" {
			t.Errorf("the parent calls %s", name)
		}
	}
	return names
}

// pinCallsMax is callsMax where it pins a link besides: it makes a name, and gives it
// a mode and a group.
const pinCallsMax = callsMax + 7

// A meter that was adopted, whose interface is deleted, and returns with another
// program in its path at first.
func TestH3ParentOpensNothingWhenAnInterfaceReturns(t *testing.T) {
	w := newWire(t)
	pin, dir := pinPlace(t), publicDir(t)
	control := filepath.Join(dir, "control")
	args := []string{"--pin", pin, "-o", filepath.Join(dir, "flows.ndjson"), "--control", control, "--dissections", "0"}
	w.attach(t, args...).kill()
	p := w.attach(t, args...)
	traced := p.trace(t)
	ip(t, "-n", w.tx, "link", "del", "near")
	w.until(t, control, "deleted", inState("gone"))
	kill(t, p, unix.SIGSTOP)
	w.connect(t)
	other := w.attach(t, "-o", "csv:-", "--dissections", "0")
	kill(t, p, unix.SIGCONT)
	time.Sleep(1500 * time.Millisecond) // it is tried some times
	other.interrupt(t)
	if code, _, said := other.end(t); code != exitComplete {
		t.Errorf("the other: exit code %d: %s", code, said)
	}
	w.until(t, control, "returned", inState("observed"))
	p.interrupt(t)
	code, _, said := p.end(t)
	if code != exitComplete || !strings.Contains(said, "far has returned and is not metered") || !strings.Contains(said, "(weir_xdp_in) is there already") {
		t.Errorf("exit code %d: %s", code, said)
	}
	names := opensNothing(t, traced(), pinCallsMax)
	t.Logf("measured: %d different system calls where a pinned link is replaced", len(names))
}
