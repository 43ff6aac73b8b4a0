package dpi_test

import (
	"bytes"
	"context"
	"iter"
	"testing"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/dpi"
	capturefiles "github.com/weirflow/weir/tools/captures"
	"github.com/weirflow/weir/userspace"
)

// A feed is a Source of flows of which nothing is there but their samples.
type feed struct {
	flows   iter.Seq[[]userspace.Sample]
	samples userspace.SampleFunc
	// before is called ahead of each flow, with their number so far.
	before func(n uint64)
	first  uint64 // id of the flow before the first
	ledger userspace.Ledger
}

// Ledger implements userspace.Source; of a test's own goroutine, as all of it.
func (s *feed) Ledger() userspace.Ledger { return s.ledger }

// Flows implements userspace.Source.
func (s *feed) Flows(context.Context) iter.Seq2[*userspace.Flow, error] {
	return func(yield func(*userspace.Flow, error) bool) {
		n := uint64(0)
		for list := range s.flows {
			if s.before != nil {
				s.before(n)
			}
			n++
			r := bpf.Record{FlowId: s.first + n, EndReason: 1}
			for i := range list {
				list[i].FlowID, list[i].Part, list[i].Number = r.FlowId, 0, uint8(i)
				s.samples(&list[i])
				r.Dir[0].Packets++
				r.Dir[0].Octets += uint64(list[i].WireLength)
			}
			if !yield(&userspace.Flow{Record: r}, nil) {
				return
			}
		}
	}
}

// An ordeal is what came out of a feed.
type ordeal struct {
	flows, crashed uint64
	labels         map[string]int
}

// endure drains a feed through a worker, and wants every flow of it, in order,
// with a label or with the reason that there is none.
func endure(t testing.TB, w *dpi.Worker, s *feed) ordeal {
	t.Helper()
	o := ordeal{labels: map[string]int{}}
	s.samples = w.Sample
	var octets uint64
	for f, err := range w.Wrap(s, nil).Flows(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		o.flows++
		octets += f.Record.Dir[0].Octets
		l7 := f.L7
		switch {
		case f.Record.FlowId != s.first+o.flows:
			t.Fatalf("flow %d came in the place of %d", f.Record.FlowId, s.first+o.flows)
		case l7 == nil:
			t.Fatalf("flow %d came without L7", f.Record.FlowId)
		case l7.Reason == "engine_crashed":
			o.crashed++
		}
		if l7.Reason != "" && (l7.ApplicationName != "Unknown" || l7.ApplicationConfidence != 0) {
			t.Fatalf("flow %d has reason %q and label %q", f.Record.FlowId, l7.Reason, l7.ApplicationName)
		}
		o.labels[l7.ApplicationName]++
	}
	return o
}

// flowSamples are the samples of each flow of a capture.
func flowSamples(t testing.TB, path string) (flows [][]userspace.Sample) {
	t.Helper()
	index := map[uint64]int{}
	for _, list := range load(t, path) {
		c := userspace.DefaultConfig()
		c.Samples, c.SampleOctets = dpi.DefaultDissections, userspace.SampleOctetsMax
		m, err := userspace.NewMeter(&capturefiles.Packets{List: list}, userspace.WithConfig(c), userspace.WithSamples(func(s *userspace.Sample) {
			i, known := index[s.FlowID]
			if !known {
				i = len(flows)
				index[s.FlowID], flows = i, append(flows, nil)
			}
			kept := *s
			kept.Packet = bytes.Clone(s.Packet)
			flows[i] = append(flows[i], kept)
		}))
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range m.Flows(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
		}
		clear(index)
	}
	return flows
}
