package loader_test

import (
	"context"
	"encoding/binary"
	"testing"
	"time"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/loader"
	"github.com/weirflow/weir/tools/flowgen"
	"github.com/weirflow/weir/tools/soak"
	"github.com/weirflow/weir/userspace"
)

// mark is what a load is to come to, in frames a second, in soak.
const mark = 1e6

// A generated flow is known by its kind and its number.
type generated struct {
	v6       bool
	protocol uint8
	number   uint32
}

func generatedOf(f *userspace.Flow) generated {
	client := f.Source()
	if f.SourcePort() == 443 {
		client = f.Destination()
	}
	a := client.As16()
	return generated{v6: !client.Is4(), protocol: f.Record.Key.Protocol, number: binary.BigEndian.Uint32(a[12:]) & (flowgen.MaxFlows - 1)}
}

// What the records of a flow add up to.
type sum struct {
	records int
	userspace.Count
}

// A reading collects what a consumer hands out while frames go on arriving.
type reading struct {
	t     *testing.T
	c     *userspace.Consumer
	stop  context.CancelFunc
	ended chan error
	flows map[generated]sum // those that keep says
}

// read starts to.
func read(t *testing.T, c *userspace.Consumer, keep func(generated) bool) *reading {
	ctx, stop := context.WithCancel(context.Background())
	r := &reading{t: t, c: c, stop: stop, ended: make(chan error, 1), flows: map[generated]sum{}}
	returned := make(chan struct{})
	t.Cleanup(func() { stop(); <-returned }) // before the consumer is closed
	go func() {
		defer close(returned)
		for f, err := range c.Flows(ctx) {
			if err != nil {
				r.ended <- err
				return
			}
			if id := generatedOf(f); keep(id) {
				s := r.flows[id]
				s.records++
				s.Count = s.Plus(userspace.Count{Packets: f.Packets(), Octets: f.Octets()})
				r.flows[id] = s
			}
		}
		r.ended <- nil
	}()
	return r
}

// end waits until nothing is under way, drains, and holds the ledger to itself
// and to what was sent.
func (r *reading) end(sent userspace.Count) userspace.Ledger {
	r.t.Helper()
	time.Sleep(50 * time.Millisecond)
	r.stop()
	if err := <-r.ended; err != nil {
		r.t.Fatal(err)
	}
	l := r.c.Ledger()
	if err := l.Check(); err != nil {
		r.t.Errorf("%v\n%+v", err, l)
	}
	switch {
	case l.NIC == nil:
		r.t.Error("the ledger has no interface counter")
	case l.NIC.Low != l.NIC.High || l.NIC.Low != l.Observed:
		r.t.Errorf("the interface counted %+v, observed are %+v: want equal, with nothing under way", *l.NIC, l.Observed)
	}
	if l.Observed != sent {
		r.t.Errorf("observed %+v, sent %+v", l.Observed, sent)
	}
	return l
}

func everyFlow(generated) bool { return true }

func million(n uint64, took time.Duration) float64 { return float64(n) / took.Seconds() / 1e6 }

// holdToMark wants a load to have come to the mark, in soak, for which the machine is
// to have nothing else to do: in a flood the two CPUs that send are also to close flows
// and to read them.
func holdToMark(t *testing.T, packets uint64, took time.Duration) {
	t.Helper()
	if rate := float64(packets) / took.Seconds(); soak.Full() && rate < mark {
		t.Errorf("%.2f M frames/s, want %.0f M: is the machine busy?", rate/1e6, mark/1e6)
	}
}

// Frames of 60 to 1514 octets, of both versions and protocols, in 20 orders, from two
// CPUs at once.
func TestA1LoadOfLiveFramesLeavesNothing(t *testing.T) {
	l := newLoad(t)
	o := options()
	r := read(t, consumer(t, attach(t, o, nearName), o), everyFlow)
	const flows, seeds, kinds, portion = 800, 20, 8, 3125
	frames := [][]byte{
		template(flowgen.TCP4, 60), template(flowgen.UDP6, 78), template(flowgen.UDP4, 129), template(flowgen.TCP6, 594),
		template(flowgen.UDP4, 60), template(flowgen.TCP6, 74), template(flowgen.TCP4, 1514), template(flowgen.UDP6, 1514),
	}
	cpus := loadedCPUs()
	rounds := soak.Of(1_000_000, 100_000_000) / seeds / kinds / portion / cpus
	want := map[generated]sum{}
	var took time.Duration
	for seed := range uint64(seeds) {
		took += l.sendOnEachCPU(flows, seed, frames, portion, rounds)
		expect(want, flowgen.NewSequence(flows, seed), frames, portion, rounds, cpus)
	}
	ledger := r.end(l.sent)
	for id, w := range want {
		if got := r.flows[id]; got.Count != w.Count {
			t.Fatalf("flow %+v: %+v, sent %+v", id, got, w.Count)
		}
	}
	if len(r.flows) != len(want) || ledger.Lost.Packets != 0 {
		t.Errorf("%d flows, want %d; lost %+v", len(r.flows), len(want), ledger.Lost)
	}
	holdToMark(t, l.sent.Packets, took)
	t.Logf("measured: %d frames in %d orders from %d CPUs at %.2f M/s, every count of %d flows exact, L1 to L4 residual 0",
		l.sent.Packets, seeds, cpus, million(l.sent.Packets, took), len(want))
}

// expect adds what so many generators send of a sequence, each all of it.
func expect(want map[generated]sum, s *flowgen.Sequence, frames [][]byte, portion, rounds, senders int) {
	for range rounds {
		for _, frame := range frames {
			id := generated{v6: frame[12] == 0x86}
			if id.protocol = frame[23]; id.v6 {
				id.protocol = frame[20]
			}
			for range portion {
				id.number, _ = s.Next()
				w := want[id]
				w.Count = w.Plus(countOf(frame, senders))
				want[id] = w
			}
		}
	}
}

// A flood of flows into a full table, beside flows that were there before it.
type flood struct {
	name     string
	frame    []byte
	forward  bool          // never back
	entries  int           // of the table
	duration time.Duration // at least, and until there were more than twice as many flows as entries
}

// pressed is how many sweeps it takes at least until what was quiet for the least time is
// closed: one before the flood, one in which it is found, four of growing pressure.
const pressed = 6

func TestA5FloodOfRandomTuplesLeavesEstablishedFlowsExact(t *testing.T) {
	flood{"random tuples", template(flowgen.UDP4, 60), false, 262_144, soak.Of(5*time.Second, time.Minute)}.run(t)
}

func TestA6FloodOfSYNsLeavesEstablishedFlowsExact(t *testing.T) {
	flood{"SYNs to one port", synOf(template(flowgen.TCP4, 60)), true, soak.Of(65_536, 262_144), soak.Of(2*time.Second, time.Minute)}.run(t)
}

func (f flood) run(t *testing.T) {
	l := newLoad(t)
	o := options()
	o.Config.MaxFlows, o.RingOctets = f.entries, 16<<20
	a := attach(t, o, nearName)
	c := consumer(t, a, o)
	r := read(t, c, func(id generated) bool { return id.v6 })
	const established = 1000
	flooding := flowgen.Options{Flows: flowgen.MaxFlows, Seed: 2, Forward: f.forward}
	steady, many := l.generator(established, 1), l.generatorOf(flooding)
	frame := template(flowgen.TCP6, 100)
	rounds := uint64(20)
	l.send(steady, frame, 20*established)
	began, longest := time.Now(), time.Duration(0)
	flooding.Seed = 4
	stop := l.floodFromOtherCPU(f.frame, flooding)
	for time.Since(began) < f.duration || l.sent.Packets < 2*uint64(f.entries) || c.Sweeps() < pressed {
		round := time.Now()
		l.send(many, f.frame, floodPortion)
		l.send(steady, frame, established)
		rounds++
		longest = max(longest, time.Since(round))
	}
	stop()
	took, flooded := time.Since(began), l.sent.Packets
	holdToMark(t, flooded, took)
	admitted := l.untilAdmitted(a, c, nil)
	if admitted.sweeps > 2 {
		t.Errorf("new flows are admitted %s after the flood, want 2 sweeps at most", admitted)
	}
	ledger := r.end(l.sent)
	// Pressure closes what was quiet for a second: so long must no round have
	// taken for a flow to be one record.
	parted := 0
	for n := range uint32(established) {
		got := r.flows[generated{true, 6, n}]
		if want := (userspace.Count{Packets: rounds, Octets: rounds * uint64(len(frame))}); got.Count != want {
			t.Fatalf("established flow %d: %+v, want %+v", n, got, want)
		}
		if got.records != 1 {
			parted++
		}
	}
	if parted > 0 && longest < 500*time.Millisecond {
		t.Errorf("%d established flows are of several records, and none was quiet for more than %v", parted, longest)
	}
	if ledger.TableFull == 0 || ledger.EndReasons[bpf.WeirFlowEndReasonEND_LACK_OF_RESOURCES] == 0 {
		t.Errorf("full %d times, end reasons %v: want both of a full table", ledger.TableFull, ledger.EndReasons)
	}
	t.Logf("measured: %s for %.0f s at %.2f M/s from %d CPUs into %d entries: %d established flows exact (%d packets each, %d of more than one record), residual 0, "+
		"table full %d times, %d lost and counted, %d flows ended by reason 5, new flows admitted %s after",
		f.name, took.Seconds(), million(flooded, took), loadedCPUs(), f.entries, established, rounds, parted,
		ledger.TableFull, ledger.Lost.Packets, ledger.EndReasons[bpf.WeirFlowEndReasonEND_LACK_OF_RESOURCES], admitted)
}

// refused is how many packets have found the table full, and the ring as well.
func refused(t *testing.T, a *loader.Attachment) (full, lost uint64) {
	t.Helper()
	for _, p := range a.Handles().Points {
		var cpus []bpf.LedgerCount
		if err := a.Handles().Ledgers.Lookup(uint32(p.Index), &cpus); err != nil {
			t.Fatal(err)
		}
		for i := range cpus {
			full += cpus[i].TableFull
			lost += cpus[i].LostPackets
		}
	}
	return full, lost
}

// Nobody reads the ring while more flows arrive than the table holds.
func TestA4StoppedConsumerCostsSinglePacketsOnly(t *testing.T) {
	l := newLoad(t)
	o := options()
	a := attach(t, o, nearName)
	c := consumer(t, a, o)
	const established = 1000
	steady, many := l.generator(established, 1), l.generator(flowgen.MaxFlows, 2)
	frame := template(flowgen.TCP6, 100)
	rounds, stopped := uint64(1), soak.Of(2*time.Second, 10*time.Second)
	l.send(steady, frame, established)
	began, flood := time.Now(), template(flowgen.UDP4, 60)
	stop := l.floodFromOtherCPU(flood, flowgen.Options{Flows: flowgen.MaxFlows, Seed: 4})
	for time.Since(began) < stopped {
		l.send(steady, frame, established)
		l.send(many, flood, floodPortion)
		rounds++
	}
	stop()
	took, flooded := time.Since(began), l.sent.Packets
	// It goes on, and so do the established flows.
	r := read(t, c, func(id generated) bool { return id.v6 })
	again := l.untilAdmitted(a, c, func() {
		l.send(steady, frame, established)
		rounds++
	})
	if again.took > soak.Of(20*time.Second, 2*time.Second) {
		t.Errorf("it is steady again only %v after it goes on", again)
	}
	ledger := r.end(l.sent)
	for n := range uint32(established) {
		got := r.flows[generated{true, 6, n}]
		if want := (sum{1, userspace.Count{Packets: rounds, Octets: rounds * uint64(len(frame))}}); got != want {
			t.Fatalf("established flow %d: %+v, want %+v", n, got, want)
		}
	}
	if ledger.Lost.Packets == 0 {
		t.Error("nothing lost: the ring was not full")
	}
	holdToMark(t, flooded, took)
	t.Logf("measured: not read for %.0f s at %.2f M/s from %d CPUs: %d aggregated flows lose 0, %d single packets lost and counted, residual 0; steady again %s after",
		took.Seconds(), million(flooded, took), loadedCPUs(), established, ledger.Lost.Packets, again)
}

// A drain hands out every flow that is open.
func TestC1DrainOfManyFlows(t *testing.T) {
	l := newLoad(t)
	o := options()
	flows := soak.Of(100_000, 1_000_000)
	o.Config.MaxFlows, o.RingOctets = 1<<20, 16<<20
	o.Config.IdleTimeout = time.Hour
	r := read(t, consumer(t, attach(t, o, nearName), o), func(generated) bool { return false })
	g := l.generator(uint32(flows), 1)
	for range 2 {
		l.send(g, template(flowgen.UDP4, 60), flows)
	}
	began := time.Now()
	ledger := r.end(l.sent)
	took := time.Since(began)
	if ledger.Flows != uint64(flows) || ledger.EndReasons[bpf.WeirFlowEndReasonEND_FORCED] != uint64(flows) {
		t.Errorf("%d flows, by end reason %v; want %d ended by force", ledger.Flows, ledger.EndReasons, flows)
	}
	if took > 5*time.Second {
		t.Errorf("the drain takes %v", took)
	}
	t.Logf("measured: %d open flows drained in %.1f s, residual 0", flows, took.Seconds())
}
