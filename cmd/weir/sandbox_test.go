package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/bpf/bpftest"
	"github.com/weirflow/weir/dpi"
	"github.com/weirflow/weir/dpi/worker"
	"github.com/weirflow/weir/loader/sandbox"
)

// asTakenOver has the consumer do what somebody would who has taken it over: the
// names of acts, with a semicolon between, before it does its work.
const asTakenOver = "WEIR_TEST_ACTS"

// acts are what a consumer has no need for.
var acts = map[string]func(argument string) error{
	"write": func(path string) error { return os.WriteFile(path, nil, 0o600) },
	"read":  func(path string) error { return readable(path) },
	"exec":  func(path string) error { return exec.Command(path).Run() },
	"socket": func(string) error {
		_, err := net.Dial("tcp", "127.0.0.1:9")
		return err
	},
	"connect": func(address string) error {
		_, err := net.Dial("tcp", address)
		return err
	},
	"datagram": func(address string) error {
		_, err := net.Dial("udp", address)
		return err
	},
	"multipath": func(string) error {
		_, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP)
		return err
	},
	"packets": func(string) error {
		_, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
		return err
	},
	"bpf": func(command string) error {
		n, err := strconv.ParseUint(command, 10, 32)
		if err != nil {
			return err
		}
		var attributes [128]byte
		if _, _, errno := unix.Syscall(unix.SYS_BPF, uintptr(n), uintptr(unsafe.Pointer(&attributes)), uintptr(len(attributes))); errno != 0 {
			return errno
		}
		return nil
	},
	"request": func(name string) error {
		_, err := unix.Write(lifelineFD, []byte(name))
		return err
	},
	// ask and do not listen
	"flood": func(string) (err error) {
		for err == nil {
			_, err = unix.Write(lifelineFD, []byte{byte(requestCounters)})
		}
		return err
	},
	"clone": func(flags string) error {
		n, err := strconv.ParseUint(flags, 10, 32)
		if err != nil {
			return err
		}
		// Neither a thread nor a process comes of it: without CLONE_SIGHAND there is no CLONE_THREAD.
		_, _, errno := unix.RawSyscall6(unix.SYS_CLONE, uintptr(n)|unix.CLONE_THREAD, 0, 0, 0, 0, 0)
		return errno
	},
	"type":      func(string) error { return unix.IoctlSetInt(0, unix.TIOCSTI, 0) },
	"root":      func(string) error { return unix.Setuid(0) },
	"limit":     func(string) error { return unix.Prlimit(os.Getppid(), unix.RLIMIT_NOFILE, nil, &unix.Rlimit{}) },
	"kill":      func(string) error { return unix.Kill(os.Getppid(), 0) },
	"trace":     func(string) error { return unix.PtraceAttach(os.Getppid()) },
	"mount":     func(string) error { return unix.Mount("none", "/mnt", "tmpfs", 0, "") },
	"namespace": func(string) error { return unix.Unshare(unix.CLONE_NEWUSER) },
}

func readable(path string) error {
	_, err := os.ReadFile(path)
	return err
}

func cloneAct(flags int) string { return fmt.Sprint("clone ", flags) }

func bpfAct(command int) string { return fmt.Sprint("bpf ", command) }

// takenOver does the acts, and says what came of each.
func takenOver(names string) {
	for _, name := range strings.Split(names, ";") {
		verb, argument, _ := strings.Cut(name, " ")
		fmt.Fprintf(os.Stderr, "act %s: %v\n", name, acts[verb](argument))
	}
}

// publicDir is a directory that everybody may write, and reach.
func publicDir(t *testing.T) string {
	t.Helper()
	return reachableDir(t, 0o777)
}

// reachableDir is a directory of that mode below none that shuts anybody out, as
// t.TempDir's does.
func reachableDir(t *testing.T, mode os.FileMode) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "weir-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, mode); err != nil {
		t.Fatal(err)
	}
	return dir
}

// child is the process that another has started and that runs a command of weir.
func child(t *testing.T, pid int, command string) int {
	t.Helper()
	found := childOrNone(t, pid, command)
	if found == 0 {
		t.Fatalf("process %d has no %s", pid, command)
	}
	return found
}

func childOrNone(t *testing.T, pid int, command string) int {
	t.Helper()
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range lists {
		text, _ := os.ReadFile(list) // the thread may have ended
		for _, field := range strings.Fields(string(text)) {
			line, _ := os.ReadFile("/proc/" + field + "/cmdline")
			if words := strings.Split(string(line), "\x00"); len(words) > 1 && words[1] == command {
				found, err := strconv.Atoi(field)
				if err != nil {
					t.Fatal(err)
				}
				return found
			}
		}
	}
	return 0
}

func status(t *testing.T, pid int) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// nothingLeft is what the status of a process without any privilege says.
var nothingLeft = []string{
	"Uid:\t65534\t65534\t65534\t65534\n", "Gid:\t65534\t65534\t65534\t65534\n", "Groups:\t \n", "NoNewPrivs:\t1\n", "Seccomp:\t2\n",
	"CapInh:\t0000000000000000\n", "CapPrm:\t0000000000000000\n", "CapEff:\t0000000000000000\n", "CapBnd:\t0000000000000000\n", "CapAmb:\t0000000000000000\n",
}

func TestH2ConsumerHasNoPrivilegeAndMetersAllTheSame(t *testing.T) {
	w := newWire(t)
	path := filepath.Join(publicDir(t), "flows.csv")
	p := w.attach(t, "-o", path, "--idle-timeout", "20ms")
	consumer := child(t, p.Process.Pid, consumerCommand)
	processes := map[string]int{consumerCommand: consumer}
	if dpi.Available() {
		processes[worker.Command] = child(t, consumer, worker.Command)
	}
	for name, pid := range processes {
		text := status(t, pid)
		for _, want := range nothingLeft {
			if !strings.Contains(text, want) {
				t.Errorf("the status of the %s lacks %q:\n%s", name, want, text)
			}
		}
	}
	// The link is the iterator's, which names its program.
	if got := objects(t, consumer); len(got["map_id"]) != 5 || len(got["prog_id"]) != 3 || len(got["link_id"]) != 1 {
		t.Errorf("the consumer has %v; want 5 maps, 2 programs, the sweep's iterator", got)
	}
	if pid, ok := processes[worker.Command]; ok {
		if got := objects(t, pid); len(got) != 0 {
			t.Errorf("nDPI's process has %v; want nothing", got)
		}
	}
	w.ping(t, 5)
	rotate(t, p, path)
	w.ping(t, 7)
	p.interrupt(t)
	code, _, said := p.end(t)
	closes(t, said)
	packets := 0
	for _, file := range []string{path, path + ".1"} {
		for _, row := range table(t, read(t, file)) {
			n, _ := strconv.Atoi(row["bidirectional_packets"])
			packets += n
		}
		if uid := ownerOf(t, file); uid != nobodyUID {
			t.Errorf("%s is of user %d, want %d", file, uid, nobodyUID)
		}
	}
	if code != exitComplete || packets != 12 {
		t.Errorf("exit code %d, %d packets; want 0 and 12: %s", code, packets, said)
	}
	t.Logf("measured: %d processes have no capability, no new privileges, a filter of system calls, and user %d; %d packets of 12 in 2 files", len(processes), nobodyUID, packets)
}

// rotate moves a file away and waits for its successor.
func rotate(t *testing.T, p *process, path string) {
	t.Helper()
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	kill(t, p, unix.SIGHUP)
	p.opensAnew(t, path)
}

func ownerOf(t *testing.T, path string) int {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return int(info.Sys().(*syscall.Stat_t).Uid)
}

// runActs attaches with a consumer that does acts first, to its end.
func (w *wire) runActs(t *testing.T, acts string, args ...string) (code int, said string) {
	t.Helper()
	c := exec.Command("ip", slices.Concat([]string{"netns", "exec", w.rx, os.Args[0], "attach", "far", "--dissections", "0", "--duration", "100ms"}, args)...)
	c.Env = append(os.Environ(), asWeir+"=1", asTakenOver+"="+acts)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	_ = c.Run()
	return c.ProcessState.ExitCode(), stderr.String()
}

func TestH2ConsumerThatIsTakenOverCanDoNothing(t *testing.T) {
	w := newWire(t)
	dir, elsewhere := publicDir(t), publicDir(t)
	path := filepath.Join(dir, "flows.csv")
	const denied, refused = "permission denied", "operation not permitted"
	tried := 0
	for _, c := range []struct{ act, want string }{
		{"write " + dir + "/other", "<nil>"}, // or nothing of this shows anything
		{"write " + elsewhere + "/file", denied}, {"write /tmp/weir-act", denied},
		{"read /etc/passwd", denied}, {"read /proc/1/cmdline", denied}, {"exec /bin/true", denied},
		{"socket", refused}, {"packets", refused},
		{bpfAct(unix.BPF_MAP_CREATE), refused}, {bpfAct(unix.BPF_PROG_LOAD), refused}, {bpfAct(unix.BPF_OBJ_GET), refused},
		{bpfAct(unix.BPF_MAP_GET_FD_BY_ID), refused}, {bpfAct(unix.BPF_MAP_DELETE_ELEM), refused}, {bpfAct(unix.BPF_LINK_DETACH), refused},
		{bpfAct(unix.BPF_MAP_LOOKUP_ELEM), "invalid argument"},
		{"type", refused}, {"root", refused}, {"limit", refused}, {"kill", refused},
		{cloneAct(0), "invalid argument"}, {cloneAct(unix.CLONE_NEWUSER), refused}, {cloneAct(unix.CLONE_NEWNET), refused},
		{"trace", ""}, {"mount", ""}, {"namespace", ""},
	} {
		tried++
		t.Run(c.act, func(t *testing.T) {
			code, said := w.runActs(t, c.act, "-o", path)
			if c.want == "" {
				if code != exitFailed || !strings.Contains(said, "bad system call") {
					t.Errorf("exit code %d: %s; want that it is killed for it", code, said)
				}
				return
			}
			line, _, _ := strings.Cut(said, "\n")
			if code != exitComplete || !strings.HasPrefix(line, "act "+c.act+": ") || !strings.HasSuffix(line, c.want) {
				t.Errorf("exit code %d, %q; want 0 and %q", code, line, c.want)
			}
		})
	}
	if left, err := os.ReadDir(elsewhere); err != nil || len(left) > 0 {
		t.Errorf("%v was written elsewhere, %v", left, err)
	}
	t.Logf("measured: %d acts of a consumer that is taken over come to what they should: refused, but for those that show that any would be done", tried)
}

// What is at the far end of an output's address may be connected to, and nothing else.
func TestH2ConsumerThatIsTakenOverReachesItsOutputsPortsOnly(t *testing.T) {
	w := newWire(t)
	command(t, "ip", "-n", w.rx, "link", "set", "lo", "up")
	const refusedThere, denied, refused = "connection refused", "permission denied", "operation not permitted"
	elsewhere, warns := denied, false
	if abi := sandbox.LandlockABI(); abi < sandbox.PortsABI {
		elsewhere, warns = refusedThere, abi > 0
		t.Logf("this kernel's Landlock has ABI %d; ports are limited since %d: that others are out of reach is not shown here", abi, sandbox.PortsABI)
	}
	for _, c := range []struct{ output, act, want string }{
		{"tcp://127.0.0.1:5170", "connect 127.0.0.1:5170", refusedThere},
		{"tcp://127.0.0.1:5170", "connect 127.0.0.2:5170", refusedThere},
		{"tcp://127.0.0.1:5170", "connect 127.0.0.1:5171", elsewhere},
		{"tcp://127.0.0.1:5170", "connect 127.0.0.1:53", elsewhere},
		{"tcp://127.0.0.1:5170", "datagram 127.0.0.1:53", refused},
		{"tcp://127.0.0.1:5170", "multipath", refused},
		{"tls://127.0.0.1:https", "connect 127.0.0.1:443", refusedThere},
		{"tls://127.0.0.1:https", "connect 127.0.0.1:80", elsewhere},
		{"tcp://localhost:5170", "connect 127.0.0.1:53", refusedThere}, // a long answer with an address
		{"tcp://localhost:5170", "connect 127.0.0.1:5171", elsewhere},
		{"tcp://localhost:5170", "datagram 127.0.0.1:53", "<nil>"},
		{"unix:///nonexistent/socket", "connect 127.0.0.1:5170", refused},
		{"unix:///nonexistent/socket", "datagram 127.0.0.1:53", refused},
	} {
		t.Run(c.output+" "+c.act, func(t *testing.T) {
			code, said := w.runActs(t, c.act, "-o", "ndjson:"+c.output, "--drain", "100ms")
			warned := strings.Contains(said, "lets it connect to every port")
			if want := warns && !strings.HasPrefix(c.output, "unix"); warned != want {
				t.Errorf("a warning of ports: %v, want %v: %s", warned, want, said)
			}
			_, line, _ := strings.Cut("\n"+said, "\nact ")
			line, _, _ = strings.Cut("act "+line, "\n")
			if code != exitComplete || !strings.HasPrefix(line, "act "+c.act+": ") || !strings.HasSuffix(line, c.want) {
				t.Errorf("exit code %d, %q; want 0 and %q", code, line, c.want)
			}
		})
	}
}

func TestH2ConsumerThatAsksAndDoesNotListenEndsTheMeterOnly(t *testing.T) {
	w := newWire(t)
	code, said := w.runActs(t, "flood", "-o", "csv:"+os.DevNull)
	if code != exitFailed || !strings.Contains(said, "talk to the consumer") {
		t.Errorf("exit code %d: %s", code, said)
	}
}

// A consumer that has been taken over cannot end a meter that is to go on.
func TestH2ConsumerOfAPinnedMeterCannotDetachIt(t *testing.T) {
	w := newWire(t)
	s, pin, out := w.sender(t), bpftest.PinPlace(t), filepath.Join(t.TempDir(), "flows.ndjson")
	code, said := w.runActs(t, "request d;request r;request x", "--pin", pin, "-o", out)
	if code != exitComplete || strings.Count(said, ": <nil>\n") != 3 {
		t.Fatalf("exit code %d: %s", code, said)
	}
	s.send(10, 3)
	if died := w.detached(t, pin, out); died != 0 {
		t.Errorf("%d packets died", died)
	}
	if packets, _, _ := once(t, out); packets != 30 {
		t.Errorf("%d packets, want 30: it has ended", packets)
	}
	t.Logf("measured: 3 requests to detach are not obeyed: %d packets metered behind them", s.sent.Load())
}

func TestReplayGivesUpSystemCallsUnlessItIsToldOtherwise(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "NoNewPrivs:\t1\nSeccomp:\t2\n"},
		{[]string{"--no-sandbox", "--dissections", "0"}, "NoNewPrivs:\t0\nSeccomp:\t0\n"},
	} {
		cmd := exec.Command(os.Args[0], append([]string{"replay", "-", "-o", "csv:-"}, c.args...)...)
		cmd.Env = append(os.Environ(), asWeir+"=1")
		capture := read(t, http1)
		stdin, stdinErr := cmd.StdinPipe()
		stdout, stdoutErr := cmd.StdoutPipe()
		if err := errors.Join(stdinErr, stdoutErr, cmd.Start()); err != nil {
			t.Fatal(err)
		}
		if _, err := stdin.Write(capture[:len(capture)-1]); err != nil { // it waits for the rest
			t.Fatal(err)
		}
		text := ""
		for tries := 0; tries < 500 && !strings.Contains(text, c.want); tries++ {
			time.Sleep(10 * time.Millisecond)
			text = status(t, cmd.Process.Pid)
		}
		if !strings.Contains(text, c.want) {
			t.Errorf("%v: its status:\n%s", c.args, text)
		}
		_, err := stdin.Write(capture[len(capture)-1:])
		stdin.Close()
		out, outErr := io.ReadAll(stdout)
		if err := errors.Join(err, outErr, cmd.Wait()); err != nil || len(table(t, out)) != 5 {
			t.Errorf("%v: %v, %d flows; want 5", c.args, err, len(table(t, out)))
		}
	}
}

func TestTheConsumerIsWhoeverMayWriteTheOutputs(t *testing.T) {
	w := newWire(t)
	for _, c := range []struct {
		name  string
		mode  os.FileMode
		owner int
		args  []string
		code  int
		uid   int
		said  string
	}{
		{name: "everybody may", mode: 0o777, uid: nobodyUID},
		{name: "its owner may", mode: 0o700, owner: 4242, uid: 4242},
		{name: "root may", mode: 0o755, uid: 0, said: "the consumer stays user 0, without capabilities"},
		{name: "nobody may", mode: 0o555, owner: 4242, code: exitFailed, said: "--user"},
		{name: "the one who is asked for", mode: 0o777, args: []string{"--user", "4343"}, uid: 4343},
		{name: "root is asked for", mode: 0o777, args: []string{"--user", "root"}, uid: 0},
		{name: "one who may not is asked for", mode: 0o755, args: []string{"--user", "4343"}, code: exitFailed, said: "permission denied"},
		{name: "one who is not known is asked for", mode: 0o777, args: []string{"--user", "no-such-user"}, code: exitUsage, said: "no-such-user"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := publicDir(t)
			if err := errors.Join(os.Chown(dir, c.owner, c.owner), os.Chmod(dir, c.mode)); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "flows.csv")
			args := append([]string{"attach", "far", "--dissections", "0", "--duration", "100ms", "-o", path}, c.args...)
			code, _, said := w.runIn(t, args...)
			if code != c.code || !strings.Contains(said, c.said) || code != exitComplete && len(lines(said)) != 1 {
				t.Fatalf("exit code %d, %q; want %d and %q", code, said, c.code, c.said)
			}
			if code != exitComplete {
				if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("an output was made: %v", err)
				}
			} else if uid := ownerOf(t, path); uid != c.uid {
				t.Errorf("the output is of user %d, want %d", uid, c.uid)
			}
		})
	}
}

// As after make and sudo weir under a strict umask.
func TestAProgramForItsOwnerOnlyHasAConsumerThatIsIts(t *testing.T) {
	w := newWire(t)
	program := filepath.Join(publicDir(t), "weir")
	if err := errors.Join(os.WriteFile(program, read(t, os.Args[0]), 0o700), os.Chown(program, 4242, 4242)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("ip", "netns", "exec", w.rx, program, "attach", "far", "-o", "csv:-", "-v", "--duration", "100ms")
	cmd.Env = append(os.Environ(), asWeir+"=1")
	said, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(said), "the consumer is user 4242") {
		t.Errorf("%v: %s", err, said)
	}
}

// As after setcap, for others than root to run it, who may do so all the same.
func TestRootMayRunAProgramWithFileCapabilities(t *testing.T) {
	w := newWire(t)
	program := filepath.Join(publicDir(t), "weir")
	command(t, "cp", os.Args[0], program)
	command(t, "setcap", "cap_bpf,cap_perfmon,cap_net_admin+ep", program)
	for _, args := range [][]string{{"attach", "far", "--duration", "100ms"}, {"replay", http1}} {
		cmd := exec.Command("ip", append([]string{"netns", "exec", w.rx, program}, append(args, "-o", "csv:-", "-v")...)...)
		cmd.Env = append(os.Environ(), asWeir+"=1")
		said, err := cmd.CombinedOutput()
		if err != nil || dpi.Available() && !strings.Contains(string(said), "confined: true") {
			t.Errorf("weir %s: %v: %s", args[0], err, said)
		}
	}
}

func TestWithoutTheSandboxThereIsOneProcessAndAWarning(t *testing.T) {
	w := newWire(t)
	p := w.attach(t, "-o", "csv:-", "--dissections", "0", "--no-sandbox")
	if text := status(t, p.Process.Pid); !strings.Contains(text, "Seccomp:\t0\n") {
		t.Errorf("its status:\n%s", text)
	}
	w.ping(t, 5)
	p.interrupt(t)
	code, out, said := p.end(t)
	if rows := table(t, out); code != exitComplete || len(rows) != 1 || !strings.Contains(said, "WARNING: --no-sandbox") {
		t.Errorf("exit code %d, %d flows: %s", code, len(rows), said)
	}
	closes(t, said)
}

func TestAKilledConsumerEndsTheMeter(t *testing.T) {
	w := newWire(t)
	p := w.attach(t, "-o", "csv:-")
	kernel := objects(t, p.Process.Pid)
	consumer := child(t, p.Process.Pid, consumerCommand)
	if err := unix.Kill(consumer, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	code, _, said := p.end(t)
	if code != exitFailed || !strings.Contains(said, "the consumer ended by signal: killed") {
		t.Errorf("exit code %d: %s", code, said)
	}
	if left := alive(t, kernel); len(left) > 0 {
		time.Sleep(time.Second)
		if left = alive(t, kernel); len(left) > 0 {
			t.Errorf("left in the kernel: %v", left)
		}
	}
}

// The sandbox lets the consumer start another process for nDPI.
func TestAKilledWorkerIsReplacedInTheSandbox(t *testing.T) {
	if !dpi.Available() {
		t.Log("this build holds no nDPI")
		return
	}
	w := newWire(t)
	p := w.attach(t, "-o", "csv:-", "-v")
	consumer := child(t, p.Process.Pid, consumerCommand)
	first := child(t, consumer, worker.Command)
	if err := unix.Kill(first, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	second := first
	for tries := 0; second == first || second == 0; tries++ {
		if tries > 500 {
			t.Fatal("no other process comes in the place of the one that was killed")
		}
		time.Sleep(10 * time.Millisecond)
		second = childOrNone(t, consumer, worker.Command)
	}
	time.Sleep(500 * time.Millisecond) // until it is ready
	w.play(t, http1)
	p.interrupt(t)
	code, out, said := p.end(t)
	labels := labelsOf(t, out)
	if code != exitComplete || labels["HTTP"] != 3 || !strings.Contains(said, "nDPI crashed 1 times") || !strings.Contains(said, "confined: true") {
		t.Errorf("exit code %d, labels %v; want 0 and 3 flows of HTTP: %s", code, labels, said)
	}
}

// Two signals end even a consumer that does not hear them.
func TestC1SecondSignalEndsAConsumerThatIsStopped(t *testing.T) {
	w := newWire(t)
	p := w.attach(t, "-o", "csv:-", "--dissections", "0")
	if err := unix.Kill(child(t, p.Process.Pid, consumerCommand), unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	p.interrupt(t)
	time.Sleep(2 * sameWish) // two at once are one
	p.interrupt(t)
	code, _, said := p.end(t)
	if code != exitFailed || !strings.Contains(said, "the consumer ended by signal: killed") {
		t.Errorf("exit code %d: %s", code, said)
	}
}

func TestAConsumerStartedByHandIsOneLine(t *testing.T) {
	c := exec.Command(os.Args[0], consumerCommand, "attach", "lo")
	out, _ := c.CombinedOutput()
	if code := c.ProcessState.ExitCode(); code != exitUsage || len(lines(string(out))) != 1 || !strings.Contains(string(out), "by itself") {
		t.Errorf("exit code %d, %q", code, out)
	}
}
