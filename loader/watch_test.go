package loader_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/bpftest"
	"github.com/weirflow/weir/loader"
	"github.com/weirflow/weir/tools/soak"
	"github.com/weirflow/weir/userspace"
)

// A watched meter is one that runs, with its changes and its flows.
type watched struct {
	w        *world
	a        *loader.Attachment
	consumer *userspace.Consumer
	changes  chan loader.Change
	flows    chan userspace.Flow // of the sender of udpFrame
}

// watch runs a meter. As weir does, it has the flows of an interface that is gone
// closed before the interface is attached again.
func (w *world) watch(o loader.Options, names ...string) *watched {
	w.t.Helper()
	m := &watched{w: w, a: attach(w.t, o, names...), changes: make(chan loader.Change, 1000), flows: make(chan userspace.Flow, 1000)}
	var err error
	m.consumer, err = userspace.NewConsumer(m.a.Handles(), userspace.WithConfig(userspace.Config(o.Config)), userspace.WithDetach(m.a.Detach))
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- m.attend(ctx) }()
	go func() { done <- m.read(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		for range cap(done) {
			if err := <-done; err != nil {
				w.t.Error(err)
			}
		}
		if l := m.consumer.Ledger(); l.Check() != nil {
			w.t.Errorf("%v\n%+v", l.Check(), l)
		}
		_ = m.consumer.Close()
	})
	return m
}

// attend watches on a thread of the interfaces' namespace, which ends with it, and
// with no more privilege than attaching takes.
func (m *watched) attend(ctx context.Context) (err error) {
	runtime.LockOSThread()
	if err := netns.Set(m.w.here); err != nil {
		return err
	}
	bpftest.WithCapabilities(m.w.t, []int{unix.CAP_BPF, unix.CAP_NET_ADMIN, unix.CAP_PERFMON}, func() {
		err = m.a.Watch(ctx, func(c loader.Change) {
			if c.Kind == loader.ChangeGone {
				if err := m.consumer.EndPoint(ctx, c.Point); err != nil && ctx.Err() == nil {
					m.w.t.Error(err)
				}
			}
			m.changes <- c
		})
	})
	return err
}

func (m *watched) read(ctx context.Context) error {
	for f, err := range m.consumer.Flows(ctx) {
		if err != nil {
			return err
		}
		if f.SourcePort() == 4000 {
			m.flows <- *f.Clone()
		}
	}
	return nil
}

// soon is far more than the second that a change may take to be told: the machine may be busy.
const soon = 10 * time.Second

func (m *watched) wantChange(kind loader.ChangeKind) loader.Change {
	m.w.t.Helper()
	select {
	case c := <-m.changes:
		if c.Kind != kind {
			m.w.t.Fatalf("change %+v, want one of kind %d", c, kind)
		}
		return c
	case <-time.After(soon):
		m.w.t.Fatalf("no change of kind %d is noticed", kind)
	}
	return loader.Change{}
}

func (m *watched) wantFlow(packets uint64, reason bpf.EndReason) {
	m.w.t.Helper()
	select {
	case f := <-m.flows:
		if f.Packets() != packets || f.EndReason() != reason || f.Interface != nearName {
			m.w.t.Errorf("a flow of %d packets at %s with end reason %d, want %d packets at %s with %d",
				f.Packets(), f.Interface, f.EndReason(), packets, nearName, reason)
		}
	case <-time.After(soon):
		m.w.t.Fatalf("no flow comes out; the ledger is %+v", m.consumer.Ledger())
	}
}

func TestB7InterfaceThatReturnsIsObservedAgain(t *testing.T) {
	for name, set := range map[string]func(*loader.Options){
		"XDP":    func(*loader.Options) {},
		"both":   func(o *loader.Options) { o.Direction = loader.DirectionBoth },
		"TCX":    func(o *loader.Options) { o.Hook = loader.HookTCX },
		"pinned": func(o *loader.Options) { o.Pin = bpftest.PinPlace(t) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			o := options()
			set(&o)
			m := w.watch(o, nearName, "lo")
			const times = 3
			var noticed, attached time.Duration
			for range times {
				w.send(w.farSocket, 1, 5)
				arrived(t, m.consumer)
				start := time.Now()
				if err := netlink.LinkDel(w.near); err != nil {
					t.Fatal(err)
				}
				if c := m.wantChange(loader.ChangeGone); c.Name != nearName || c.Observed != 1 {
					t.Errorf("change %+v", c)
				}
				noticed = max(noticed, time.Since(start))
				m.wantFlow(5, bpf.WeirFlowEndReasonEND_FORCED)
				start = time.Now()
				w.connect()
				if c := m.wantChange(loader.ChangeReturned); c.Name != nearName || c.Observed != 2 {
					t.Errorf("change %+v", c)
				}
				attached = max(attached, time.Since(start))
			}
			if noticed > soak.Of(soon, time.Second) || attached > soak.Of(soon, 2*time.Second) {
				t.Errorf("noticed only after %v, attached again only after %v", noticed, attached)
			}
			t.Logf("measured: %s: deleted %d times, noticed within %v, its flows written with end reason 4, attached again within %v",
				name, times, noticed.Round(time.Millisecond), attached.Round(time.Millisecond))
		})
	}
}

func TestB8NewNameAndMoveAreToldAndLeaveNoGap(t *testing.T) {
	w := newWorld(t)
	m := w.watch(options(), nearName)
	w.send(w.farSocket, 1, 2)
	const times = 10
	for n := range times {
		name := fmt.Sprintf("renamed%d", n)
		w.renameNear(name)
		if c := m.wantChange(loader.ChangeRenamed); c.Now != name || c.Name != nearName {
			t.Errorf("change %+v", c)
		}
	}
	if all := m.a.Interfaces(); len(all) != 1 || all[0].Now != "renamed9" || all[0].State != loader.InterfaceObserved || len(all[0].Hooks) != 1 {
		t.Errorf("interfaces %+v", all)
	}
	w.renameNear(nearName)
	m.wantChange(loader.ChangeRenamed)
	w.moveNear()
	m.wantChange(loader.ChangeMoved)
	w.send(w.farSocket, 1, 3)
	arrived(t, m.consumer)
	w.bringBack()
	m.wantChange(loader.ChangeCameBack)
	w.send(w.farSocket, 1, 4)
	arrived(t, m.consumer)
	if err := netlink.LinkDel(w.near); err != nil {
		t.Fatal(err)
	}
	m.wantChange(loader.ChangeGone)
	m.wantFlow(9, bpf.WeirFlowEndReasonEND_FORCED)
	t.Logf("measured: %d new names told; moved to another network namespace and back: one flow, residual 0", times)
}

// renameNear gives the near end another name, for which Linux before 6.2 wants it
// down.
func (w *world) renameNear(name string) {
	w.t.Helper()
	if err := errors.Join(netlink.LinkSetDown(w.near), netlink.LinkSetName(w.near, name), netlink.LinkSetUp(w.near)); err != nil {
		w.t.Fatal(err)
	}
	w.waitForCarrier(name)
}

// An interface can be deleted where no notification of it comes from.
func TestB7InterfaceDeletedInAnotherNamespaceIsNoticed(t *testing.T) {
	w := newWorld(t)
	m := w.watch(options(), nearName)
	w.send(w.farSocket, 1, 2)
	arrived(t, m.consumer)
	w.moveNear()
	m.wantChange(loader.ChangeMoved)
	if err := w.farNetlink.LinkDel(w.far); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	m.wantChange(loader.ChangeGone)
	t.Logf("measured: deleted in another network namespace, noticed within %v", time.Since(start).Round(time.Millisecond))
	m.wantFlow(2, bpf.WeirFlowEndReasonEND_FORCED)
}

func TestAnInterfaceThatReturnsBusyIsRefusedUntilItIsFree(t *testing.T) {
	w := newWorld(t)
	m := w.watch(options(), nearName)
	if err := netlink.LinkDel(w.near); err != nil {
		t.Fatal(err)
	}
	m.wantChange(loader.ChangeGone)
	other := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "other0"}, PeerName: "other1"}
	if err := netlink.LinkAdd(other); err != nil {
		t.Fatal(err)
	}
	busy := attach(t, options(), "other0")
	if err := netlink.LinkSetName(other, nearName); err != nil {
		t.Fatal(err)
	}
	if c := m.wantChange(loader.ChangeRefused); c.Err == nil || c.Observed != 0 {
		t.Errorf("change %+v", c)
	} else {
		oneLine(t, c.Err, "is there already and is left alone")
	}
	if err := busy.Detach(); err != nil {
		t.Fatal(err)
	}
	m.wantChange(loader.ChangeReturned)
}

func TestC6WatchingLeaksNothing(t *testing.T) {
	newWorld(t)
	a := attach(t, options(), nearName)
	watch := func() {
		if err := a.Watch(cancelled(), func(c loader.Change) { t.Errorf("change %+v", c) }); err != nil {
			t.Fatal(err)
		}
	}
	watch()
	time.Sleep(50 * time.Millisecond)
	before, goroutines := descriptors(t), runtime.NumGoroutine()
	cycles := soak.Of(50, 1000)
	for range cycles {
		watch()
	}
	time.Sleep(200 * time.Millisecond) // sockets are closed by goroutines of the library
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
	if after := runtime.NumGoroutine(); after > goroutines {
		t.Errorf("%d goroutines before, %d after", goroutines, after)
	}
	t.Logf("measured: watched %d times: 0 descriptors, 0 goroutines more", cycles)
}

// Who is told of changes may panic: an interface that returns is metered all the same.
func TestC5PanicOfWhoIsToldOfChangesCostsTheTellingOnly(t *testing.T) {
	w := newWorld(t)
	a := attach(t, options(), nearName)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended, panics := make(chan error, 1), 0
	go func() {
		runtime.LockOSThread()
		if err := netns.Set(w.here); err != nil {
			ended <- err
			return
		}
		ended <- a.Watch(ctx, func(c loader.Change) {
			panics++
			if c.Kind == loader.ChangeReturned {
				cancel()
			}
			panic("not now")
		})
	}()
	if err := netlink.LinkDel(w.near); err != nil {
		t.Fatal(err)
	}
	awaitState(t, a, loader.InterfaceGone)
	w.connect()
	err := <-ended
	if err == nil || !strings.Contains(err.Error(), "not now") || a.Interfaces()[0].State != loader.InterfaceObserved {
		t.Errorf("%v; %+v", err, a.Interfaces())
	}
	t.Logf("measured: told %d times, and panicked each time; the interface is %s again", panics, a.Interfaces()[0].State)
}

// awaitState waits until the first interface is in a state.
func awaitState(t *testing.T, a *loader.Attachment, state loader.InterfaceState) {
	t.Helper()
	for began := time.Now(); a.Interfaces()[0].State != state; time.Sleep(time.Millisecond) {
		if time.Since(began) > 10*time.Second {
			t.Fatalf("it is %s after %v, and not %s", a.Interfaces()[0].State, time.Since(began), state)
		}
	}
}
