package flowgen

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Options shape what a Generator sends.
type Options struct {
	Flows uint32 // 1 to MaxFlows
	Seed  uint64 // the order of the flows
	// Forward has all packets go from client to server, where else those of a
	// flow go back and forth. The order of the flows is the same.
	Forward bool
	// Ifindex is the interface that live frames leave from, 0 for none. A
	// packet that leaves one end of a veth pair is received by the other, which
	// takes it only if it runs a native XDP program or has NAPI switched on.
	Ifindex int
	// CPU is the one that everything runs on. Each CPU has a Sequence of its own.
	CPU int
}

// A Ledger is what a Generator has sent.
type Ledger struct {
	Packets  uint64
	Octets   uint64 // of frames
	Reversed uint64 // of the packets, those from server to client
}

// A Generator holds the loaded programs. It is for use by one goroutine.
type Generator struct {
	objects   FlowgenObjects
	residence *residence // of the program for live frames, if there is an interface
	options   Options
}

// Load loads the generator programs. The caller closes the Generator.
func Load(o Options) (*Generator, error) {
	if o.Flows < 1 || o.Flows > MaxFlows {
		return nil, fmt.Errorf("load generator: %d flows: want 1 to %d", o.Flows, MaxFlows)
	}
	spec, err := LoadFlowgen()
	if err != nil {
		return nil, fmt.Errorf("load generator: read object: %w", err)
	}
	for name, value := range map[string]any{
		"cfg_flows":   o.Flows,
		"cfg_seed":    o.Seed,
		"cfg_steps":   steps(o.Flows, o.Seed),
		"cfg_ifindex": uint32(o.Ifindex),
		"cfg_forward": o.Forward,
	} {
		if err := spec.Variables[name].Set(value); err != nil {
			return nil, fmt.Errorf("load generator: set %s: %w", name, err)
		}
	}
	g := &Generator{options: o}
	if err := spec.LoadAndAssign(&g.objects, nil); err != nil {
		return nil, fmt.Errorf("load generator (needs CAP_BPF and CAP_NET_ADMIN): %w", err)
	}
	if o.Ifindex == 0 {
		return g, nil
	}
	if g.residence, err = reside(g.objects.FlowgenLive); err != nil {
		return nil, errors.Join(fmt.Errorf("load generator: %w", err), g.objects.Close())
	}
	return g, nil
}

// Close unloads the programs.
func (g *Generator) Close() error {
	if g.residence == nil {
		return g.objects.Close()
	}
	return errors.Join(g.residence.Close(), g.objects.Close())
}

// Chain puts the program under test, of type xdp.frags, behind the generator.
func (g *Generator) Chain(p *ebpf.Program) error {
	if err := g.objects.Chained.Put(uint32(0), p); err != nil {
		return fmt.Errorf("chain %v behind the generator (both must be xdp.frags): %w", p, err)
	}
	return nil
}

// Pass is a program that does nothing but XDP_PASS: what the harness costs.
func (g *Generator) Pass() *ebpf.Program { return g.objects.FlowgenPass }

// Run runs the chained program over packets made from frame, and returns the
// kernel's own mean time a packet, the generator's included.
func (g *Generator) Run(frame []byte, packets int) (perPacket time.Duration, err error) {
	err = onCPU(g.options.CPU, func() error {
		var verdict uint32
		verdict, perPacket, err = g.objects.FlowgenChain.Benchmark(frame, packets, nil)
		if err == nil && verdict == xdpAborted {
			err = fmt.Errorf("the frame is too short, or no program is chained")
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("run generator over %d packets: %w", packets, err)
	}
	return perPacket, nil
}

// Live sends packets made from frame out of the interface, batch (at most 256)
// in one go. Each is counted when it is handed to the interface. A call costs
// what some hundred frames do.
func (g *Generator) Live(frame []byte, packets, batch uint32) error {
	if err := g.raiseLimit(uint64(packets)); err != nil {
		return fmt.Errorf("send live frames: %w", err)
	}
	err := onCPU(g.options.CPU, func() error {
		_, err := g.objects.FlowgenLive.Run(&ebpf.RunOptions{
			Data: frame, Repeat: packets, BatchSize: batch, Flags: unix.BPF_F_TEST_XDP_LIVE_FRAMES,
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("send %d live frames of %d octets into interface %d: %w",
			packets, len(frame), g.options.Ifindex, err)
	}
	return nil
}

// Ledger is what was generated so far, by Run and by Live.
func (g *Generator) Ledger() (Ledger, error) {
	var cpus []FlowgenProgress
	if err := g.objects.Progresses.Lookup(uint32(0), &cpus); err != nil {
		return Ledger{}, fmt.Errorf("read generator ledger: %w", err)
	}
	var l Ledger
	for _, p := range cpus {
		l.Packets += p.Packets
		l.Octets += p.Octets
		l.Reversed += p.Reversed
	}
	return l, nil
}

// raiseLimit allows so many packets more. Nothing else writes the entry now.
func (g *Generator) raiseLimit(packets uint64) error {
	var cpus []FlowgenProgress
	if err := g.objects.Progresses.Lookup(uint32(0), &cpus); err != nil {
		return err
	}
	for i := range cpus {
		cpus[i].Limit = cpus[i].Packets + packets
	}
	return g.objects.Progresses.Put(uint32(0), cpus)
}

const xdpAborted = 0

// onCPU runs f with the calling thread bound to one CPU, and unbinds it after.
func onCPU(cpu int, f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return fmt.Errorf("read CPU affinity: %w", err)
	}
	one.Set(cpu)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return fmt.Errorf("bind to CPU %d: %w", cpu, err)
	}
	defer unix.SchedSetaffinity(0, &before) //nolint:errcheck // the set was read from the kernel a moment ago
	return f()
}
