package dpi_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/dpi"
	"github.com/weirflow/weir/dpi/worker"
	"github.com/weirflow/weir/userspace"
)

// A prisoner is an Inspector that has been taken over: it does what a packet says,
// and calls the flow by what came of it.
type prisoner struct {
	fake
	came map[worker.FlowRef]string
}

func openPrisoner(worker.Hello) (worker.Inspector, string, error) {
	return &prisoner{fake{flows: map[worker.FlowRef]int{}}, map[worker.FlowRef]string{}}, "prisoner", nil
}

func (p *prisoner) Sample(s *userspace.Sample) bool {
	name, argument, _ := strings.Cut(string(s.Packet), " ")
	came := "done"
	if act := acts[name]; act == nil {
		came = "no such act"
	} else if err := act(argument); err != nil {
		came = err.Error()
	}
	p.came[worker.FlowRef{FlowID: s.FlowID, Part: s.Part}] = came
	return false
}

func (p *prisoner) Close(ref worker.FlowRef, b []byte) []byte {
	came := p.came[ref]
	return append(append(append(b, 0, 6, byte(len(came))), came...), 0, 0, 0, 0, 0, 0, 0)
}

// acts are what nobody wants of a process that reads hostile octets.
var acts = map[string]func(argument string) error{
	"count":  func(string) error { return nil },
	"read":   func(path string) error { return opened(path, unix.O_RDONLY) },
	"write":  func(path string) error { return opened(path, unix.O_WRONLY) },
	"create": func(path string) error { return opened(path, unix.O_WRONLY|unix.O_CREAT) },
	"unlink": unix.Unlink,
	"list":   func(path string) error { return opened(path, unix.O_RDONLY|unix.O_DIRECTORY) },
	"socket": func(string) error { return made(unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)) },
	"pair": func(string) error {
		_, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		return err
	},
	"exec": func(path string) error { return unix.Exec(path, []string{path}, nil) },
	"fork": func(string) error {
		if pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0); errno != 0 {
			return errno
		} else if pid == 0 {
			unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
		}
		return nil
	},
	"trace":  func(string) error { return unix.PtraceAttach(os.Getppid()) },
	"signal": func(string) error { return unix.Kill(os.Getppid(), 0) },
	"memory": func(string) error { return mapped(unix.MAP_PRIVATE, unix.PROT_READ|unix.PROT_WRITE) },
	"shared": func(string) error { return mapped(unix.MAP_SHARED, unix.PROT_READ|unix.PROT_WRITE) },
	"code":   func(string) error { return mapped(unix.MAP_PRIVATE, unix.PROT_READ|unix.PROT_EXEC) },
	"limit": func(string) error {
		return unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY})
	},
	"bpf": func(string) error {
		_, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_LOAD, 0, 0)
		return errno
	},
}

func opened(path string, how int) error { return made(unix.Open(path, how, 0o600)) }

func made(fd int, err error) error {
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// gigabytes is more than the limit of a process with few flows.
const gigabytes = 2 << 30

func mapped(how, protection int) error {
	b, err := unix.Mmap(-1, 0, gigabytes, protection, how|unix.MAP_ANONYMOUS)
	if err != nil {
		return err
	}
	return unix.Munmap(b)
}

// killed is what came of an act that ended the process.
const killed = "bad system call"

// The process does, one after the other, what a hostile packet could make nDPI do.
func TestH5ProcessThatIsTakenOverCanDoNothing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("secret"), 0o666); err != nil {
		t.Fatal(err)
	}
	const refused, without = "operation not permitted", "cannot allocate memory"
	tried := 0
	for _, c := range []struct{ act, want string }{
		{"count", "done"}, // or nothing of this shows anything
		{"read " + file, refused}, {"read /etc/passwd", refused}, {"read /proc/self/maps", refused}, {"list /", refused},
		{"write " + file, refused}, {"create " + file + ".new", refused}, {"unlink " + file, refused},
		{"socket", killed}, {"pair", refused}, {"exec /bin/true", killed}, {"exec /proc/self/exe", killed},
		{"fork", refused}, {"trace", killed}, {"signal", refused}, {"bpf", killed},
		{"memory", without}, {"shared", refused}, {"code", refused}, {"limit", refused},
	} {
		tried++
		t.Run(c.act, func(t *testing.T) {
			if came := attempt(t, c.act, dpi.Options{}); came != c.want {
				t.Errorf("came to %q, want %q", came, c.want)
			}
		})
	}
	if content, err := os.ReadFile(file); err != nil || string(content) != "secret" {
		t.Errorf("the file has %q, %v", content, err)
	}
	t.Logf("measured: %d acts of a process that is taken over: computing is let, all else refused or killed for", tried)
}

// Without the sandbox the acts work: it is it that refuses them above.
func TestAnUnconfinedProcessKeepsItsSystemCalls(t *testing.T) {
	for _, act := range []string{"read /etc/passwd", "socket", "fork", "memory", "shared", "exec /bin/true"} {
		came := attempt(t, act, dpi.Options{Unconfined: true})
		if want := map[bool]string{true: "ended by itself", false: "done"}[strings.HasPrefix(act, "exec")]; came != want {
			t.Errorf("%s came to %q, want %q", act, came, want)
		}
	}
}

// attempt has a process do an act, and tells what came of it.
func attempt(t *testing.T, act string, o dpi.Options) string {
	t.Helper()
	o.Command, o.MaxFlows, o.Timeout = []string{"prisoner"}, 100, 5*time.Second
	w, _, flows := startScript(t, o, 1, func(items []item) { items[0].samples = [][]byte{[]byte(act)} })
	came := ""
	for f, err := range flows.Flows(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		came = f.L7.ApplicationName
		if f.L7.Reason != "" {
			came = cause(t, w)
		}
	}
	return came
}

// cause is how the process ended, which is known a little after its flows.
func cause(t *testing.T, w *dpi.Worker) string {
	t.Helper()
	for range 500 {
		if s := w.Stats(); s.LastCrash != "" {
			return strings.TrimPrefix(strings.TrimSuffix(s.LastCrash, " (core dumped)"), "signal: ")
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Sprintf("nothing is known: %+v", w.Stats())
}
