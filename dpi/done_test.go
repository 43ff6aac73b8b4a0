package dpi_test

import (
	"path/filepath"
	"testing"

	"github.com/weirflow/weir/dpi"
	"github.com/weirflow/weir/dpi/worker"
	"github.com/weirflow/weir/userspace"
)

// An inspection classifies in this process, so that a flow that is done is told
// to the meter before its next packet: sooner than any live meter hears of it.
type inspection struct {
	t       *testing.T
	i       worker.Inspector
	stop    userspace.DPIStopper // nil: nobody is told
	samples int
	stops   int
	labels  labelsByFlow
}

func inspect(t *testing.T) *inspection {
	t.Helper()
	i, _, err := worker.OpenNDPI(worker.Hello{Dissections: dpi.DefaultDissections, MaxFlows: dpi.DefaultMaxFlows, Details: true})
	if err != nil {
		t.Fatal(err)
	}
	return &inspection{t: t, i: i}
}

func (n *inspection) sample(s *userspace.Sample) {
	n.samples++
	if n.i.Sample(s) && n.stop != nil {
		n.stops++
		n.stop.StopSamples(s.FlowID, s.Part)
	}
}

// drain labels what the meter yields.
func (n *inspection) drain(src userspace.Source) *inspection {
	for f, err := range src.Flows(n.t.Context()) {
		if err != nil {
			n.t.Error(err)
			continue
		}
		verdict := n.i.Close(worker.FlowRef{FlowID: f.Record.FlowId, Part: f.Record.Part}, nil)
		if f.L7, err = worker.ParseVerdict(verdict); err != nil {
			n.t.Error(err)
			continue
		}
		n.labels.add(f)
	}
	n.i.End()
	return n
}

func inspectFile(t *testing.T, list []userspace.CapturedPacket, stop bool) *inspection {
	n := inspect(t)
	m := fileMeter(t, list, n.sample)
	if stop {
		n.stop = m
	}
	return n.drain(m)
}

func inspectKernel(t *testing.T, o objects, link uint32, list []userspace.CapturedPacket, stop bool) *inspection {
	n := inspect(t)
	m := o.meter(t, link, list, n.sample)
	if stop {
		n.stop = m
	}
	return n.drain(m)
}

// TestH13WhatFlowsTakeIsGivenBack shows one process's nDPI every capture, and wants it
// to hold little more when all flows have gone than before the first.
func TestH13WhatFlowsTakeIsGivenBack(t *testing.T) {
	needNDPI(t)
	n := inspect(t)
	before := n.i.Counts().Memory
	for round := range 2 {
		for _, path := range captures(t) {
			for _, list := range load(t, path) {
				m := fileMeter(t, list, n.sample)
				for f := range m.Flows(t.Context()) {
					if f != nil {
						n.i.Close(worker.FlowRef{FlowID: f.Record.FlowId, Part: f.Record.Part}, nil)
					}
				}
			}
		}
		held := n.i.Counts().Memory
		t.Logf("measured: nDPI holds %d octets before, %d after %d samples", before, held, n.samples)
		if before == 0 || round == 1 && held > before+before/4 {
			t.Errorf("nDPI holds %d octets, before the first flow %d", held, before)
		}
		if round == 0 {
			before = held // with its caches, and flows kept for reuse
		}
	}
	n.i.End()
}

// TestDoneNeverChangesALabel compares the labels of every capture with samples
// that end as soon as nDPI has seen enough of a flow, and with samples that go on.
func TestDoneNeverChangesALabel(t *testing.T) {
	needNDPI(t)
	var file, kernel, all, stops int
	o := objects{}
	for _, path := range captures(t) {
		for link, list := range load(t, path) {
			name := filepath.Base(path)
			want := inspectFile(t, list, false)
			inFile, inKernel := inspectFile(t, list, true), inspectKernel(t, o, link, list, true)
			inFile.labels.equal(t, name+", Go meter with stops", want.labels)
			inKernel.labels.equal(t, name+", kernel with stops", want.labels)
			inspectKernel(t, o, link, list, false).labels.equal(t, name+", kernel without stops", want.labels)
			all += want.samples
			file += inFile.samples
			kernel += inKernel.samples
			stops += inFile.stops
			if inFile.stops != inKernel.stops {
				t.Errorf("%s: %d flows are done in the Go meter, %d in the kernel", name, inFile.stops, inKernel.stops)
			}
		}
	}
	if stops == 0 || file >= all || kernel >= all {
		t.Errorf("%d flows were done; %d samples without stops, %d in the Go meter and %d in the kernel with them", stops, all, file, kernel)
	}
	t.Logf("%d flows were done early; %d samples without stops, %d in the Go meter and %d in the kernel with them", stops, all, file, kernel)
}
