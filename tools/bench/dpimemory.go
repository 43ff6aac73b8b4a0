package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/weirflow/weir/dpi"
	"github.com/weirflow/weir/tools/procstatus"
	"github.com/weirflow/weir/userspace"
)

// openFlows is how many flows are held open to see what one takes.
const openFlows = 20_000

// memoryPerFlow prints what the DPI process grows by for each flow of which it
// was shown so much, and which has not closed. Flows are those of the capture,
// again and again under new numbers.
func memoryPerFlow(out io.Writer, h *inspected) error {
	flows := h.byFlow()
	fmt.Fprintf(out, "Memory of the DPI process for each flow of %d that have not closed; nDPI is done with some\n\n", openFlows)
	for _, shown := range []int{1, 2, 4, dpi.DefaultDissections} {
		octets, err := grow(flows, shown)
		if err != nil {
			return fmt.Errorf("measure DPI's memory: %w", err)
		}
		fmt.Fprintf(out, "%-34s %10d octets\n", fmt.Sprintf("up to %d packets inspected", shown), octets)
	}
	fmt.Fprintln(out)
	return nil
}

// byFlow is the samples of each flow.
func (h *inspected) byFlow() [][]*userspace.Sample {
	flows := make([][]*userspace.Sample, h.flows)
	for n := range h.events {
		if e := &h.events[n]; !e.closes {
			flows[e.flow] = append(flows[e.flow], &e.sample)
		}
	}
	return flows
}

func grow(flows [][]*userspace.Sample, shown int) (octets int, err error) {
	w, err := dpi.Start(context.Background(), dpi.Options{MaxFlows: 2 * openFlows})
	if err != nil {
		return 0, err
	}
	defer w.Close()
	before := residentChildren()
	for id := range openFlows {
		flow := flows[id%len(flows)]
		for _, s := range flow[:min(shown, len(flow))] {
			again := *s
			again.FlowID, again.Part = uint64(id), 0
			w.Sample(&again)
		}
	}
	for range 1000 {
		if s := w.Stats(); s.Shown+s.Rejected == s.Samples || s.Crashes > 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if s := w.Stats(); s.Evicted > 0 || s.Crashes > 0 || s.SamplesDropped > 0 {
		return 0, fmt.Errorf("not all flows are held: %+v", s)
	}
	return (residentChildren() - before) * 1024 / openFlows, nil
}

// residentChildren is VmRSS of this process's children in KiB.
func residentChildren() (kib int) {
	for _, p := range procstatus.All() {
		if p.Number("PPid") == os.Getpid() {
			kib += p.Number("VmRSS")
		}
	}
	return kib
}
