package loader_test

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/bpftest"
	"github.com/weirflow/weir/loader"
	"github.com/weirflow/weir/userspace"
)

func pinned(t *testing.T) loader.Options {
	o := options()
	o.Pin = bpftest.PinPlace(t)
	return o
}

// follower reads a pinned meter; with its end the meter goes on.
func follower(t *testing.T, a *loader.Attachment, o loader.Options, more ...userspace.Option) *userspace.Consumer {
	t.Helper()
	c, err := userspace.NewConsumer(a.Handles(), append([]userspace.Option{
		userspace.WithConfig(userspace.Config(o.Config)), userspace.WithConfirmation()}, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// end detaches the pinned meter and collects what it holds.
func end(t *testing.T, a *loader.Attachment, o loader.Options) map[int][]userspace.Flow {
	t.Helper()
	c := follower(t, a, o, userspace.WithDetach(a.Detach), userspace.WithNIC(func() *userspace.Range {
		low, high, err := a.Counters()
		if err != nil {
			t.Error(err)
		}
		return &userspace.Range{Low: userspace.Count(low), High: userspace.Count(high)}
	}))
	flows := harvest(t, c)
	if err := a.Remove(); err != nil {
		t.Error(err)
	}
	return flows
}

func TestAPinnedMeterIsAdoptedWithWhatItMeteredAlone(t *testing.T) {
	for name, set := range map[string]func(*loader.Options){
		"XDP":  func(*loader.Options) {},
		"TCX":  func(o *loader.Options) { o.Hook = loader.HookTCX },
		"both": func(o *loader.Options) { o.Direction = loader.DirectionBoth },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			o := pinned(t)
			set(&o)
			first := attach(t, o, nearName)
			if first.Adopted() {
				t.Error("it is new")
			}
			w.send(w.farSocket, 10, 3)
			if err := first.Close(); err != nil {
				t.Fatal(err)
			}
			w.send(w.farSocket, 10, 4)
			second := attach(t, o, nearName)
			if !second.Adopted() || strings.Join(second.Hooks(), ",") != strings.Join(first.Hooks(), ",") {
				t.Errorf("adopted %v, hooks %q", second.Adopted(), second.Hooks())
			}
			w.send(w.farSocket, 10, 2)
			time.Sleep(20 * time.Millisecond)
			wantFlows(t, end(t, second, o), 10, 9)
			nothingLeft(t, o.Pin)
		})
	}
}

// beside lists the directories where pin is.
func beside(t *testing.T, pin string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(pin))
	if err != nil {
		t.Error(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

// nothingLeft looks for pins, and for a program at the interface.
func nothingLeft(t *testing.T, pin string) {
	t.Helper()
	if names := beside(t, pin); len(names) > 0 {
		t.Errorf("left behind: %v", names)
	}
	dev, err := netlink.LinkByName(nearName)
	if err != nil || dev.Attrs().Xdp != nil && dev.Attrs().Xdp.Attached {
		t.Errorf("the interface keeps a program (%v)", err)
	}
}

func TestH6PinsHaveTheirModes(t *testing.T) {
	newWorld(t)
	o := pinned(t)
	attach(t, o, nearName)
	got := map[string]fs.FileMode{}
	for _, name := range []string{"", "about", bpf.WeirMapFlows, bpf.WeirMapEvents, bpf.WeirMapLedgers, bpf.WeirMapProgress,
		bpf.WeirMapSweepState, bpf.WeirProgWeirSweep, bpf.WeirProgWeirSweepWalk, "link_0_weir_xdp_in"} {
		info, err := os.Stat(filepath.Join(o.Pin, name))
		if err != nil {
			t.Fatal(err)
		}
		got[name] = info.Mode().Perm()
	}
	want := map[string]fs.FileMode{"": 0o750, "about": 0o640, bpf.WeirMapFlows: 0o640, bpf.WeirMapEvents: 0o660,
		bpf.WeirMapLedgers: 0o640, bpf.WeirMapProgress: 0o660, bpf.WeirMapSweepState: 0o660,
		bpf.WeirProgWeirSweep: 0o640, bpf.WeirProgWeirSweepWalk: 0o640, "link_0_weir_xdp_in": 0o640}
	if !maps.Equal(got, want) {
		t.Errorf("modes %v, want %v", got, want)
	}
	t.Logf("measured: modes %v", got)
}

// An upgrade pins programs anew, and an adoption may name another group.
func TestH6PinsAreAGroups(t *testing.T) {
	newWorld(t)
	o := pinned(t)
	for _, c := range []struct{ asked, want int }{{4242, 4242}, {0, 4242}, {4343, 4343}} {
		o.PinGroup = c.asked
		_ = attach(t, o, nearName).Close()
		bpftest.ChangeAbout(t, o.Pin, func(d *loader.About) { d.Object = "older" })
		entries, err := os.ReadDir(o.Pin)
		if err != nil || len(entries) < 8 {
			t.Fatalf("%d entries, %v", len(entries), err)
		}
		for _, path := range append([]string{"."}, names(entries)...) {
			info, err := os.Stat(filepath.Join(o.Pin, path))
			if err != nil {
				t.Fatal(err)
			}
			if got := int(info.Sys().(*syscall.Stat_t).Gid); got != c.want {
				t.Errorf("asked for %d: %s is of group %d, want %d", c.asked, path, got, c.want)
			}
		}
	}
}

func names(entries []fs.DirEntry) (all []string) {
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// Whoever was handed a pinned meter reads it until it ends, whatever became of the
// process that has handed it over.
func TestAMeterThatWasHandedOverIsInUse(t *testing.T) {
	newWorld(t)
	o := pinned(t)
	a := attach(t, o, nearName)
	files, err := a.HandOver()
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := loader.Open(o.Pin, loader.AccessRead); !errors.As(err, new(*loader.InUseError)) {
		t.Errorf("a second reader gets %v", err)
	}
	for _, f := range files {
		_ = f.Close()
	}
	b, err := loader.Open(o.Pin, loader.AccessRead)
	if err != nil {
		t.Fatal(err)
	}
	_ = b.Close()
}

func TestASecondProcessIsRefusedWithThePIDOfTheFirst(t *testing.T) {
	newWorld(t)
	o := pinned(t)
	a := attach(t, o, nearName)
	_, again := loader.Attach([]string{nearName}, o)
	_, reader := loader.Open(o.Pin, loader.AccessRead)
	_, consumer := userspace.OpenConsumer(o.Pin)
	for _, err := range []error{again, reader, consumer, loader.Discard(o.Pin)} {
		var busy *loader.InUseError
		if !errors.As(err, &busy) || busy.PID != os.Getpid() {
			t.Errorf("error %v", err)
			continue
		}
		oneLine(t, err, "in use by pid")
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := loader.Open(o.Pin, loader.AccessRead)
	if err != nil {
		t.Fatal(err)
	}
	if b.Pinned().Config != o.Config || !b.Adopted() {
		t.Errorf("started with %+v", b.Pinned().Config)
	}
	_ = b.Close()
}

func TestB4PinsOfAnotherLayoutAreNotRead(t *testing.T) {
	newWorld(t)
	o := pinned(t)
	a := attach(t, o, nearName)
	_ = a.Close()
	bpftest.ChangeAbout(t, o.Pin, func(d *loader.About) { d.Layout = "0123" })
	own, err := bpf.LayoutHash()
	if err != nil {
		t.Fatal(err)
	}
	_, again := loader.Attach([]string{nearName}, o)
	_, reader := loader.Open(o.Pin, loader.AccessOwner)
	_, consumer := userspace.OpenConsumer(o.Pin)
	for _, err := range []error{again, reader, consumer} {
		var layout *loader.LayoutError
		if !errors.As(err, &layout) || *layout != (loader.LayoutError{Path: o.Pin, Pinned: "0123", Own: own}) {
			t.Errorf("error %v", err)
			continue
		}
		oneLine(t, err, "weir detach --pin "+o.Pin+" --discard")
	}
	if err := loader.Discard(o.Pin); err != nil {
		t.Fatal(err)
	}
	nothingLeft(t, o.Pin)
	t.Logf("measured: layout 0123 is refused by attaching, opening and reading, in a line with %.8s, the own, and what clears it; nothing is left", own)
}

func TestAPinnedMeterOfOtherOptionsIsRefused(t *testing.T) {
	newWorld(t)
	o := pinned(t)
	o.Filter = compiled("udp")
	a := attach(t, o, nearName)
	_ = a.Close()
	for want, set := range map[string]func(*loader.Options){
		"idle timeout 2m0s, not 1s": func(o *loader.Options) { o.Config.IdleTimeout = time.Second },
		"hook auto, not tcx":        func(o *loader.Options) { o.Hook = loader.HookTCX },
		"another filter":            func(o *loader.Options) { o.Filter = compiled("tcp") },
		"direction in, not both":    func(o *loader.Options) { o.Direction = loader.DirectionBoth },
	} {
		other := o
		set(&other)
		_, err := loader.Attach([]string{nearName}, other)
		var different *loader.DifferenceError
		if !errors.As(err, &different) || len(different.Differences) != 1 {
			t.Errorf("%s: error %v", want, err)
			continue
		}
		oneLine(t, err, want)
		oneLine(t, err, "weir detach --pin")
	}
	_, err := loader.Attach([]string{nearName, "lo"}, o)
	if err == nil || !strings.Contains(err.Error(), "interfaces weir0") {
		t.Errorf("error %v", err)
	}
	b := attach(t, o, nearName)
	if !b.Adopted() {
		t.Error("the same options are refused")
	}
}

// A sweep's iterator goes with the programs that it came with: who may not load its own
// does not keep another build's.
func TestUpgradeTakesTheIteratorOfBefore(t *testing.T) {
	newWorld(t)
	o := pinned(t)
	_ = attach(t, o, nearName).Close()
	bpftest.ChangeAbout(t, o.Pin, func(d *loader.About) { d.Object = "older" })
	var a *loader.Attachment
	var err error
	bpftest.WithCapabilities(t, []int{unix.CAP_BPF, unix.CAP_NET_ADMIN, unix.CAP_DAC_OVERRIDE}, func() { a, err = loader.Attach([]string{nearName}, o) })
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if _, err := os.Stat(filepath.Join(o.Pin, bpf.WeirProgWeirSweepWalk)); !errors.Is(err, os.ErrNotExist) || a.Handles().SweepIter != nil {
		t.Errorf("the iterator is still there: %v", err)
	}
}

// While frames arrive, the programs of another object are put in: none is missed.
func TestB11UpgradeMissesNoFrame(t *testing.T) {
	w := newWorld(t)
	o := pinned(t)
	o.Direction = loader.DirectionBoth
	_ = attach(t, o, nearName).Close()
	sent := 0
	for range 5 {
		bpftest.ChangeAbout(t, o.Pin, func(d *loader.About) { d.Object = "older" })
		done := make(chan int)
		stop, cancel := context.WithCancel(t.Context())
		go func() {
			n := 0
			for ; stop.Err() == nil; n++ {
				_, _ = unix.Write(w.farSocket, udpFrame(0, 100))
			}
			done <- n
		}()
		a, err := loader.Attach([]string{nearName}, o)
		cancel()
		sent += <-done
		if err != nil {
			t.Fatal(err)
		}
		if a.Pinned().Object != bpf.ObjectHash() {
			t.Error("the description keeps the old object")
		}
		_ = a.Close()
	}
	time.Sleep(20 * time.Millisecond)
	flows := end(t, attach(t, o, nearName), o)
	if got := int(flows[0][0].Packets()); got != sent || len(flows[0]) != 1 {
		t.Errorf("%d packets of %d in %d records", got, sent, len(flows[0]))
	}
	nothingLeft(t, o.Pin)
	t.Logf("measured: 5 upgrades in place under load: %d packets of %d in one record", flows[0][0].Packets(), sent)
}

func TestAnInterfaceThatIsGoneIsNamedAndItsFlowsAreHandedOut(t *testing.T) {
	w := newWorld(t)
	o := pinned(t)
	_ = attach(t, o, nearName, "lo").Close()
	w.send(w.farSocket, 2, 2)
	time.Sleep(20 * time.Millisecond)
	if err := netlink.LinkDel(w.near); err != nil {
		t.Fatal(err)
	}
	if _, err := loader.Attach([]string{"lo"}, o); err == nil {
		t.Error("a meter of two interfaces is adopted for one")
	}
	a, err := loader.Open(o.Pin, loader.AccessOwner)
	if err != nil {
		t.Fatal(err)
	}
	c := follower(t, a, o, userspace.WithDetach(a.Detach))
	packets := 0
	for f, err := range c.Flows(cancelled()) {
		if err != nil {
			t.Fatal(err)
		}
		if f.SourcePort() == 4000 {
			packets += int(f.Packets())
		}
	}
	if packets != 4 {
		t.Errorf("%d packets, want 4", packets)
	}
	if err := errors.Join(a.Remove(), a.Close()); err != nil {
		t.Error(err)
	}
}

func cancelled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func TestWhatAKilledStartLeftIsRemoved(t *testing.T) {
	newWorld(t)
	o := pinned(t)
	_ = attach(t, o, nearName).Close()
	// As if the rename had not come: everything is pinned and attached.
	if err := os.Rename(o.Pin, o.Pin+"-new-0badcafe"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(o.Pin+"-old-00000000", 0o700); err != nil {
		t.Fatal(err)
	}
	a := attach(t, o, nearName)
	if a.Adopted() {
		t.Error("a half-built meter was adopted")
	}
	if names := beside(t, o.Pin); len(names) != 1 {
		t.Errorf("left behind: %v", names)
	}
}

func TestAPlaceThatCannotHoldAMeterIsRefused(t *testing.T) {
	newWorld(t)
	o := pinned(t)
	for pin, want := range map[string]string{
		filepath.Join(t.TempDir(), "meter"): "not in a BPF file system",
		o.Pin + ".d":                        "no name with a dot",
		filepath.Join(filepath.Dir(o.Pin), "nosuch", "meter"): "mount a BPF file system",
	} {
		other := o
		other.Pin = pin
		_, err := loader.Attach([]string{nearName}, other)
		if err == nil {
			t.Fatalf("%s is taken", pin)
		}
		oneLine(t, err, want)
	}
	if err := os.Mkdir(o.Pin, 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := loader.Attach([]string{nearName}, o)
	if err == nil {
		t.Fatal("a directory that is no meter is adopted")
	}
	oneLine(t, err, "choose another directory")
}

// The objects take turns over one table; each adopter keeps what is no worse than
// what it could load itself.
func TestH1APinnedMeterChangesItsObjectWithItsPrivilege(t *testing.T) {
	w := newWorld(t)
	o := pinned(t)
	few := []int{unix.CAP_BPF, unix.CAP_NET_ADMIN, unix.CAP_DAC_OVERRIDE}
	for i, step := range []struct {
		caps     []int
		object   string
		warnings int
	}{
		{few, bpf.CopiedObjectHash(), 1},
		{few, bpf.CopiedObjectHash(), 1},
		{append(few, unix.CAP_PERFMON), bpf.ObjectHash(), 0},
		{few, bpf.ObjectHash(), 0},
	} {
		var a *loader.Attachment
		var err error
		bpftest.WithCapabilities(t, step.caps, func() { a, err = loader.Attach([]string{nearName}, o) })
		if err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		if about := a.Pinned(); about.Object != step.object || len(about.Warnings) != step.warnings {
			t.Errorf("step %d: object %s, warnings %q; want %s and %d", i, about.Object, about.Warnings, step.object, step.warnings)
		}
		if object := a.Handles().Object; object != step.object {
			t.Errorf("step %d: its handles name object %s", i, object)
		}
		if iterates := a.Handles().SweepIter != nil; iterates != (step.object == bpf.ObjectHash()) {
			t.Errorf("step %d: the sweep has an iterator: %v", i, iterates)
		}
		w.send(w.farSocket, 2, 3)
		time.Sleep(20 * time.Millisecond)
		_ = a.Close()
	}
	flows := end(t, attach(t, o, nearName), o)
	wantFlows(t, flows, 2, 12)
	nothingLeft(t, o.Pin)
}

// Whoever may read a pinned meter sweeps it, without a capability.
func TestH6ReadersOfAPinnedMeterSweepIt(t *testing.T) {
	w := newWorld(t)
	o := pinned(t)
	_ = attach(t, o, nearName).Close()
	w.send(w.farSocket, 5, 1)
	time.Sleep(20 * time.Millisecond)
	var a *loader.Attachment
	var open, all int
	var err error
	bpftest.WithCapabilities(t, nil, func() {
		if a, err = loader.Open(o.Pin, loader.AccessRead); err == nil {
			h := a.Handles()
			open, all = walkAll(t, &h).open, runAll(t, &h).open // what the host itself has said is among them
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil || open < 5 || open != all {
		t.Errorf("%d flows are open, want the 5 that were sent and the %d that are there (%v)", open, all, err)
	}
	end(t, attach(t, o, nearName), o)
}

func TestAPlaceThatIsNoneForAMeterIsSaidToBe(t *testing.T) {
	place := bpftest.PinPlace(t)
	root := filepath.Dir(place)
	for path, want := range map[string]string{
		root:                    "name that, as " + root + "/weir",
		filepath.Dir(root):      "is not in a BPF file system",
		place + ".1":            "takes no name with a dot",
		place + "/below/nobody": "no such file or directory",
		place:                   "none is there; weir attach --pin " + place,
	} {
		look, err := loader.LookAt(path)
		if err == nil {
			_ = look.Close()
			t.Errorf("%s is a meter", path)
			continue
		}
		oneLine(t, err, want)
	}
}
