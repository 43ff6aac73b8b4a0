package loader_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/bpf/bpftest"
	"github.com/weirflow/weir/loader"
	"github.com/weirflow/weir/tools/soak"
)

// childVariable makes the test binary a meter that stays until it is killed.
const childVariable = "WEIR_TEST_ATTACH"

func TestMain(m *testing.M) {
	if name := os.Getenv(childVariable); name != "" {
		os.Exit(meterUntilKilled(name))
	}
	os.Exit(m.Run())
}

func meterUntilKilled(name string) int {
	o := options()
	o.Direction = loader.DirectionBoth
	if _, err := loader.Attach([]string{name}, o); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("attached")
	select {}
}

// objects are the ids of what a process has in the kernel.
type objects struct {
	programs []ebpf.ProgramID
	maps     []ebpf.MapID
	links    []link.ID
}

// objectsOf reads them from the descriptors of a process: others on this machine
// may load programs at the same time.
func objectsOf(t *testing.T, pid int) (o objects) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, _ := os.ReadFile(f)
		if id, ok := field(text, "link_id:"); ok {
			o.links = append(o.links, link.ID(id))
		} else if id, ok := field(text, "prog_id:"); ok {
			o.programs = append(o.programs, ebpf.ProgramID(id))
		} else if id, ok := field(text, "map_id:"); ok {
			o.maps = append(o.maps, ebpf.MapID(id))
		}
	}
	return o
}

func field(text []byte, name string) (value uint32, ok bool) {
	for line := range strings.Lines(string(text)) {
		if rest, found := strings.CutPrefix(line, name); found {
			n, err := strconv.ParseUint(strings.TrimSpace(rest), 10, 32)
			return uint32(n), err == nil
		}
	}
	return 0, false
}

// left is those that are still there.
func (o objects) left() (names []string) {
	for _, id := range o.programs {
		if p, err := ebpf.NewProgramFromID(id); !errors.Is(err, os.ErrNotExist) {
			names = append(names, fmt.Sprintf("program %d", id))
			_ = p.Close()
		}
	}
	for _, id := range o.maps {
		if m, err := ebpf.NewMapFromID(id); !errors.Is(err, os.ErrNotExist) {
			names = append(names, fmt.Sprintf("map %d", id))
			_ = m.Close()
		}
	}
	for _, id := range o.links {
		if l, err := link.NewFromID(id); !errors.Is(err, os.ErrNotExist) {
			names = append(names, fmt.Sprintf("link %d: %v", id, err))
			if l != nil {
				_ = l.Close()
			}
		}
	}
	return names
}

func TestB1KillingAMeterLeavesNothingBehind(t *testing.T) {
	w := newWorld(t)
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childVariable+"="+nearName)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	if line != "attached\n" {
		_ = child.Process.Kill()
		t.Fatalf("the child says %q", line)
	}
	own := objectsOf(t, child.Process.Pid)
	if len(own.programs) < 4 || len(own.maps) < 6 || len(own.links) < 2 {
		t.Errorf("while it runs, there is only %+v", own)
	}
	w.send(w.farSocket, 50, 20)
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
	killed := time.Now()
	for deadline := killed.Add(time.Second); ; time.Sleep(time.Millisecond) {
		left := own.left()
		if len(left) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("left after a second: %q", left)
		}
	}
	gone := time.Since(killed)
	dev, err := netlink.LinkByName(nearName)
	if err != nil {
		t.Fatal(err)
	}
	if dev.Attrs().Xdp.Attached {
		t.Error("a program is still attached")
	}
	if qdiscs, err := netlink.QdiscList(dev); err != nil || slices.ContainsFunc(qdiscs, func(q netlink.Qdisc) bool { return q.Type() == "clsact" }) {
		t.Errorf("qdiscs %v, error %v", qdiscs, err)
	}
	t.Logf("measured: %d programs, %d maps, %d links gone within %d ms of the kill", len(own.programs), len(own.maps), len(own.links), gone.Milliseconds())
}

func TestC6OpeningAndClosingLeaksNothing(t *testing.T) {
	newWorld(t)
	o := options()
	cycle := func() {
		a, err := loader.Attach([]string{nearName}, o)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(a.Detach(), a.Close(), a.Close()); err != nil {
			t.Fatal(err)
		}
	}
	cycle()
	before := descriptors(t)
	cycles, goroutines := soak.Of(10, 1000), runtime.NumGoroutine()
	for range cycles {
		cycle()
	}
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
	if after := runtime.NumGoroutine(); after > goroutines {
		t.Errorf("%d goroutines before, %d after", goroutines, after)
	}
	t.Logf("measured: %d times opened and closed: 0 descriptors, 0 goroutines more", cycles)
}

func descriptors(t *testing.T) int {
	t.Helper()
	runtime.GC()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}

func TestH1FewCapabilitiesAreEnoughToMeter(t *testing.T) {
	for _, test := range []struct {
		name     string
		caps     []int
		warnings int
	}{
		{"CAP_BPF, CAP_NET_ADMIN", []int{unix.CAP_BPF, unix.CAP_NET_ADMIN}, 1},
		{"CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON", []int{unix.CAP_BPF, unix.CAP_NET_ADMIN, unix.CAP_PERFMON}, 0},
	} {
		for hook, direction := range map[loader.Hook]loader.Direction{
			loader.HookXDP: loader.DirectionIn, loader.HookTCX: loader.DirectionBoth,
		} {
			t.Run(test.name+" "+string(hook), func(t *testing.T) {
				w := newWorld(t)
				o := everyOption(hook, direction)
				var a *loader.Attachment
				var err error
				bpftest.WithCapabilities(t, test.caps, func() { a, err = loader.Attach([]string{nearName}, o) })
				if err != nil {
					t.Fatal(err)
				}
				defer a.Close()
				if got := a.Warnings(); len(got) != test.warnings {
					t.Errorf("warnings %q, want %d", got, test.warnings)
				}
				c := consumer(t, a, o)
				w.send(w.farSocket, 3, 2)
				arrived(t, c)
				wantFlows(t, harvest(t, c), 3, 2)
				t.Logf("measured: metered exactly by %s with nothing but %s", hook, test.name)
			})
		}
	}
}

// everyOption takes as much of the programs as there is.
func everyOption(hook loader.Hook, direction loader.Direction) loader.Options {
	o := options()
	o.Hook, o.Direction = hook, direction
	o.Config.Statistics, o.Config.SPLT, o.Config.Samples = true, 20, 20
	o.Config.TCPStatistics, o.Config.IPStatistics, o.Config.TCPEnd = true, true, true
	o.Filter = compiled("ip and udp portrange 1-65535")
	return o
}

func TestH1MissingCapabilityIsNamed(t *testing.T) {
	newWorld(t)
	for _, test := range []struct {
		caps []int
		want []string
	}{
		{nil, []string{"CAP_BPF", "CAP_NET_ADMIN"}},
		{[]int{unix.CAP_BPF, unix.CAP_PERFMON}, []string{"CAP_NET_ADMIN"}},
		{[]int{unix.CAP_BPF}, []string{"CAP_NET_ADMIN"}},
		{[]int{unix.CAP_PERFMON, unix.CAP_NET_ADMIN}, []string{"CAP_BPF"}},
		{[]int{unix.CAP_NET_ADMIN}, []string{"CAP_BPF"}},
	} {
		bpftest.WithCapabilities(t, test.caps, func() {
			_, err := loader.Attach([]string{nearName}, options())
			var denied *loader.PermissionError
			if !errors.As(err, &denied) || !slices.Equal(denied.Missing, test.want) {
				t.Fatalf("with %v: error is %v", test.caps, err)
			}
			oneLine(t, err, strings.Join(test.want, ", ")+" missing: run as root")
		})
	}
}
