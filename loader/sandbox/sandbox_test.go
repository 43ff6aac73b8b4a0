package sandbox

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/sys/unix"
)

const (
	asLimited = "WEIR_TEST_LIMITED"
	asSettled = "WEIR_TEST_SETTLED"
)

func TestMain(m *testing.M) {
	if os.Getenv(asSettled) != "" {
		settled()
		return
	}
	if os.Getenv(asLimited) != "" {
		limited()
		return
	}
	os.Exit(m.Run())
}

// confined runs do on a thread that is confined, and thrown away.
func confined(t *testing.T, c *Confinement, do func()) (missing []string) {
	t.Helper()
	done := make(chan error)
	Thread(func() {
		var err error
		if missing, err = c.Enter(); err == nil {
			do()
		}
		done <- err
	})
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return missing
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("giving up privileges needs some: run as root")
	}
}

func TestAConfinedThreadHasNothingLeft(t *testing.T) {
	needRoot(t)
	var status []byte
	confined(t, &Confinement{User: &User{Name: "somebody", UID: 4242, GID: 4343, Groups: []int{4444}}}, func() {
		status, _ = os.ReadFile("/proc/thread-self/status")
	})
	for _, want := range []string{
		"Uid:\t4242\t4242\t4242\t4242\n", "Gid:\t4343\t4343\t4343\t4343\n", "Groups:\t4444 \n", "NoNewPrivs:\t1\n",
		"CapInh:\t0000000000000000\n", "CapPrm:\t0000000000000000\n", "CapEff:\t0000000000000000\n", "CapBnd:\t0000000000000000\n", "CapAmb:\t0000000000000000\n",
	} {
		if !strings.Contains(string(status), want) {
			t.Errorf("no %q in:\n%s", want, status)
		}
	}
	if !MayBecomeOthers() {
		t.Error("another thread has lost its privileges")
	}
}

// settled is a process that settles for some of its privileges, and tells what each thread has.
func settled() {
	OnThread(func() { _, _ = (&Confinement{User: &User{Name: "somebody", UID: 4242, GID: 4343}}).Enter() })
	for range 4 { // threads that wait
		go func() { runtime.LockOSThread(); select {} }()
	}
	r := Remainder{Capabilities: []int{unix.CAP_NET_ADMIN, unix.CAP_BPF}, Group: 4545, Calls: &Calls{always: slices.Concat(runtimeCalls, openCalls)}}
	missing, err := r.Settle()
	fmt.Println(missing, err)
	entries, _ := os.ReadDir("/proc/self/task")
	for _, e := range entries {
		text, _ := os.ReadFile("/proc/self/task/" + e.Name() + "/status")
		fmt.Printf("%s", text)
	}
	fmt.Println("open a socket:", func() error { _, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0); return err }())
}

func TestAProcessSettlesWithAllItsThreads(t *testing.T) {
	needRoot(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asSettled+"=1")
	out, err := cmd.CombinedOutput()
	text := string(out)
	threads := strings.Count(text, "Threads:\t")
	if err != nil || !strings.HasPrefix(text, "[] <nil>\n") || threads < 5 || !strings.HasSuffix(text, "open a socket: operation not permitted\n") {
		t.Fatalf("%v, %d threads: %s", err, threads, text)
	}
	const kept = "0000008000001000\n"
	for _, want := range []string{"CapInh:\t0000000000000000\n", "CapPrm:\t" + kept, "CapEff:\t" + kept, "CapBnd:\t" + kept, "CapAmb:\t0000000000000000\n",
		"NoNewPrivs:\t1\n", "Seccomp:\t2\n", "Uid:\t0\t0\t0\t0\n", "4545 \n"} {
		if n := strings.Count(text, want); n != threads {
			t.Errorf("%d of %d threads have %q", n, threads, want)
		}
	}
}

// However many threads there are and whichever is free, the first stays as it is.
func TestTheFirstThreadIsNotConfined(t *testing.T) {
	for range 200 {
		confined(t, &Confinement{}, func() {})
	}
	text, err := os.ReadFile("/proc/self/status")
	if err != nil || !strings.Contains(string(text), "NoNewPrivs:\t0\n") {
		t.Errorf("%v, its status:\n%s", err, text)
	}
}

func TestFilesAreThoseThatWereGiven(t *testing.T) {
	dir := t.TempDir()
	read, create, other := filepath.Join(dir, "read"), filepath.Join(dir, "create"), filepath.Join(dir, "other")
	for _, d := range []string{read, create, other} {
		if err := errors.Join(os.Mkdir(d, 0o777), os.WriteFile(filepath.Join(d, "file"), nil, 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	open := func(path string, how int) func() error {
		return func() error {
			fd, err := unix.Open(path, how|unix.O_CLOEXEC, 0o600)
			if err == nil {
				unix.Close(fd)
			}
			return err
		}
	}
	for _, c := range []struct {
		name string
		act  func() error
		want error
	}{
		{"read where it may", open(read+"/file", unix.O_RDONLY), nil},
		{"write where it may read", open(read+"/file", unix.O_WRONLY), unix.EACCES},
		{"make a file where it may read", open(read+"/new", unix.O_WRONLY|unix.O_CREAT), unix.EACCES},
		{"make a file where it may", open(create+"/new", unix.O_WRONLY|unix.O_CREAT), nil},
		{"truncate where it may", open(create+"/file", unix.O_WRONLY|unix.O_TRUNC), nil},
		{"rename where it may", func() error { return unix.Rename(create+"/file", create+"/file.1") }, nil},
		{"rename to elsewhere", func() error { return unix.Rename(create+"/file", other+"/file.1") }, unix.EACCES},
		{"make a directory", func() error { return unix.Mkdir(create+"/dir", 0o700) }, unix.EACCES},
		{"read elsewhere", open(other+"/file", unix.O_RDONLY), unix.EACCES},
		{"write elsewhere", open(other+"/file", unix.O_WRONLY), unix.EACCES},
		{"list elsewhere", open(other, unix.O_RDONLY|unix.O_DIRECTORY), unix.EACCES},
		{"write a device that it may", open(os.DevNull, unix.O_WRONLY), nil},
		{"write another device", open("/dev/zero", unix.O_WRONLY), unix.EACCES},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := os.WriteFile(filepath.Join(create, "file"), nil, 0o666); err != nil {
				t.Fatal(err)
			}
			var err error
			confined(t, &Confinement{Files: &Files{Read: []string{read}, Create: []string{create}, Write: []string{os.DevNull}}},
				func() { err = c.act() })
			if !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

// listen listens at a port of its own.
func listen(t *testing.T) (port uint16) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().(*net.TCPAddr).AddrPort().Port()
}

func TestSocketsAreOfTheKindsAndPortsThatWereGiven(t *testing.T) {
	mine, other := listen(t), listen(t)
	socket := func(family, kind, protocol int, use func(fd int) error) func() error {
		return func() error {
			fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, protocol)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			if use == nil {
				return nil
			}
			return use(fd)
		}
	}
	at := func(port uint16) unix.Sockaddr {
		return &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: int(port)}
	}
	tcp := func(use func(fd int) error) func() error { return socket(unix.AF_INET, unix.SOCK_STREAM, 0, use) }
	connect := func(port uint16) func() error {
		return tcp(func(fd int) error { return unix.Connect(fd, at(port)) })
	}
	fast := func(port uint16) func() error {
		return tcp(func(fd int) error { return unix.Sendto(fd, []byte("x"), unix.MSG_FASTOPEN, at(port)) })
	}
	var byLandlock error = unix.EACCES
	if abi := LandlockABI(); abi < PortsABI {
		byLandlock = nil
		t.Logf("this kernel's Landlock has ABI %d; ports are limited since %d: that others are out of reach is not shown here", abi, PortsABI)
	}
	stream := Sockets{TCP: true}
	for _, c := range []struct {
		name    string
		sockets Sockets
		act     func() error
		want    error
	}{
		{"connect to its port", stream, connect(mine), nil},
		{"connect to another port", stream, connect(other), byLandlock},
		{"connect in its first packet", stream, fast(other), unix.EPERM},
		{"bind", stream, tcp(func(fd int) error { return unix.Bind(fd, at(0)) }), unix.EPERM},
		{"of IPv6", stream, socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, unix.IPPROTO_TCP, nil), nil},
		{"MPTCP", stream, socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP, nil), unix.EPERM},
		{"SCTP", stream, socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP, nil), unix.EPERM},
		{"SCTP by its type", stream, socket(unix.AF_INET, unix.SOCK_SEQPACKET, 0, nil), unix.EPERM},
		{"UDP, of which nothing was said", stream, socket(unix.AF_INET, unix.SOCK_DGRAM, 0, nil), unix.EPERM},
		{"Unix, of which nothing was said", stream, socket(unix.AF_UNIX, unix.SOCK_STREAM, 0, nil), unix.EPERM},
		{"UDP", Sockets{UDP: true}, socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK, unix.IPPROTO_UDP, nil), nil},
		{"ping", Sockets{UDP: true}, socket(unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_ICMP, nil), unix.EPERM},
		{"raw", Sockets{TCP: true, UDP: true}, socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_TCP, nil), unix.EPERM},
		{"Unix", Sockets{Unix: true}, socket(unix.AF_UNIX, unix.SOCK_STREAM, 0, nil), nil},
		{"TCP, where only Unix was said", Sockets{Unix: true}, connect(mine), unix.EPERM},
		{"of the kernel's", Sockets{Unix: true, TCP: true, UDP: true}, socket(unix.AF_NETLINK, unix.SOCK_RAW, 0, nil), unix.EPERM},
		{"none", Sockets{}, connect(mine), unix.EPERM},
	} {
		t.Run(c.name, func(t *testing.T) {
			var err error
			confined(t, &Confinement{Files: &Files{Ports: []uint16{mine}}, Calls: ConsumerCalls(true, c.sockets)}, func() { err = c.act() })
			if !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

// A program in a file of memory has no path that Landlock could have a rule for.
func TestWhatIsInMemoryIsNotExecuted(t *testing.T) {
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	run := func(fd int, err error) error {
		if err != nil {
			return err
		}
		err = unix.Ftruncate(fd, int64(len(program)))
		for at := 0; err == nil && at < len(program); {
			var n int
			n, err = unix.Pwrite(fd, program[at:], int64(at))
			at += n
		}
		again, openErr := unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_RDONLY, 0) // or it is busy
		if err := errors.Join(err, openErr, unix.Close(fd)); err != nil {
			return err
		}
		defer unix.Close(again)
		return exec.Command(fmt.Sprintf("/proc/self/fd/%d", again), "-test.run", "^$").Run() // the child inherits it
	}
	forbidden := []error{unix.EPERM, unix.EACCES}
	if !memoryIsSealed() {
		forbidden = []error{nil, nil}
		t.Log("this kernel has no memory that cannot be executed (6.3 has): that it is not is not shown here")
	}
	self, err := Self()
	if err != nil {
		t.Fatal(err)
	}
	for i, create := range []func() (int, error){
		func() (int, error) { return unix.MemfdCreate("any", 0) },
		func() (int, error) { return MemoryFile("weir's", 0) },
	} {
		var err error
		confined(t, &Confinement{Files: &self, Calls: ConsumerCalls(true, Sockets{})}, func() { err = run(create()) })
		if !errors.Is(err, forbidden[i]) {
			t.Errorf("%v, want %v", err, forbidden[i])
		}
	}
}

// The loader, which the kernel must be able to execute, maps what it is told to, like any library. This is what
// SECURITY.md says cannot be kept from a program that is linked with libraries.
func TestALoaderRunsWhatMayBeRead(t *testing.T) {
	self, err := Self()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "program")
	content, err := os.ReadFile("/proc/self/exe")
	if err := errors.Join(err, os.WriteFile(program, content, 0o755)); err != nil {
		t.Fatal(err)
	}
	self.Create = []string{filepath.Dir(program)}
	for _, loader := range self.Execute[1:] {
		var direct, loaded error
		confined(t, &Confinement{Files: &self, Calls: ConsumerCalls(true, Sockets{})}, func() {
			direct, loaded = exec.Command(program, "-test.run", "^$").Run(), exec.Command(loader, program, "-test.run", "^$").Run()
		})
		if !errors.Is(direct, unix.EACCES) || loaded != nil {
			t.Errorf("by itself: %v, by %s: %v; want that it is denied, and that it runs", direct, loader, loaded)
		}
	}
}

// With the files of Self, and no others, the program starts.
func TestSelfIsEnoughToStart(t *testing.T) {
	self, err := Self()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path string
		want bool
	}{{"/proc/self/exe", true}, {"/bin/true", false}} {
		var out []byte
		var err error
		confined(t, &Confinement{Files: &self, Calls: ConsumerCalls(true, Sockets{})}, func() {
			out, err = exec.Command(c.path, "-test.run", "^$").CombinedOutput()
		})
		if (err == nil) != c.want {
			t.Errorf("%s: %v, want that it runs: %v: %s", c.path, err, c.want, out)
		}
	}
}

// without has the kernel of a thread deny that it has some system calls.
func without(t *testing.T, names ...string) {
	t.Helper()
	policy := seccomp.Policy{DefaultAction: seccomp.ActionAllow,
		Syscalls: []seccomp.SyscallGroup{{Action: seccomp.ActionErrno | seccomp.Action(unix.ENOSYS), Names: names}}}
	if err := seccomp.LoadFilter(seccomp.Filter{NoNewPrivs: true, Policy: policy}); err != nil {
		t.Error(err)
	}
}

func TestWhatTheKernelLacksIsLeftOutAndTold(t *testing.T) {
	for call, want := range map[string]string{"landlock_create_ruleset": "no Landlock", "seccomp": "no seccomp filters"} {
		done := make(chan struct{})
		Thread(func() {
			defer close(done)
			without(t, call)
			c := Confinement{Files: &Files{}, Calls: ConsumerCalls(true, Sockets{})}
			missing, err := c.Enter()
			if err != nil || len(missing) != 1 || !strings.Contains(missing[0], want) {
				t.Errorf("without %s: %q missing, %v; want %q", call, missing, err, want)
			}
		})
		<-done
	}
}

// limited is a process that has limited its calls, all threads of it.
func limited() {
	calls := WorkerCalls()
	if os.Getenv(asLimited) == "consumer" {
		calls = ConsumerCalls(false, Sockets{})
	}
	if err := calls.Limit(); err != nil {
		fmt.Println(err)
	}
	results := make(chan string)
	for _, act := range []func() error{
		func() error { return os.WriteFile(filepath.Join(os.TempDir(), "no"), nil, 0o600) },
		func() error { _, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0); return err },
		func() error { return exec.Command("/bin/true").Run() },
	} {
		go func() { // on whatever thread
			runtime.LockOSThread()
			results <- fmt.Sprint(act())
		}()
		fmt.Println(<-results)
	}
}

func TestLimitHoldsForAllThreads(t *testing.T) {
	for kind, want := range map[string][]string{
		"consumer": {"<nil>", "operation not permitted", "fork/exec /bin/true: operation not permitted", "exit <nil>"},
		"worker":   {"open " + filepath.Join(os.TempDir(), "no") + ": operation not permitted", "exit signal: bad system call"},
	} {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), asLimited+"="+kind)
		out, err := cmd.Output()
		got := append(strings.Split(strings.TrimSpace(string(out)), "\n"), strings.TrimSuffix(fmt.Sprint("exit ", err), " (core dumped)"))
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", kind, got, want)
		}
	}
	_ = os.Remove(filepath.Join(os.TempDir(), "no"))
}

// lists are all filters.
var lists = map[string]*Calls{
	"consumer": ConsumerCalls(true, Sockets{}), "consumer without workers": ConsumerCalls(false, Sockets{}),
	"consumer with network": ConsumerCalls(true, Sockets{Unix: true, TCP: true, UDP: true}), "replay": ReplayCalls(Sockets{}), "worker": WorkerCalls(),
}

func TestFiltersAreMadeForBothArchitectures(t *testing.T) {
	for name, calls := range lists {
		for _, architecture := range []string{"amd64", "arm64"} {
			policy, err := calls.policy(architecture)
			if err != nil {
				t.Fatal(err)
			}
			if n := len(policy.Syscalls[0].Names); n < 40 {
				t.Errorf("%s on %s: %d calls, want 40 or more", name, architecture, n)
			}
		}
		policy, err := calls.policy("")
		if err != nil {
			t.Fatal(err)
		}
		program, err := policy.Assemble()
		if err != nil || len(program) > 4096 {
			t.Errorf("%s: %d instructions, %v; want at most 4096", name, len(program), err)
		}
	}
}

// A name that is misspelt would be left out like one that an architecture lacks.
func TestEveryCallIsOneOfSomeArchitecture(t *testing.T) {
	for name, calls := range lists {
		names := slices.Concat(calls.always, calls.fatal)
		for _, w := range calls.when {
			names = append(names, w.name)
		}
		for _, call := range names {
			_, onAMD64 := arch.X86_64.SyscallNames[call]
			_, onARM64 := arch.AARCH64.SyscallNames[call]
			if !onAMD64 && !onARM64 {
				t.Errorf("%s: no system call is called %q", name, call)
			}
		}
	}
}

func TestUsersAreFoundByNameAndNumber(t *testing.T) {
	for _, c := range []struct {
		name     string
		uid, gid int
		found    bool
	}{{"root", 0, 0, true}, {"0", 0, 0, true}, {"4242", 4242, 4242, true}, {"-1", 0, 0, false}, {"no such user", 0, 0, false},
		{"4294967294", 1<<32 - 2, 1<<32 - 2, true}, {"4294967295", 0, 0, false}, {"4294967296", 0, 0, false}} {
		u, err := LookUpUser(c.name)
		if (err == nil) != c.found || err == nil && (u.UID != c.uid || u.GID != c.gid) {
			t.Errorf("%s is %+v, %v; want %d, %d", c.name, u, err, c.uid, c.gid)
		}
	}
}

func TestAsSeesWhatTheUserMay(t *testing.T) {
	needRoot(t)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	read := func() error { return unix.Access(secret, unix.R_OK) }
	if err := (&User{Name: "somebody", UID: 4242, GID: 4242}).As(read); !errors.Is(err, unix.EACCES) {
		t.Errorf("somebody reads root's file: %v", err)
	}
	if err := (&User{Name: "root"}).As(read); err != nil {
		t.Errorf("root without capabilities does not read its own file: %v", err)
	}
}
