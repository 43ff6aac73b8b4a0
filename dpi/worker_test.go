package dpi_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weirflow/weir/dpi"
	"github.com/weirflow/weir/userspace"
)

func needNDPI(t testing.TB) {
	t.Helper()
	if !dpi.Available() {
		t.Skip("this build holds no nDPI (no cgo, or -tags nodpi)")
	}
}

func start(t testing.TB, o dpi.Options) *dpi.Worker {
	t.Helper()
	needNDPI(t)
	w, err := dpi.Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// startScript starts a fake engine and wraps a script of n flows of two samples,
// of which change may change some.
func startScript(t testing.TB, o dpi.Options, n int, change func([]item)) (*dpi.Worker, *script, userspace.Source) {
	t.Helper()
	if o.Command == nil {
		o.Command = []string{"fake"}
	}
	w := start(t, o)
	s := &script{items: make([]item, n), samples: w.Sample}
	for i := range s.items {
		s.items[i].samples = [][]byte{[]byte("one"), []byte("two")}
	}
	if change != nil {
		change(s.items)
	}
	return w, s, w.Wrap(s, s)
}

// outcome is what came out of a source: flow ids (0 for an error) and labels.
type outcome struct {
	ids    []uint64
	labels map[uint64]*userspace.L7
	errs   []error
}

func drain(t testing.TB, src userspace.Source) outcome {
	t.Helper()
	o := outcome{labels: make(map[uint64]*userspace.L7)}
	for f, err := range src.Flows(context.Background()) {
		o.take(t, f, err)
	}
	l := src.Ledger()
	if err := l.Check(); err != nil {
		t.Errorf("at the end: %v", err)
	}
	if l.Open.Packets != 0 {
		t.Errorf("at the end %d packets are open", l.Open.Packets)
	}
	return o
}

func (o *outcome) take(t testing.TB, f *userspace.Flow, err error) {
	t.Helper()
	if err != nil {
		o.ids, o.errs = append(o.ids, 0), append(o.errs, err)
		return
	}
	if f.L7 == nil {
		t.Fatalf("flow %d came without L7", f.Record.FlowId)
	}
	o.ids = append(o.ids, f.Record.FlowId)
	o.labels[f.Record.FlowId] = f.L7
}

// inOrder holds the flows that came out against items 1 to n.
func (o *outcome) inOrder(t testing.TB, n int) {
	t.Helper()
	if len(o.ids) != n {
		t.Fatalf("%d came out, want %d", len(o.ids), n)
	}
	for i, id := range o.ids {
		if id != uint64(i+1) && id != 0 {
			t.Fatalf("at place %d came flow %d", i+1, id)
		}
	}
}

func own(id uint64, samples int) string { return fmt.Sprintf("flow %d.0, %d samples", id, samples) }

func TestEveryFlowGetsItsOwnVerdictInOrder(t *testing.T) {
	damage := errors.New("damage")
	w, _, src := startScript(t, dpi.Options{Queue: 100}, 20000, func(items []item) {
		items[500] = item{err: damage}
		items[700] = item{}
	})
	o := drain(t, src)
	o.inOrder(t, 20000)
	if len(o.errs) != 1 || o.ids[500] != 0 || !errors.Is(o.errs[0], damage) {
		t.Errorf("the source's error came out as %v", o.errs)
	}
	for id, l7 := range o.labels {
		want := own(id, 2)
		if id == 701 {
			want = own(id, 0)
		}
		if l7.ApplicationName != want || l7.Reason != "" {
			t.Fatalf("flow %d was labelled %q (%s)", id, l7.ApplicationName, l7.Reason)
		}
	}
	if s := w.Stats(); s.Samples != 2*19998 || s.SamplesDropped != 0 || s.Flows != 19999 || s.FlowsCrashed != 0 {
		t.Errorf("%+v", s)
	}
}

func TestASlowListenerIsNotTakenForAHang(t *testing.T) {
	const timeout = 400 * time.Millisecond
	var labelled []uint64
	o := dpi.Options{Timeout: timeout, Classified: func(l *userspace.Label) {
		labelled = append(labelled, l.FlowID)
		time.Sleep(2 * timeout)
	}}
	w, _, src := startScript(t, o, 5000, func(items []item) {
		items[99].samples[0], items[4999].samples[1] = labelPacket, labelPacket
	})
	out := drain(t, src)
	out.inOrder(t, 5000)
	if s := w.Stats(); s.Hangs+s.Crashes != 0 || s.FlowsCrashed != 0 || !slices.Equal(labelled, []uint64{100, 5000}) {
		t.Errorf("labels of %v, %+v", labelled, s)
	}
}

func TestAProcessThatBreaksTheProtocolIsReplaced(t *testing.T) {
	for command, wants := range map[string]string{"liar": "kind 6", "garbage": "no such kind"} {
		t.Run(command, func(t *testing.T) {
			w, _, src := startScript(t, dpi.Options{Command: []string{command}}, 100, nil)
			o := drain(t, src)
			o.inOrder(t, 100)
			if s := w.Stats(); s.Crashes == 0 || !strings.Contains(s.LastCrash, wants) {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestStartSaysWhatIsWrong(t *testing.T) {
	needNDPI(t)
	for name, c := range map[string]struct {
		o     dpi.Options
		wants string
	}{
		"a process without dissectors": {dpi.Options{Command: []string{"broken"}}, "no dissectors today"},
		"a program that is not weir":   {dpi.Options{Command: []string{"-test.run=^$"}}, "ended before it was ready"},
		"a process that says nothing":  {dpi.Options{Command: []string{"mute"}, Timeout: 100 * time.Millisecond}, "timeout"},
		"too many dissections":         {dpi.Options{Dissections: 256}, "want 1 to 255"},
		"too many flows":               {dpi.Options{MaxFlows: 1 << 25}, "want 1 to"},
		"too many processes":           {dpi.Options{Workers: 65}, "want 1 to 64"},
		"one of several":               {dpi.Options{Workers: 3, Command: []string{"broken"}}, "no dissectors today"},
	} {
		t.Run(name, func(t *testing.T) {
			w, err := dpi.Start(context.Background(), c.o)
			if err == nil {
				w.Close()
				t.Fatal("it started")
			}
			if !strings.Contains(err.Error(), c.wants) || !strings.HasPrefix(err.Error(), "start DPI") {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestStartEndsWithItsContext(t *testing.T) {
	needNDPI(t)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := dpi.Start(ctx, dpi.Options{Command: []string{"mute"}, Timeout: time.Second}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestLeavingEarlyLosesNothing(t *testing.T) {
	_, _, src := startScript(t, dpi.Options{Queue: 50}, 5000, nil)
	o := outcome{labels: make(map[uint64]*userspace.L7)}
	for len(o.ids) < 5000 {
		n := 0
		for f, err := range src.Flows(context.Background()) {
			o.take(t, f, err)
			if n++; n == 999 {
				break
			}
		}
		l := src.Ledger()
		if err := l.Check(); err != nil {
			t.Fatal(err)
		}
		if l.Flows != uint64(len(o.ids)) || l.Delivered.Packets != 2*l.Flows || l.EndReasons[1] != l.Flows {
			t.Fatalf("%d flows came out, the ledger says %d flows, %d packets, %v", len(o.ids), l.Flows, l.Delivered.Packets, l.EndReasons)
		}
		if n == 0 {
			break
		}
	}
	o.inOrder(t, 5000)
}

func TestTheLedgerClosesAtEveryFlow(t *testing.T) {
	_, _, src := startScript(t, dpi.Options{Queue: 50}, 500, nil)
	n := uint64(0)
	for range src.Flows(context.Background()) {
		n++
		l := src.Ledger()
		if err := l.Check(); err != nil {
			t.Fatal(err)
		}
		if l.Flows != n {
			t.Fatalf("at flow %d the ledger says %d", n, l.Flows)
		}
	}
}

func TestAFlowDoesNotWaitForTheNext(t *testing.T) {
	more := make(chan struct{})
	_, _, src := startScript(t, dpi.Options{}, 3, func(items []item) { items[1] = item{wait: more} })
	began := time.Now()
	for f := range src.Flows(context.Background()) {
		if f.Record.FlowId == 1 {
			if took := time.Since(began); took > time.Second {
				t.Errorf("the first flow took %v", took)
			}
			close(more)
		}
	}
}

func TestTheContextEndsTheInnerSource(t *testing.T) {
	_, _, src := startScript(t, dpi.Options{}, 3, func(items []item) { items[1] = item{wait: make(chan struct{})} })
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	n := 0
	for range src.Flows(ctx) {
		n++
		cancel()
	}
	if n != 1 {
		t.Errorf("%d flows", n)
	}
}

func TestDoneFlowsStopTheirSamples(t *testing.T) {
	_, s, src := startScript(t, dpi.Options{}, 100, func(items []item) { items[41].samples[0] = donePacket })
	drain(t, src)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.stopped) != 1 || !s.stopped[42] {
		t.Errorf("stopped: %v", s.stopped)
	}
}

func TestALossyWorkerDropsSamplesRatherThanWait(t *testing.T) {
	w, _, src := startScript(t, dpi.Options{Command: []string{"slow"}, Lossy: true}, 20, func(items []item) {
		packet := make([]byte, 2000)
		for i := range items {
			for range 100 {
				items[i].samples = append(items[i].samples, packet)
			}
		}
	})
	o := drain(t, src)
	o.inOrder(t, 20)
	if s := w.Stats(); s.SamplesDropped == 0 || s.Samples == 0 || s.Samples+s.SamplesDropped != 20*102 {
		t.Errorf("%+v", s)
	}
}

// A clocked script notes how long the consumer of its flows held it up at most.
type clocked struct {
	*script
	longest time.Duration
}

func (s *clocked) Flows(ctx context.Context) iter.Seq2[*userspace.Flow, error] {
	return func(yield func(*userspace.Flow, error) bool) {
		for f, err := range s.script.Flows(ctx) {
			began := time.Now()
			more := yield(f, err)
			s.longest = max(s.longest, time.Since(began))
			if !more {
				return
			}
		}
	}
}

func TestAProcessInTroubleDoesNotHoldUpALossyMeter(t *testing.T) {
	for name, c := range map[string]struct {
		command string
		packet  []byte
		samples int // of each other flow
	}{
		"it hangs, the queue is full":    {"fake", hangPacket, 0},
		"it hangs, no batch is free":     {"fake", hangPacket, 40},
		"it crashes, none follows":       {"stuck", crashPacket, 0},
		"it crashes, none follows, busy": {"stuck", crashPacket, 40},
	} {
		t.Run(name, func(t *testing.T) {
			w, s, _ := startScript(t, dpi.Options{Command: []string{c.command}, Lossy: true, Timeout: 2 * time.Second}, 50000, func(items []item) {
				for i := range items {
					items[i].samples = slices.Repeat([][]byte{[]byte("some")}, c.samples)
				}
				items[5].samples = [][]byte{c.packet}
			})
			meter := &clocked{script: s}
			o := drain(t, w.Wrap(meter, s))
			o.inOrder(t, 50000)
			if meter.longest > time.Second {
				t.Errorf("the meter was held up for %v", meter.longest)
			}
			if stats := w.Stats(); stats.FlowsEvicted+stats.FlowsCrashed == 0 || stats.Flows != 50000 {
				t.Errorf("%+v", stats)
			}
		})
	}
}

// A process that was late is still held to the order of what it was asked.
func TestALateProcessLabelsTheRightFlows(t *testing.T) {
	w, _, src := startScript(t, dpi.Options{Command: []string{"slow"}, Lossy: true, Queue: 64}, 1000, nil)
	o := drain(t, src)
	o.inOrder(t, 1000)
	evicted := uint64(0)
	for id, l7 := range o.labels {
		if l7.Reason == "evicted" {
			evicted++
		} else if l7.ApplicationName != own(id, 2) {
			t.Fatalf("flow %d was labelled %q (%s)", id, l7.ApplicationName, l7.Reason)
		}
	}
	s := w.Stats()
	if evicted == 0 || evicted == 1000 || s.FlowsEvicted != evicted || s.Flows != 1000 || s.Crashes+s.Hangs > 0 {
		t.Errorf("%d evicted, %+v", evicted, s)
	}
}

func TestALossyWorkerWaitsForAProcessThatKeepsUp(t *testing.T) {
	w, _, src := startScript(t, dpi.Options{Lossy: true}, 20000, func(items []item) {
		for i := range items {
			items[i].samples = nil // a burst of closes alone
		}
	})
	o := drain(t, src)
	o.inOrder(t, 20000)
	if s := w.Stats(); s.Flows != 20000 || s.FlowsEvicted > 10000 {
		t.Errorf("%+v", s)
	}
}

// children finds the children of a process, from /proc.
func children(t testing.TB, pid int) []int {
	t.Helper()
	lists, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, thread := range lists {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, thread.Name()))
		for _, field := range strings.Fields(string(b)) {
			child, err := strconv.Atoi(field)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, child)
		}
	}
	return pids
}

func TestH5ProcessHasNoPrivileges(t *testing.T) {
	w := start(t, dpi.Options{Command: []string{"fake"}})
	pids := children(t, os.Getpid())
	if len(pids) != 1 {
		t.Fatalf("children: %v", pids)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pids[0]))
	if err != nil {
		t.Fatal(err)
	}
	wanted := []string{"CapInh:\t0000000000000000", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000",
		"CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"}
	if os.Getuid() == 0 {
		wanted = append(wanted, "CapBnd:\t0000000000000000", "Uid:\t65534\t65534\t65534\t65534", "Gid:\t65534\t65534\t65534\t65534", "Groups:\t \n")
	}
	for _, want := range wanted {
		if !strings.Contains(string(status), want) {
			t.Errorf("its status lacks %q:\n%s", want, status)
		}
	}
	if !w.Stats().Confined {
		t.Error("Stats says it is not confined")
	}
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pids[0]))
	if err == nil && !strings.Contains(string(limits), "Max core file size        0 ") {
		t.Errorf("it may write core files:\n%s", limits)
	}
	w.Close()
	if left := children(t, os.Getpid()); len(left) != 0 {
		t.Errorf("after Close: %v", left)
	}
	t.Logf("measured: %d lines of its status hold: no capability, no new privileges, a filter of system calls", len(wanted))
}

// parent starts a worker, says so, and waits to be killed.
func parent() int {
	w, err := dpi.Start(context.Background(), dpi.Options{Command: []string{"fake"}})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Printf("ready, confined %v\n", w.Stats().Confined)
	time.Sleep(time.Hour)
	return 0
}

// startParent runs a parent of a worker from the binary, and returns what it
// says.
func startParent(t *testing.T, binary string) (*exec.Cmd, string) {
	t.Helper()
	needNDPI(t)
	cmd := exec.Command(binary, "parent")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	said := make([]byte, 200)
	n, _ := out.Read(said)
	return cmd, strings.TrimSpace(string(said[:n]))
}

func TestTheProcessDiesWithItsParent(t *testing.T) {
	cmd, said := startParent(t, "/proc/self/exe")
	if !strings.HasPrefix(said, "ready") {
		t.Fatal(said)
	}
	pids := children(t, cmd.Process.Pid)
	if len(pids) != 1 {
		t.Fatalf("children: %v", pids)
	}
	cmd.Process.Kill()
	cmd.Wait()
	for range 100 {
		// Who inherits it may be slow to take note of its end.
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pids[0]))
		if os.IsNotExist(err) || strings.Contains(string(stat), ") Z ") {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("process %d outlived its parent", pids[0])
}

// Root may execute another user's file that is for its owner only, as after
// "make" and "sudo weir" under a strict umask; without capabilities it may not.
func TestABinaryForItsOwnerOnlyStillClassifies(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("making a file another user's needs root")
	}
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(t.TempDir(), "weir")
	if err := os.WriteFile(binary, self, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(binary, 65530, 65530); err != nil {
		t.Fatal(err)
	}
	if _, said := startParent(t, binary); said != "ready, confined false" {
		t.Error(said)
	}
}
