package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/dpi"
	"github.com/weirflow/weir/dpi/worker"
	"github.com/weirflow/weir/userspace"
	"github.com/weirflow/weir/userspace/pcapfile"
)

// echoCommand makes this program a DPI process without nDPI: what it costs is
// what the way there and back does.
const echoCommand = "bench-echo"

// An echo answers every flow with the same verdict.
type echo struct{ shown uint64 }

func openEcho(worker.Hello) (worker.Inspector, string, error) { return &echo{}, "none", nil }

func (e *echo) Sample(*userspace.Sample) bool {
	e.shown++
	return false
}

func (e *echo) Close(_ worker.FlowRef, b []byte) []byte {
	const name = "None"
	return append(append(append(b, 0, 0, byte(len(name))), name...), 0, 0, 0, 0, 0, 0, 0)
}

// Quarantine does nothing: no sample kills it.
func (e *echo) Quarantine(*userspace.Sample) {}

func (e *echo) Label() []byte { return nil }

func (e *echo) Counts() worker.Ack { return worker.Ack{Shown: e.shown} }

func (e *echo) End() {}

// inspected is what a DPI process hears of a capture, in its order: samples, and
// flows that close.
type inspected struct {
	capture []byte
	packets int
	events  []event
	samples int
	flows   int
	numbers map[worker.FlowRef]int // flows, from 0
}

// An event is a sample, or the end of the flow that it names.
type event struct {
	sample userspace.Sample
	flow   int // by inspected.numbers
	closes bool
}

// hear meters a capture of the library, with nDPI saying which samples it wants.
func hear(l library, packets int) (*inspected, error) {
	var capture bytes.Buffer
	if _, _, err := writeCapture(&capture, l, packets); err != nil {
		return nil, err
	}
	i, _, err := worker.OpenNDPI(hello())
	if err != nil {
		return nil, err
	}
	defer i.End()
	h := &inspected{capture: capture.Bytes(), packets: packets, numbers: map[worker.FlowRef]int{}}
	var m *userspace.Meter
	m, err = h.meter(func(s *userspace.Sample) {
		h.note(s, false)
		if i.Sample(s) {
			m.StopSamples(s.FlowID, s.Part)
		}
	})
	if err != nil {
		return nil, err
	}
	for f, err := range m.Flows(context.Background()) {
		if err != nil {
			return nil, err
		}
		end := userspace.Sample{FlowID: f.Record.FlowId, Part: f.Record.Part}
		h.note(&end, true)
		i.Close(worker.FlowRef{FlowID: end.FlowID, Part: end.Part}, nil)
	}
	return h, nil
}

// note keeps an event, with a copy of the sample's packet.
func (h *inspected) note(s *userspace.Sample, closes bool) {
	ref := worker.FlowRef{FlowID: s.FlowID, Part: s.Part}
	flow, known := h.numbers[ref]
	if !known {
		flow = len(h.numbers)
		h.numbers[ref] = flow
	}
	kept := *s
	kept.Packet = bytes.Clone(s.Packet)
	h.events = append(h.events, event{sample: kept, flow: flow, closes: closes})
	if closes {
		h.flows++
	} else {
		h.samples++
	}
}

func hello() worker.Hello {
	return worker.Hello{Dissections: dpi.DefaultDissections, MaxFlows: dpi.DefaultMaxFlows}
}

// meter is a meter over the capture; without samples it takes none.
func (h *inspected) meter(samples userspace.SampleFunc) (*userspace.Meter, error) {
	r, err := pcapfile.NewReader(bytes.NewReader(h.capture))
	if err != nil {
		return nil, fmt.Errorf("read the capture: %w", err)
	}
	c := userspace.DefaultConfig()
	opts := []userspace.Option{}
	if samples != nil {
		c.Samples = dpi.DefaultDissections
		opts = append(opts, userspace.WithSamples(samples))
	}
	return userspace.NewMeter(r, append(opts, userspace.WithConfig(c))...)
}

// A dpiContender is a part of the way from packet to label, and the CPU time of
// its turns in seconds: over the capture, and over one without packets, as opening
// nDPI takes longer than many a flow.
type dpiContender struct {
	name      string
	run       func(h *inspected) error
	cpu, idle []float64
}

// ns is the least, less what there is without packets.
func (c *dpiContender) ns() float64 { return (slices.Min(c.cpu) - slices.Min(c.idle)) * 1e9 }

func (c *dpiContender) turn(h, empty *inspected) error {
	for _, t := range []struct {
		h  *inspected
		to *[]float64
	}{{h, &c.cpu}, {empty, &c.idle}} {
		before, err := cpuTime()
		if err != nil {
			return err
		}
		if err := c.run(t.h); err != nil {
			return fmt.Errorf("measure DPI: %s: %w", c.name, err)
		}
		after, err := cpuTime()
		if err != nil {
			return err
		}
		*t.to = append(*t.to, after-before)
	}
	return nil
}

func dpiContenders() []dpiContender {
	return []dpiContender{
		{name: "metering, no samples", run: meterAlone},
		{name: "metering, samples thrown away", run: meterSamples},
		{name: "nDPI", run: ndpiAlone},
		{name: "nDPI and weir's classifier", run: classify},
		{name: "the process without nDPI", run: throughProcess(echoCommand)},
		{name: "the process with nDPI", run: throughProcess(worker.Command)},
	}
}

// benchDPI prints what a label costs, by where.
func benchDPI(out io.Writer, l library, rounds, packets int) error {
	if !dpi.Available() {
		fmt.Fprintln(out, "DPI: not measured, this build holds no nDPI")
		return nil
	}
	h, err := hear(l, packets)
	if err != nil {
		return fmt.Errorf("measure DPI: %w", err)
	}
	empty, err := hear(l, 0)
	if err != nil {
		return fmt.Errorf("measure DPI: %w", err)
	}
	contenders := dpiContenders()
	for range rounds {
		for i := range contenders {
			if err := contenders[i].turn(h, empty); err != nil {
				return err
			}
		}
	}
	h.print(out, contenders, rounds)
	return memoryPerFlow(out, h)
}

func (h *inspected) print(out io.Writer, contenders []dpiContender, rounds int) {
	fmt.Fprintf(out, "DPI (nDPI %s): %d packets, %d of them inspected, %d flows; CPU of all processes, least of %d interleaved rounds\n\n",
		dpi.Version(), h.packets, h.samples, h.flows, rounds)
	fmt.Fprintf(out, "%-34s %10s %20s %10s\n", "", "ns/packet", "ns/inspected packet", "ns/flow")
	ns := make([]float64, len(contenders))
	row := func(name string, ns float64) {
		fmt.Fprintf(out, "%-34s %10.0f %20.0f %10.0f\n", name, ns/float64(h.packets), ns/float64(h.samples), ns/float64(h.flows))
	}
	for i := range contenders {
		ns[i] = contenders[i].ns()
		row(contenders[i].name, ns[i])
	}
	fmt.Fprintln(out)
	row("in nDPI", ns[2])
	row("in the IPC", ns[4])
	row("in weir: metering", ns[0])
	row("in weir: samples, what to show", max(0, ns[1]-ns[0])+max(0, ns[3]-ns[2]))
	fmt.Fprintln(out)
}

// cpuTime is what this process, and those it has waited for, have used in
// seconds.
func cpuTime() (sum float64, err error) {
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if err := unix.Getrusage(who, &u); err != nil {
			return 0, fmt.Errorf("read CPU time: %w", err)
		}
		sum += float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
	}
	return sum, nil
}

func meterAlone(h *inspected) error {
	m, err := h.meter(nil)
	if err != nil {
		return err
	}
	return h.drain(m)
}

func meterSamples(h *inspected) error {
	m, err := h.meter(func(*userspace.Sample) {})
	if err != nil {
		return err
	}
	return h.drain(m)
}

// drain wants all flows, lest what does not do its work wins.
func (h *inspected) drain(src userspace.Source) error {
	flows := 0
	for f, err := range src.Flows(context.Background()) {
		if err != nil {
			return err
		}
		if f.L7 != nil && f.L7.Reason != "" {
			return fmt.Errorf("flow %d has no label: %s", f.Record.FlowId, f.L7.Reason)
		}
		flows++
	}
	if flows != h.flows {
		return fmt.Errorf("%d of %d flows came out", flows, h.flows)
	}
	return nil
}

func classify(h *inspected) error {
	i, _, err := worker.OpenNDPI(hello())
	if err != nil {
		return err
	}
	defer i.End()
	var verdict []byte
	for n := range h.events {
		if e := &h.events[n]; e.closes {
			verdict = i.Close(worker.FlowRef{FlowID: e.sample.FlowID, Part: e.sample.Part}, verdict[:0])
		} else {
			i.Sample(&e.sample)
		}
	}
	if c := i.Counts(); c.Shown+c.Rejected != uint64(h.samples) {
		return fmt.Errorf("%d of %d samples were inspected", c.Shown+c.Rejected, h.samples)
	}
	return nil
}

// throughProcess sends all of it through a process.
func throughProcess(command string) func(*inspected) error {
	return func(h *inspected) error {
		w, err := dpi.Start(context.Background(), dpi.Options{Command: []string{command}})
		if err != nil {
			return err
		}
		defer w.Close()
		if err := h.drain(w.Wrap(&replayed{h: h, samples: w.Sample}, nil)); err != nil {
			return err
		}
		if s := w.Stats(); s.Shown+s.Rejected != uint64(h.samples) {
			return fmt.Errorf("%d of %d samples were inspected", s.Shown+s.Rejected, h.samples)
		}
		return w.Close()
	}
}

// replayed is a Source of what was heard.
type replayed struct {
	h       *inspected
	samples userspace.SampleFunc
}

// Ledger implements userspace.Source; flows without packets need none.
func (*replayed) Ledger() userspace.Ledger { return userspace.Ledger{} }

// Flows implements userspace.Source.
func (r *replayed) Flows(context.Context) iter.Seq2[*userspace.Flow, error] {
	return func(yield func(*userspace.Flow, error) bool) {
		for n := range r.h.events {
			e := &r.h.events[n]
			if !e.closes {
				r.samples(&e.sample)
			} else if !yield(&userspace.Flow{Record: bpf.Record{FlowId: e.sample.FlowID, Part: e.sample.Part}}, nil) {
				return
			}
		}
	}
}
