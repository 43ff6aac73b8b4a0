package loader_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	netbpf "golang.org/x/net/bpf"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/bpftest"
	"github.com/weirflow/weir/loader"
	"github.com/weirflow/weir/loader/filter"
)

func TestB10FramesThatArriveBecomeFlowsAtEveryHook(t *testing.T) {
	for _, test := range []struct {
		name string
		set  func(*loader.Options)
		hook string
	}{
		{"by default in native XDP", func(*loader.Options) {}, "weir0: native XDP"},
		{"native XDP", func(o *loader.Options) { o.Hook, o.XDPMode = loader.HookXDP, loader.XDPNative }, "weir0: native XDP"},
		{"generic XDP", func(o *loader.Options) { o.XDPMode = loader.XDPGeneric }, "weir0: generic XDP"},
		{"TCX", func(o *loader.Options) { o.Hook = loader.HookTCX }, "weir0: TCX ingress"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			o := options()
			test.set(&o)
			a := attach(t, o, nearName)
			c := consumer(t, a, o)
			if got := strings.Join(a.Hooks(), ", "); got != test.hook {
				t.Errorf("hooks are %q, want %q", got, test.hook)
			}
			if len(a.Warnings()) > 0 {
				t.Errorf("warnings: %q", a.Warnings())
			}
			w.send(w.farSocket, 10, 7)
			arrived(t, c)
			flows := harvest(t, c)
			wantFlows(t, flows, 10, 7)
			t.Logf("measured: %s: %d flows, each of 7 packets", test.hook, len(flows))
		})
	}
}

func TestEachDirectionIsObservedAlone(t *testing.T) {
	for direction, want := range map[loader.Direction]map[int]int{
		loader.DirectionIn:   {0: 5, 1: 5},
		loader.DirectionOut:  {0: 3},
		loader.DirectionBoth: {0: 8, 1: 5},
	} {
		t.Run(string(direction), func(t *testing.T) {
			w := newWorld(t)
			o := options()
			o.Direction = direction
			c := consumer(t, attach(t, o, nearName), o)
			w.send(w.farSocket, 2, 5)
			w.send(w.nearSocket, 1, 3)
			arrived(t, c)
			flows := harvest(t, c)
			got := map[int]int{}
			for n, f := range flows {
				got[n] = int(f[0].Packets())
			}
			if !maps.Equal(got, want) {
				t.Errorf("packets of flows %v, want %v", got, want)
			}
		})
	}
}

func TestSeveralInterfacesAreTold(t *testing.T) {
	w := newWorld(t)
	o := options()
	c := consumer(t, attach(t, o, nearName, "lo"), o)
	w.send(w.farSocket, 1, 4)
	lo := up(t, "lo")
	w.send(rawSocket(t, lo), 1, 2)
	arrived(t, c)
	got := map[string]uint64{}
	for _, f := range harvest(t, c)[0] {
		got[f.Interface] = f.Packets()
	}
	if want := map[string]uint64{nearName: 4, "lo": 2}; !maps.Equal(got, want) {
		t.Errorf("packets by interface %v, want %v", got, want)
	}
}

func TestB10GenericXDPIsFallenBackToWithAWarning(t *testing.T) {
	bpftest.NewNamespace(t)
	a := attach(t, options(), "lo")
	if w := a.Warnings(); len(w) != 1 || !strings.HasPrefix(w[0], "lo: its driver refuses native XDP") {
		t.Errorf("warnings %q", w)
	}
	if got := a.Hooks(); !slices.Equal(got, []string{"lo: generic XDP"}) {
		t.Errorf("hooks %q", got)
	}
}

func TestB10NativeXDPIsExact(t *testing.T) {
	bpftest.NewNamespace(t)
	o := options()
	o.XDPMode = loader.XDPNative
	_, err := loader.Attach([]string{"lo"}, o)
	var native *loader.NativeXDPError
	if !errors.As(err, &native) || native.Interface != "lo" {
		t.Fatalf("error is %v", err)
	}
	oneLine(t, err, "--xdp-mode generic")
}

// oneLine fails if an error is not one line that gives the advice.
func oneLine(t *testing.T, err error, advice string) {
	t.Helper()
	if text := err.Error(); strings.Contains(text, "\n") || !strings.Contains(text, advice) {
		t.Errorf("error %q: want one line with %q", text, advice)
	}
}

func TestAnInterfaceThatIsNotThereIsNamedWithThoseThatAre(t *testing.T) {
	bpftest.NewNamespace(t)
	_, err := loader.Attach([]string{"nosuch"}, options())
	if !errors.Is(err, loader.ErrNoInterface) {
		t.Fatalf("error is %v", err)
	}
	oneLine(t, err, `"nosuch": no such interface: there are lo`)
}

func TestB6AnotherXDPProgramIsNamedAndLeftAlone(t *testing.T) {
	w := newWorld(t)
	other, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: "somebody", Type: ebpf.XDP, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()}})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	l, err := link.AttachXDP(link.XDPOptions{Program: other, Interface: w.near.Attrs().Index})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	info, err := other.Info()
	if err != nil {
		t.Fatal(err)
	}
	id, _ := info.ID()
	for _, mode := range []loader.XDPMode{loader.XDPAuto, loader.XDPNative, loader.XDPGeneric} {
		o := options()
		o.XDPMode = mode
		_, err = loader.Attach([]string{nearName}, o)
		var busy *loader.BusyError
		if !errors.As(err, &busy) || *busy != (loader.BusyError{Interface: nearName, ProgramID: uint32(id), Program: "somebody"}) {
			t.Errorf("mode %s: error is %v", mode, err)
		}
		oneLine(t, err, "--hook tcx")
	}
	o := options()
	o.Hook = loader.HookTCX
	c := consumer(t, attach(t, o, nearName), o)
	w.send(w.farSocket, 3, 2)
	arrived(t, c)
	wantFlows(t, harvest(t, c), 3, 2)
	t.Logf("measured: program %d is named in every mode, and stays; TCX beside it counts every packet", id)
}

func TestASecondMeterByXDPIsRefused(t *testing.T) {
	newWorld(t)
	attach(t, options(), nearName)
	_, err := loader.Attach([]string{nearName}, options())
	var busy *loader.BusyError
	if !errors.As(err, &busy) || busy.Program != "weir_xdp_in" {
		t.Errorf("error is %v", err)
	}
}

func TestAllInterfacesAreAttachedOrNone(t *testing.T) {
	newWorld(t)
	o := options()
	o.XDPMode = loader.XDPNative
	if _, err := loader.Attach([]string{nearName, "lo"}, o); err == nil {
		t.Fatal("lo has native XDP")
	}
	dev, err := netlink.LinkByName(nearName)
	if err != nil {
		t.Fatal(err)
	}
	if dev.Attrs().Xdp.Attached {
		t.Error("the other interface keeps its program")
	}
}

func TestWrongOptionsAreSaidBeforeAnythingIsTouched(t *testing.T) {
	bpftest.NewNamespace(t)
	for name, set := range map[string]func(*loader.Options){
		"direction":     func(o *loader.Options) { o.Direction = "up" },
		"hook":          func(o *loader.Options) { o.Hook = "tc" },
		"XDP mode":      func(o *loader.Options) { o.XDPMode = "offload" },
		"ring":          func(o *loader.Options) { o.RingOctets = 5000 },
		"max flows":     func(o *loader.Options) { o.Config.MaxFlows = 0 },
		"splt":          func(o *loader.Options) { o.Config.SPLT = 21 },
		"samples":       func(o *loader.Options) { o.Config.Samples = 256 },
		"octets":        func(o *loader.Options) { o.Config.SampleOctets = 16385 },
		"accounting":    func(o *loader.Options) { o.Config.Accounting = 4 },
		"idle timeout":  func(o *loader.Options) { o.Config.IdleTimeout = -1 },
		"interfaces":    nil,
		"named twice":   nil,
		"filter syntax": func(o *loader.Options) { o.Filter = compiled("prot tcp") },
		"panicked":      func(o *loader.Options) { o.Filter = func(int) ([]netbpf.RawInstruction, error) { panic("no") } },
	} {
		names := map[string][]string{"interfaces": {}, "named twice": {"lo", "lo"}}[name]
		if names == nil {
			names = []string{"lo"}
		}
		o := options()
		if set != nil {
			set(&o)
		}
		if name == "interfaces" {
			names = nil
		}
		if _, err := loader.Attach(names, o); err == nil || !strings.Contains(err.Error(), strings.Fields(name)[0]) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

func compiled(expr string) func(int) ([]netbpf.RawInstruction, error) {
	return func(linkType int) ([]netbpf.RawInstruction, error) { return filter.Compile(expr, linkType) }
}

func TestTheFilterDecidesWhatIsMetered(t *testing.T) {
	for _, test := range []struct {
		expr string
		want []int
	}{
		{"udp dst port 1003", []int{3}},
		{"udp and greater 142 and not port 1000", []int{1, 2, 3, 4}},
		{"less 100", nil},
		{"host 192.0.2.1", []int{0, 1, 2, 3, 4}},
	} {
		for _, hook := range []loader.Hook{loader.HookXDP, loader.HookTCX} {
			t.Run(test.expr+" "+string(hook), func(t *testing.T) {
				w := newWorld(t)
				o := options()
				o.Hook = hook
				o.Filter = compiled(test.expr)
				c := consumer(t, attach(t, o, nearName), o)
				w.send(w.farSocket, 5, 2)
				arrived(t, c)
				got := slices.Sorted(maps.Keys(harvest(t, c)))
				if !slices.Equal(got, test.want) {
					t.Errorf("flows %v, want %v", got, test.want)
				}
				l := c.Ledger()
				if n := l.Ignored[bpf.WeirDecodeStatusSTATUS_FILTERED].Packets; n < uint64(10-2*len(test.want)) {
					t.Errorf("%d packets filtered", n)
				}
			})
		}
	}
}

// A tun device carries bare IP packets: no Ethernet header, and no XDP for it.
func TestBareIPPacketsOfATunnelAreMetered(t *testing.T) {
	bpftest.NewNamespace(t)
	tun := &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: "weirtun"}, Mode: netlink.TUNTAP_MODE_TUN,
		Flags: netlink.TUNTAP_NO_PI, Queues: 1}
	if err := netlink.LinkAdd(tun); err != nil {
		t.Fatal(err)
	}
	defer tun.Fds[0].Close()
	up(t, "weirtun")
	o := options()
	o.Filter = compiled("udp port 1000")
	a := attach(t, o, "weirtun")
	c := consumer(t, a, o)
	if got := a.Hooks(); !slices.Equal(got, []string{"weirtun: TCX ingress"}) {
		t.Errorf("hooks %q", got)
	}
	for n := range 3 {
		if _, err := tun.Fds[0].Write(udpFrame(n, 100)[14:]); err != nil {
			t.Fatal(err)
		}
	}
	arrived(t, c)
	flows := harvest(t, c)
	if len(flows) != 1 || flows[0][0].Octets() != 128 {
		t.Errorf("flows %+v", flows)
	}
}

func TestB7InterfaceDeletedWhileObservedCostsNoFlow(t *testing.T) {
	w := newWorld(t)
	o := options()
	a := attach(t, o, nearName)
	c := consumer(t, a, o)
	w.send(w.farSocket, 4, 3)
	arrived(t, c)
	if err := netlink.LinkDel(w.near); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	n := 0
	for f, err := range c.Flows(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if f.SourcePort() == 4000 {
			n++
		}
	}
	if n != 4 {
		t.Errorf("%d flows, want 4", n)
	}
	if l := c.Ledger(); l.Check() != nil {
		t.Errorf("%v\n%+v", l.Check(), l)
	}
	if _, _, err := a.Counters(); err == nil {
		t.Error("the counters of an interface that is gone are known")
	}
	t.Logf("measured: %d flows open as the interface is deleted, %d handed out", 4, n)
}

// A program that takes single buffers only would hold the operator back.
func TestB9MTUStaysTheOperators(t *testing.T) {
	w := newWorld(t)
	o := options()
	c := consumer(t, attach(t, o, nearName), o)
	for _, mtu := range []int{9000, 1500, 9000} {
		if err := netlink.LinkSetMTU(w.near, mtu); err != nil {
			t.Fatalf("MTU %d: %v", mtu, err)
		}
		w.setFarMTU(mtu)
	}
	const payload = 9000 - 28
	w.sendFrame(w.farSocket, udpFrame(0, payload))
	arrived(t, c)
	for _, mtu := range []int{1500, 9000} {
		w.setFarMTU(mtu)
		if err := netlink.LinkSetMTU(w.near, mtu); err != nil {
			t.Fatalf("MTU %d: %v", mtu, err)
		}
	}
	flows := harvest(t, c)
	if len(flows) != 1 || flows[0][0].Octets() != 14+9000 {
		t.Errorf("flows %+v", flows)
	}
	t.Logf("measured: MTU of both ends changed 5 times, none refused; a frame of %d octets counted as such", 14+9000)
}

func TestB8InterfaceMayGoDownAndUpAndBeRenamed(t *testing.T) {
	w := newWorld(t)
	o := options()
	c := consumer(t, attach(t, o, nearName), o)
	const times = 100
	name := nearName
	w.send(w.farSocket, 1, 2)
	for n := range times {
		name = fmt.Sprintf("renamed%d", n)
		time.Sleep(2 * time.Millisecond)
		for _, change := range []func() error{
			func() error { return netlink.LinkSetDown(w.near) },
			func() error { return netlink.LinkSetName(w.near, name) },
			func() error { return netlink.LinkSetUp(w.near) },
		} {
			if err := change(); err != nil {
				t.Fatal(err)
			}
		}
		w.waitForCarrier(name)
		w.send(w.farSocket, 1, 3)
	}
	arrived(t, c)
	wantFlows(t, harvest(t, c), 1, 2+3*times)
	t.Logf("measured: %d times down, renamed and up: every packet between them in one flow, residual 0", times)
}
