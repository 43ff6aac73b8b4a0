package loader_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/bpf/bpftest"
	"github.com/weirflow/weir/loader"
)

// comesAs deletes the near end and has an interface come back that has no native XDP.
func (w *world) comesAs(name string) {
	w.t.Helper()
	plain := &netlink.Ifb{LinkAttrs: netlink.LinkAttrs{Name: name}}
	if err := errors.Join(netlink.LinkDel(w.near), netlink.LinkAdd(plain), netlink.LinkSetUp(plain)); err != nil {
		w.t.Fatal(err)
	}
}

const genericHook = nearName + ": generic XDP"

func TestAPinnedMeterSaysTheModeInWhichItsInterfaceHasReturned(t *testing.T) {
	w := newWorld(t)
	o := pinned(t)
	_ = attach(t, o, nearName).Close()
	w.comesAs(nearName)
	if err := attach(t, o, nearName).Close(); err != nil {
		t.Fatal(err)
	}
	look, err := loader.LookAt(o.Pin)
	if err != nil {
		t.Fatal(err)
	}
	defer look.Close()
	if hooks := look.Interfaces[0].Hooks; !slices.Equal(look.Hooks, []string{genericHook}) || !slices.Equal(hooks, []string{"generic XDP"}) {
		t.Errorf("it says %q, of its interface %q", look.Hooks, hooks)
	}
	if !strings.Contains(strings.Join(look.Warnings, " "), "refuses native XDP") {
		t.Errorf("it warns of %q", look.Warnings)
	}
	a := attach(t, o, nearName)
	if !slices.Equal(a.Hooks(), []string{genericHook}) {
		t.Errorf("who adopts it is told %q", a.Hooks())
	}
}

func TestAPinnedMeterSaysTheModeInWhichItsInterfaceWasSeenToReturn(t *testing.T) {
	w := newWorld(t)
	o := pinned(t)
	m := w.watch(o, nearName)
	if err := netlink.LinkDel(w.near); err != nil {
		t.Fatal(err)
	}
	m.wantChange(loader.ChangeGone)
	plain := &netlink.Ifb{LinkAttrs: netlink.LinkAttrs{Name: nearName}}
	if err := errors.Join(netlink.LinkAdd(plain), netlink.LinkSetUp(plain)); err != nil {
		t.Fatal(err)
	}
	if c := m.wantChange(loader.ChangeReturned); !slices.Equal(c.Hooks, []string{"generic XDP"}) {
		t.Errorf("change %+v", c)
	}
	look, err := loader.LookAt(o.Pin)
	if err != nil {
		t.Fatal(err)
	}
	defer look.Close()
	if !slices.Equal(look.Hooks, []string{genericHook}) {
		t.Errorf("it says %q", look.Hooks)
	}
	w.near = plain
}

// The second of two links cannot be put into its place: then the first, which was,
// must not keep the next attempt out.
func TestAttachingAgainMayFailHalfway(t *testing.T) {
	w := newWorld(t)
	o := pinned(t)
	o.Direction = loader.DirectionBoth
	m := w.watch(o, nearName)
	place := filepath.Join(o.Pin, "link_0_weir_tcx_out")
	if err := errors.Join(os.Remove(place), os.Mkdir(place, 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkDel(w.near); err != nil {
		t.Fatal(err)
	}
	m.wantChange(loader.ChangeGone)
	w.connect()
	if c := m.wantChange(loader.ChangeRefused); !strings.Contains(c.Err.Error(), "link_0_weir_tcx_out") {
		t.Errorf("it is refused for %v", c.Err)
	}
	select {
	case c := <-m.changes:
		t.Errorf("told twice: %+v", c)
	case <-time.After(3 * time.Second): // some attempts
	}
	for _, path := range pinsBeside(t, o.Pin) {
		t.Errorf("%s is left", path)
	}
	if err := os.Remove(place); err != nil {
		t.Fatal(err)
	}
	m.wantChange(loader.ChangeReturned)
	nowAttached(t, m.a)
	w.send(w.farSocket, 1, 5)
	arrived(t, m.consumer)
}

// pinsBeside are those that are being put into place.
func pinsBeside(t *testing.T, pin string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(pin)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.Contains(e.Name(), "-new-") {
			names = append(names, e.Name())
		}
	}
	return names
}

func TestAPinMayHaveAnyNameThatAFileMayHave(t *testing.T) {
	newWorld(t)
	for _, name := range []string{"meter[1]", "meter*", `meter\`, "me?er[", "two words"} {
		o := options()
		o.Pin = filepath.Join(filepath.Dir(bpftest.PinPlace(t)), name)
		_ = attach(t, o, nearName).Close()
		stale := o.Pin + "-new-0badcafe"
		other := filepath.Join(filepath.Dir(o.Pin), "meter1-new-0badcafe") // meter[1]… and meter*… match it
		for _, dir := range []string{stale, other} {
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		link := filepath.Join(o.Pin, "link_0_weir_xdp_in")
		if err := pinAgain(t, link, link+"-new-0badcafe"); err != nil {
			t.Fatal(err)
		}
		a := attach(t, o, nearName)
		if !a.Adopted() {
			t.Errorf("%s is not found again", name)
		}
		nowAttached(t, a)
		for _, left := range pinsBeside(t, o.Pin) {
			t.Errorf("%s: %s is left", name, left)
		}
		if _, err := os.Stat(stale); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left: %v", stale, err)
		}
		if _, err := os.Stat(other); err != nil {
			t.Errorf("%s: what is of another meter is gone: %v", name, err)
		}
		_ = os.Remove(other)
		if err := errors.Join(a.Detach(), a.Remove()); err != nil {
			t.Fatal(err)
		}
		nothingLeft(t, o.Pin)
	}
}

// Deleted, and returned under the name that it had last, while nobody watched.
func TestAnInterfaceThatWasSeenToBeRenamedIsAdoptedByItsNewName(t *testing.T) {
	w := newWorld(t)
	o := pinned(t)
	a := attach(t, o, nearName)
	w.renameNear("renamed")
	seen, stop := context.WithCancel(t.Context())
	if err := a.Watch(seen, func(c loader.Change) {
		if c.Kind != loader.ChangeRenamed || c.Now != "renamed" {
			t.Errorf("change %+v", c)
		}
		stop()
	}); err != nil {
		t.Error(err)
	}
	w.send(w.farSocket, 1, 5)
	arrived(t, follower(t, a, o))
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	w.comesAs("renamed")
	look, err := loader.LookAt(o.Pin)
	if err != nil {
		t.Fatal(err)
	}
	defer look.Close()
	if i := look.Interfaces[0]; i.State != loader.InterfaceGone || i.Now != "renamed" || i.Name != nearName {
		t.Errorf("status says %+v", i)
	}
	a = attach(t, o, "renamed")
	if i := a.Interfaces()[0]; i.State != loader.InterfaceObserved || i.Now != "renamed" || i.Name != nearName {
		t.Errorf("it is adopted as %+v", i)
	}
	c, packets := follower(t, a, o), uint64(0)
	for f, err := range c.Flows(cancelled()) {
		if err != nil {
			t.Fatal(err)
		}
		if f.SourcePort() == 4000 {
			packets += f.Packets()
		}
	}
	if l := c.Ledger(); packets != 5 || l.Check() != nil || l.Open.Packets != 0 {
		t.Errorf("%d packets in flows that were closed, want 5; %v: %+v", packets, l.Check(), l)
	}
}

// Nobody saw the new name: which interface it is only the user can tell, and is told how.
func TestAnInterfaceThatNobodySawRenamedIsAskedFor(t *testing.T) {
	w := newWorld(t)
	o := pinned(t)
	_ = attach(t, o, nearName).Close()
	w.renameNear("renamed")
	w.comesAs("renamed")
	_, err := loader.Attach([]string{"renamed"}, o)
	different := new(loader.DifferenceError)
	if !errors.As(err, &different) || !slices.Equal(different.Gone, []string{nearName}) {
		t.Fatalf("error %v", err)
	}
	oneLine(t, err, "weir0 was deleted: if it is back under another name, call it weir0 again (ip link set dev OTHER name weir0)")
	w.near, err = netlink.LinkByName("renamed")
	if err == nil {
		err = errors.Join(netlink.LinkSetDown(w.near), netlink.LinkSetName(w.near, nearName), netlink.LinkSetUp(w.near))
	}
	if err != nil {
		t.Fatal(err)
	}
	if a := attach(t, o, nearName); !a.Adopted() {
		t.Error("it is not adopted")
	}
}

func TestSamplesOfNoOctetsAreRefused(t *testing.T) {
	o := options()
	o.Config.Samples, o.Config.SampleOctets = 20, 0
	_, err := loader.Attach([]string{"lo"}, o)
	if err == nil {
		t.Fatal("they are taken")
	}
	oneLine(t, err, "samples of 0 octets: want 1 to 16384")
}

// A thread that sees a kernel which is PREEMPT_RT.
func TestTheObjectWithoutPerfmonIsRefusedOnRealTimeKernels(t *testing.T) {
	bpftest.NewNamespace(t)
	runtime.LockOSThread() // which ends with the test
	if err := errors.Join(unix.Unshare(unix.CLONE_NEWNS), unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		unix.Mount("none", "/sys/kernel", "tmpfs", 0, "")); err != nil {
		t.Fatal(err)
	}
	for text, refused := range map[string]bool{"1\n": true, "0\n": false} {
		if err := os.WriteFile("/sys/kernel/realtime", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		bpftest.WithCapabilities(t, []int{unix.CAP_BPF, unix.CAP_NET_ADMIN}, func() {
			a, err := loader.Attach([]string{"lo"}, options())
			if err == nil {
				_ = a.Close()
			}
			if errors.As(err, new(*loader.RealTimeError)) != refused {
				t.Errorf("/sys/kernel/realtime is %q: error %v", text, err)
			}
			i := slices.IndexFunc(loader.Probe(), func(c loader.Check) bool { return c.Name == "capabilities" && !c.OK })
			if refused != (i >= 0) {
				t.Errorf("/sys/kernel/realtime is %q: the doctor's check of capabilities %d", text, i)
			}
		})
	}
	if err := os.WriteFile("/sys/kernel/realtime", []byte("1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_ = attach(t, options(), "lo").Close() // all of root's
}
