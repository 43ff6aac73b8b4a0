package loader_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/bpftest"
	"github.com/weirflow/weir/loader"
	"github.com/weirflow/weir/tools/flowgen"
)

func TestB7InterfaceOfAPinnedMeterMayReturnWhileNobodyWatches(t *testing.T) {
	for name, object := range map[string]string{"adopted": bpf.ObjectHash(), "upgraded": "older"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			o := pinned(t)
			o.Direction = loader.DirectionBoth
			_ = attach(t, o, nearName, "lo").Close()
			w.send(w.farSocket, 2, 3)
			time.Sleep(20 * time.Millisecond)
			bpftest.ChangeAbout(t, o.Pin, func(d *loader.About) { d.Object = object })
			if err := netlink.LinkDel(w.near); err != nil {
				t.Fatal(err)
			}
			w.connect()
			a := attach(t, o, nearName, "lo")
			if !a.Adopted() || a.Pinned().Gone != 1 {
				t.Errorf("adopted %v; gone and returned %d times", a.Adopted(), a.Pinned().Gone)
			}
			if err := a.Close(); err != nil {
				t.Fatal(err)
			}
			a = attach(t, o, nearName, "lo")
			w.send(w.farSocket, 2, 4)
			time.Sleep(20 * time.Millisecond)
			if _, _, err := a.Counters(); err == nil {
				t.Error("the interface's counters are compared over its absence")
			}
			flows := map[uint64]int{}
			for f, err := range follower(t, a, o).Flows(cancelled()) { // what was closed is in the ring
				if err != nil {
					t.Fatal(err)
				}
				if f.SourcePort() == 4000 && f.EndReason() == bpf.WeirFlowEndReasonEND_FORCED {
					flows[f.Packets()]++
				}
			}
			if len(flows) != 1 || flows[3] != 2 {
				t.Errorf("flows closed since the interface was gone, by packets: %v", flows)
			}
			nowAttached(t, a)
			if err := errors.Join(a.Detach(), a.Remove()); err != nil {
				t.Error(err)
			}
			nothingLeft(t, o.Pin)
		})
	}
}

// More flows than one run of the sweep looks at.
func TestB7AllFlowsOfAnInterfaceThatReturnsAreClosedFirst(t *testing.T) {
	const flows = 150_000
	l := newLoad(t)
	o := pinned(t)
	o.Config.MaxFlows, o.RingOctets = flows, 64<<20
	_ = attach(t, o, nearName).Close()
	l.send(l.generator(flows, 1), template(flowgen.UDP4, 60), flows)
	if err := netlink.LinkDel(l.near); err != nil {
		t.Fatal(err)
	}
	l.connect()
	a := attach(t, o, nearName)
	closed := 0
	for f, err := range follower(t, a, o).Flows(cancelled()) { // what was closed is in the ring
		if err != nil {
			t.Fatal(err)
		}
		if f.EndReason() == bpf.WeirFlowEndReasonEND_FORCED {
			closed++
		}
	}
	if closed != flows {
		t.Errorf("%d flows were closed, want %d", closed, flows)
	}
	if err := errors.Join(a.Detach(), a.Remove()); err != nil {
		t.Error(err)
	}
}

func nowAttached(t *testing.T, a *loader.Attachment) {
	t.Helper()
	dev, err := netlink.LinkByName(nearName)
	if err != nil || dev.Attrs().Xdp == nil || !dev.Attrs().Xdp.Attached {
		t.Errorf("no program is at the interface (%v)", err)
	}
	for _, i := range a.Interfaces() {
		if i.State != loader.InterfaceObserved {
			t.Errorf("%+v", i)
		}
	}
}

// As if a process had been killed between pinning and putting into place.
func TestWhatAKilledUpgradeLeftIsRemoved(t *testing.T) {
	newWorld(t)
	o := pinned(t)
	_ = attach(t, o, nearName).Close()
	for _, name := range []string{bpf.WeirProgWeirSweep, "link_0_weir_xdp_in"} {
		if err := pinAgain(t, filepath.Join(o.Pin, name), filepath.Join(o.Pin, name+"-new-0badcafe")); err != nil {
			t.Fatal(err)
		}
	}
	a := attach(t, o, nearName)
	nowAttached(t, a)
	left, err := filepath.Glob(filepath.Join(o.Pin, "*-new-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// As if it had been killed between that and the meter's description.
func TestCountersAreNotComparedAfterAKillAtAnInterfacesReturn(t *testing.T) {
	newWorld(t)
	o := pinned(t)
	_ = attach(t, o, nearName).Close()
	bpftest.ChangeAbout(t, o.Pin, func(d *loader.About) { d.Points[0].Ifindex += 1000 })
	a := attach(t, o, nearName)
	nowAttached(t, a)
	if _, _, err := a.Counters(); err == nil {
		t.Error("the interface's counters are compared over its absence")
	}
}

// pinAgain pins what is pinned at path a second time: an object that was loaded by
// its pin would move.
func pinAgain(t *testing.T, path, again string) error {
	t.Helper()
	if l, err := link.LoadPinnedLink(path, nil); err == nil {
		defer l.Close()
		info, err := l.Info()
		if err != nil {
			return err
		}
		other, err := link.NewFromID(info.ID)
		if err != nil {
			return err
		}
		defer other.Close()
		return other.Pin(again)
	}
	program, err := ebpf.LoadPinnedProgram(path, &ebpf.LoadPinOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer program.Close()
	other, err := program.Clone()
	if err != nil {
		return err
	}
	defer other.Close()
	return other.Pin(again)
}

// A meter of a build that did not pin what its links run.
func TestAPinnedMeterWithoutItsProgramsGetsNewOnes(t *testing.T) {
	newWorld(t)
	o := pinned(t)
	_ = attach(t, o, nearName).Close()
	pin := filepath.Join(o.Pin, "program_0_weir_xdp_in")
	if err := os.Remove(pin); err != nil {
		t.Fatal(err)
	}
	nowAttached(t, attach(t, o, nearName))
	if _, err := os.Stat(pin); err != nil {
		t.Error(err)
	}
}
