package main

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/bpftest"
	"github.com/weirflow/weir/tools/flowgen"
)

// tableFlows bounds both tables; weir's default.
const tableFlows = 262144

// A contender is a program under test behind a generator of its own.
type contender struct {
	name      string
	generator *flowgen.Generator
	// counted reads how many packets the program accounted for.
	counted func() (uint64, error)
	close   func()
	// instructions are those left after loading, 0 where not asked for.
	instructions int
	nanos        []float64 // a packet, generator included; one a round
}

// A variant is weir's program with some groups, as a process with or without
// CAP_PERFMON loads it.
type variant struct {
	name           string
	groups         bpf.Groups
	withoutPerfmon bool
}

// What is off is taken out of the program when it is loaded: the number of
// instructions that are left shows it.
var weirVariants = []variant{
	{"weir", bpf.Groups{}, false},
	{"weir without CAP_PERFMON", bpf.Groups{}, true},
	{"weir --statistics", bpf.Groups{Statistics: true}, false},
	{"weir --splt 20", bpf.Groups{SPLT: 20}, false},
	{"weir --tcp-statistics", bpf.Groups{TCPStatistics: true}, false},
	{"weir --ip-statistics", bpf.Groups{IPStatistics: true}, false},
	{"weir --tcp-end", bpf.Groups{TCPEnd: true}, false},
	{"weir --statistics --splt 20", bpf.Groups{Statistics: true, SPLT: 20}, false},
	{"weir with all of them", bpf.Groups{TCPEnd: true, IPStatistics: true, TCPStatistics: true, Statistics: true, SPLT: 20}, false},
}

// benchKernel measures at each number of flows, all contenders in turn, and
// prints the least time of each: on a shared machine the rest is neighbours.
func benchKernel(out io.Writer, rounds, packets int) error {
	fmt.Fprintf(out, "Kernel: ns a packet under BPF_PROG_TEST_RUN, least of %d interleaved rounds of %d packets\n", rounds, packets)
	fmt.Fprintf(out, "(net: less the generator and XDP_PASS behind it; counters: net, in times the minimal counter's;\n")
	fmt.Fprintf(out, "instructions: what is left of the program once the kernel has removed what is off)\n\n")
	for _, flows := range []uint32{1_000, 100_000} {
		if err := benchFlows(out, flows, rounds, packets); err != nil {
			return fmt.Errorf("kernel at %d flows: %w", flows, err)
		}
	}
	return nil
}

func benchFlows(out io.Writer, flows uint32, rounds, packets int) error {
	contenders, err := enter(flows)
	defer closeAll(contenders)
	if err != nil {
		return err
	}
	frame := flowgen.Template(flowgen.TCP4, 64, [2][6]byte{{2, 0, 0, 0, 0, 2}, {2, 0, 0, 0, 0, 1}})
	if err := takeTurns(contenders, frame, int(2*flows), rounds, packets); err != nil {
		return err
	}
	printKernel(out, flows, contenders)
	return settle(contenders)
}

func enter(flows uint32) ([]contender, error) { return enterVariants(flows, weirVariants) }

// enterVariants loads XDP_PASS, the counter, and weir's program in each variant. What
// it returns is to be closed also after an error.
func enterVariants(flows uint32, variants []variant) (contenders []contender, err error) {
	entrants := []func(*flowgen.Generator) (contender, error){enterPass, enterCounter}
	for _, v := range variants {
		entrants = append(entrants, func(g *flowgen.Generator) (contender, error) { return enterWeir(g, &v) })
	}
	for _, entrant := range entrants {
		g, err := flowgen.Load(flowgen.Options{Flows: flows, Seed: 1})
		if err != nil {
			return contenders, err
		}
		c, err := entrant(g)
		if err != nil {
			g.Close()
			return contenders, err
		}
		contenders = append(contenders, c)
	}
	return contenders, nil
}

func enterPass(g *flowgen.Generator) (contender, error) {
	return contender{name: "XDP_PASS", generator: g, close: func() { g.Close() }}, g.Chain(g.Pass())
}

func enterCounter(g *flowgen.Generator) (contender, error) {
	var objects CounterObjects
	if err := LoadCounterObjects(&objects, nil); err != nil {
		return contender{}, fmt.Errorf("load counter: %w", err)
	}
	c := contender{name: "minimal counter", generator: g, counted: func() (uint64, error) { return countedBy(objects.Counts) }}
	c.close = func() { g.Close(); objects.Close() }
	return c, g.Chain(objects.Counter)
}

func countedBy(counts *ebpf.Map) (packets uint64, err error) {
	var key bpf.Key
	var count CounterCount
	entries := counts.Iterate()
	for entries.Next(&key, &count) {
		packets += count.Packets
	}
	if err := entries.Err(); err != nil {
		return 0, fmt.Errorf("read counter: %w", err)
	}
	return packets, nil
}

func (v *variant) object() (*ebpf.CollectionSpec, error) {
	if v.withoutPerfmon {
		return bpf.LoadWeirCopied()
	}
	return bpf.LoadWeir()
}

func (v *variant) load(spec *ebpf.CollectionSpec) (loaded *ebpf.Collection, err error) {
	caps := []int{unix.CAP_BPF, unix.CAP_NET_ADMIN}
	if !v.withoutPerfmon {
		caps = append(caps, unix.CAP_PERFMON)
	}
	restricted := bpftest.Restrict(caps, func() { loaded, err = ebpf.NewCollection(spec) })
	return loaded, errors.Join(err, restricted)
}

func enterWeir(g *flowgen.Generator, v *variant) (contender, error) {
	spec, err := v.object()
	if err != nil {
		return contender{}, fmt.Errorf("read weir's object: %w", err)
	}
	if err := bpf.SetGroups(spec, v.groups); err != nil {
		return contender{}, err
	}
	spec.Maps["flows"].MaxEntries = tableFlows
	for p := range spec.Programs {
		if p != "weir_xdp_in" {
			delete(spec.Programs, p)
		}
	}
	loaded, err := v.load(spec)
	if err != nil {
		return contender{}, fmt.Errorf("load weir: %w", err)
	}
	c := contender{name: v.name, generator: g, counted: func() (uint64, error) { return meteredBy(loaded.Maps["ledgers"]) }}
	c.close = func() { g.Close(); loaded.Close() }
	if c.instructions, err = instructionsOf(loaded.Programs["weir_xdp_in"]); err != nil {
		return c, err
	}
	return c, g.Chain(loaded.Programs["weir_xdp_in"])
}

func instructionsOf(program *ebpf.Program) (int, error) {
	info, err := program.Info()
	if err != nil {
		return 0, fmt.Errorf("ask for the loaded program: %w", err)
	}
	octets, err := info.TranslatedSize()
	if err != nil {
		return 0, fmt.Errorf("ask for the loaded program's size: %w", err)
	}
	return octets / asm.InstructionSize, nil
}

// meteredBy is what went into records, overflow and loss not included.
func meteredBy(ledgers *ebpf.Map) (packets uint64, err error) {
	var cpus []bpf.LedgerCount
	if err := ledgers.Lookup(uint32(0), &cpus); err != nil {
		return 0, fmt.Errorf("read weir's ledger: %w", err)
	}
	for _, l := range cpus {
		packets += l.MeteredPackets - l.OverflowPackets - l.LostPackets
	}
	return packets, nil
}

// settle refuses figures of a program that did not do its work.
func settle(contenders []contender) error {
	for _, c := range contenders {
		if c.counted == nil {
			continue
		}
		sent, err := c.generator.Ledger()
		if err != nil {
			return err
		}
		counted, err := c.counted()
		if err != nil {
			return err
		}
		if counted != sent.Packets {
			return fmt.Errorf("%s accounted for %d of %d packets: its time means nothing", c.name, counted, sent.Packets)
		}
	}
	return nil
}

func printKernel(out io.Writer, flows uint32, contenders []contender) {
	harness := slices.Min(contenders[0].nanos)
	counter := slices.Min(contenders[1].nanos) - harness
	fmt.Fprintf(out, "%-30s %8s %8s %8s %8s %13s\n", fmt.Sprintf("%d flows", flows), "gross", "median", "net", "counters", "instructions")
	for _, c := range contenders {
		least := slices.Min(c.nanos)
		fmt.Fprintf(out, "%-30s %8.0f %8.0f %8.0f", c.name, least, median(c.nanos), least-harness)
		if c.counted != nil && counter > 0 {
			fmt.Fprintf(out, " %8.2f", (least-harness)/counter)
		}
		if c.instructions > 0 {
			fmt.Fprintf(out, " %13d", c.instructions)
		}
		fmt.Fprintln(out)
	}
	fmt.Fprintln(out)
}

func median(v []float64) float64 {
	sorted := slices.Sorted(slices.Values(v))
	return sorted[len(sorted)/2]
}
