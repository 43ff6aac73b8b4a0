package flowgen

import (
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

func load(t *testing.T, o Options) *Generator {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("loads BPF programs: needs root")
	}
	g, err := Load(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	if err := g.Chain(g.Pass()); err != nil {
		t.Fatal(err)
	}
	return g
}

var macs = [2][6]byte{{2, 0, 0, 0, 0, 2}, {2, 0, 0, 0, 0, 1}}

// TestEachRoundVisitsEachFlowOnce is what the known ledger rests on.
func TestEachRoundVisitsEachFlowOnce(t *testing.T) {
	for _, flows := range []uint32{1, 2, 3, 10, 97, 1000, 4096, 100_000} {
		s := NewSequence(flows, 7)
		forward := make([]int, flows)
		for round := range 4 {
			seen := make([]bool, flows)
			for range flows {
				f, reverse := s.Next()
				if seen[f] {
					t.Fatalf("%d flows: flow %d twice in round %d", flows, f, round)
				}
				seen[f] = true
				if !reverse {
					forward[f]++
				}
			}
		}
		for f, n := range forward {
			if n != 2 {
				t.Fatalf("%d flows: flow %d went forward %d times of 4, want 2", flows, f, n)
			}
		}
	}
}

func TestFlowsHaveTuplesOfTheirOwn(t *testing.T) {
	seen := map[Tuple]uint32{}
	for f := range uint32(50_000) {
		a, b := TupleOf(f, false), TupleOf(f, true)
		if a.Src != b.Dst || a.Dst != b.Src || a.SrcPort != b.DstPort || a.DstPort != b.SrcPort {
			t.Fatalf("flow %d: %v is not the reverse of %v", f, b, a)
		}
		if g, there := seen[a]; there {
			t.Fatalf("flows %d and %d share %v", f, g, a)
		}
		seen[a] = f
	}
}

// A reversed packet is of the same flow in IPv6 too, where the generator swaps
// the low 32 bits of the addresses only.
func TestReversedFramesSwapWholeAddresses(t *testing.T) {
	for _, kind := range []string{TCP4, UDP4, TCP6, UDP6} {
		there, back := Template(kind, 64, macs), Template(kind, 64, macs)
		TupleOf(3, false).Write(there)
		TupleOf(3, true).Write(back)
		at, size := 22, 16
		if kind == TCP4 || kind == UDP4 {
			at, size = 26, 4
		}
		if src, dst := there[at:at+size], back[at+size:at+2*size]; string(src) != string(dst) {
			t.Errorf("%s: from %x, back to %x", kind, src, dst)
		}
	}
}

// chain has the kernel make the next packet of frame, as on the first CPU.
func chain(t *testing.T, g *Generator, frame, out []byte) {
	t.Helper()
	if err := onCPU(0, func() error {
		_, err := g.objects.FlowgenChain.Run(&ebpf.RunOptions{Data: frame, DataOut: out})
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func TestKernelSendsTheSequence(t *testing.T) {
	for _, kind := range []string{TCP4, UDP4, TCP6, UDP6} {
		t.Run(kind, func(t *testing.T) {
			g := load(t, Options{Flows: 37, Seed: 5})
			s := NewSequence(37, 5)
			frame := Template(kind, 64, macs)
			out, want := make([]byte, len(frame)), append([]byte(nil), frame...)
			var reversed uint64
			for n := range 150 {
				chain(t, g, frame, out)
				flow, reverse := s.Next()
				if reverse {
					reversed++
				}
				TupleOf(flow, reverse).Write(want)
				if string(out) != string(want) {
					t.Fatalf("packet %d:\n got %x\nwant %x", n, out, want)
				}
			}
			l, err := g.Ledger()
			if want := (Ledger{150, uint64(150 * len(frame)), reversed}); err != nil || l != want {
				t.Fatalf("ledger %+v (%v), want %+v", l, err, want)
			}
		})
	}
}

func TestForwardOnlyKeepsTheOrderAndReversesNothing(t *testing.T) {
	g := load(t, Options{Flows: 37, Seed: 5, Forward: true})
	s := NewSequence(37, 5)
	frame := Template(TCP4, 64, macs)
	out, want := make([]byte, len(frame)), append([]byte(nil), frame...)
	for n := range 80 {
		chain(t, g, frame, out)
		flow, _ := s.Next()
		TupleOf(flow, false).Write(want)
		if string(out) != string(want) {
			t.Fatalf("packet %d:\n got %x\nwant %x", n, out, want)
		}
	}
	if l, err := g.Ledger(); err != nil || l.Reversed != 0 {
		t.Fatalf("ledger %+v (%v), want nothing reversed", l, err)
	}
}

func TestRunRefusesAFrameWithoutPorts(t *testing.T) {
	g := load(t, Options{Flows: 1})
	if _, err := g.Run(make([]byte, 30), 10); err == nil {
		t.Fatal("a frame of 30 octets was taken")
	}
}

func TestLoadRefusesFlowCountsThatItCannotNumber(t *testing.T) {
	for _, flows := range []uint32{0, MaxFlows + 1} {
		if g, err := Load(Options{Flows: flows}); err == nil {
			g.Close()
			t.Errorf("%d flows were taken", flows)
		}
	}
}

// TestLiveFramesAllArrive sends through a veth pair in a network namespace of
// the test's own, and compares with what the other end counted.
func TestLiveFramesAllArrive(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("creates a network namespace: needs root")
	}
	runtime.LockOSThread() // never unlocked: the thread dies with its namespace
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	// Neighbour discovery would be counted too.
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{
		"link add gen0 type veth peer name gen1", "link set gen0 up", "link set gen1 up",
	} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", args, err, out)
		}
	}
	tx, err := net.InterfaceByName("gen0")
	if err != nil {
		t.Fatal(err)
	}
	rx, err := net.InterfaceByName("gen1")
	if err != nil {
		t.Fatal(err)
	}
	g := load(t, Options{Flows: 1000, Seed: 1, Ifindex: tx.Index})
	l, err := link.AttachXDP(link.XDPOptions{Program: g.Pass(), Interface: rx.Index, Flags: link.XDPDriverMode})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	before := rxPackets(t, "gen1")
	const packets, calls = 200_000, 100
	for range calls {
		if err := g.Live(Template(UDP6, 128, macs), packets/calls, 64); err != nil {
			t.Fatal(err)
		}
	}
	ledger, err := g.Ledger()
	if err != nil || ledger.Packets != packets || ledger.Octets != packets*128 {
		t.Fatalf("ledger %+v (%v), want %d packets of 128 octets", ledger, err, packets)
	}
	if got := rxPackets(t, "gen1") - before; got != packets {
		t.Fatalf("%d of %d frames arrived", got, packets)
	}
}

// Some 40 µs against 25 ms, on a machine of two CPUs, of which little is asked: less
// than half.
func TestCallForLiveFramesDoesNotWaitForEveryCPU(t *testing.T) {
	g := load(t, Options{Flows: 1, Ifindex: 1})
	least := func() time.Duration {
		shortest := time.Hour
		for range 5 {
			began := time.Now()
			if err := g.Live(Template(UDP4, 64, macs), 64, 64); err != nil {
				t.Fatal(err)
			}
			shortest = min(shortest, time.Since(began))
		}
		return shortest
	}
	resident := least()
	if err := g.residence.Close(); err != nil {
		t.Fatal(err)
	}
	g.residence = nil
	if other := least(); 2*resident >= other {
		t.Errorf("a call takes %v, and %v of a program that is not kept among the kernel's", resident, other)
	}
}

func rxPackets(t *testing.T, iface string) uint64 {
	t.Helper()
	out, err := exec.Command("ip", "-s", "link", "show", iface).Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(out), "\n")
	for i, l := range lines {
		if strings.Contains(l, "RX:") {
			n, err := strconv.ParseUint(strings.Fields(lines[i+1])[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no counters in %s", out)
	return 0
}
