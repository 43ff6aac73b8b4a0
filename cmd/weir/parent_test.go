package main

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/bpf/bpftest"
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
	if strings.Contains(trace, "BPF_OBJ_GET,") {
		t.Error("the parent opens what is pinned")
	}
	for _, name := range names {
		if strings.HasPrefix(name, "open") || name == "mmap" && strings.Contains(trace, "MAP_SHARED") || name == "execve" {
			t.Errorf("the parent calls %s", name)
		}
	}
	return names
}

// A meter that was adopted, whose interface is deleted, and returns with another
// program in its path at first.
func TestH3ParentOpensNothingWhenAnInterfaceReturns(t *testing.T) {
	w := newWire(t)
	pin, dir := bpftest.PinPlace(t), publicDir(t)
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
	if code != exitComplete || !strings.Contains(said, "far has returned and is not metered") || !strings.Contains(said, "bpftool prog show id") ||
		!strings.Contains(said, "is there already and is left alone") {
		t.Errorf("exit code %d: %s", code, said)
	}
	names := opensNothing(t, traced(), callsMax)
	t.Logf("measured: %d different system calls where a pinned link is replaced", len(names))
}

// capabilityLines are those of a process's status, which have a set each.
var capabilityLines = regexp.MustCompile(`(?m)^Cap(Inh|Prm|Eff|Bnd|Amb):\t([0-9a-f]{16})$`)

// threads checks what every thread of a process has: the capabilities, and no more than
// bound of the bounding set.
func (p *process) threads(t *testing.T, capabilities, bound uint64) {
	t.Helper()
	tasks := fmt.Sprintf("/proc/%d/task", p.Process.Pid)
	entries, err := os.ReadDir(tasks)
	if err != nil || len(entries) < 3 {
		t.Fatalf("%d threads, %v", len(entries), err)
	}
	want := map[string]uint64{"Inh": 0, "Prm": capabilities, "Eff": capabilities, "Bnd": bound, "Amb": 0}
	for _, e := range entries {
		text := string(read(t, filepath.Join(tasks, e.Name(), "status")))
		got := map[string]uint64{}
		for _, m := range capabilityLines.FindAllStringSubmatch(text, -1) {
			got[m[1]], _ = strconv.ParseUint(m[2], 16, 64)
		}
		if !maps.Equal(got, want) || !strings.Contains(text, "NoNewPrivs:\t1\n") || !strings.Contains(text, "Seccomp:\t2\n") {
			t.Errorf("thread %s has the capabilities %x, want %x, no new privileges and a list of system calls:\n%s", e.Name(), got, want, text)
		}
	}
	t.Logf("measured: each of %d threads: capabilities %x, of five sets, no new privileges, a list of system calls", len(entries), capabilities)
}

func TestH3ParentKeepsTheCapabilitiesThatItHasUseFor(t *testing.T) {
	const attaching, ending = 1<<unix.CAP_BPF | 1<<unix.CAP_NET_ADMIN, 1 << unix.CAP_KILL
	w := newWire(t)
	pin, out := bpftest.PinPlace(t), filepath.Join(publicDir(t), "flows.ndjson")
	finish := func(p *process) {
		p.interrupt(t)
		if code, _, said := p.end(t); code != exitComplete {
			t.Errorf("exit code %d: %s", code, said)
		}
	}
	p := w.attach(t, "-o", out)
	p.threads(t, attaching|ending, attaching|ending)
	finish(p)
	p = w.attach(t, "-o", out, "--pin", pin)
	p.threads(t, attaching|ending, attaching|ending)
	finish(p)
	p = w.start(t, os.Args[0], "consume", "-o", out, "--pin", pin)
	p.threads(t, ending, ending)
	finish(p)
	w.detached(t, pin, out)

	const held = attaching | 1<<unix.CAP_PERFMON
	few := "+bpf,+perfmon,+net_admin"
	p = w.start(t, "setpriv", "--reuid", "65533", "--regid", "65533", "--clear-groups", "--bounding-set", "-all,"+few,
		"--inh-caps", "-all,"+few, "--ambient-caps", "-all,"+few, os.Args[0], "attach", "far", "-o", "csv:-")
	p.threads(t, attaching, held) // it takes CAP_SETPCAP to bound it further, which nothing can gain
	finish(p)
}

// A parent that is killed cannot ask the consumer to end, which need not hear either.
func TestAConsumerThatIsStoppedEndsWithItsParent(t *testing.T) {
	w := newWire(t)
	p := w.attach(t, "-o", "csv:-", "--dissections", "0")
	consumer := child(t, p.Process.Pid, consumerCommand)
	if err := unix.Kill(consumer, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	p.kill()
	for range 500 {
		if ended(consumer) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("the consumer lives on")
	_ = unix.Kill(consumer, unix.SIGKILL)
}

// Nobody passes signals on to a consumer whose parent is stopped: by itself it must
// not wait for ever.
func TestC1ConsumerDoesNotWaitForAParentThatIsStopped(t *testing.T) {
	w := newWire(t)
	path := filepath.Join(publicDir(t), "flows.csv")
	p := w.attach(t, "-o", path, "--dissections", "0", "--duration", "3s")
	consumer := child(t, p.Process.Pid, consumerCommand)
	w.ping(t, 5)
	kill(t, p, unix.SIGSTOP)
	for deadline := time.Now().Add(time.Minute); !ended(consumer); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Error("the consumer waits for its parent")
			break
		}
	}
	if rows := table(t, read(t, path)); len(rows) != 1 || rows[0]["bidirectional_packets"] != "5" {
		t.Errorf("flows %v, want one of 5 packets", rows)
	}
	kill(t, p, unix.SIGCONT)
	if code, _, said := p.end(t); code != exitFailed || !strings.Contains(said, "no reply within 10s: it is stopped or hangs; let it go on (kill -CONT ") {
		t.Errorf("exit code %d: %s", code, said)
	}
}

// ended tells whether a process has, though nobody may have waited for it.
func ended(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err != nil || strings.Contains(string(text), "State:\tZ")
}
