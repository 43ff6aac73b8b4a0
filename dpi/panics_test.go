package dpi_test

import (
	"context"
	"errors"
	"iter"
	"testing"

	"github.com/weirflow/weir/dpi"
	"github.com/weirflow/weir/userspace"
)

// grumpy is a script that panics when it is told to stop samples, and at its end.
type grumpy struct{ *script }

func (grumpy) StopSamples(uint64, uint32) { panic("samples go on") }

func (g grumpy) Flows(ctx context.Context) iter.Seq2[*userspace.Flow, error] {
	return func(yield func(*userspace.Flow, error) bool) {
		g.script.Flows(ctx)(yield)
		panic("no more")
	}
}

// What a program gives a Worker runs in goroutines of the worker's: a panic there
// would end the program.
func TestC5PanicsBesideAWorkerCostTheirFeatureOnly(t *testing.T) {
	const flows = 1000
	w, s, _ := startScript(t, dpi.Options{Classified: func(*userspace.Label) { panic("no labels") }}, flows, func(items []item) {
		items[99].samples[0], items[199].samples[0] = labelPacket, donePacket
	})
	g := grumpy{s}
	o := drain(t, w.Wrap(g, g))
	o.inOrder(t, flows+1)
	var told *userspace.PanicError
	if len(o.errs) != 1 || !errors.As(o.errs[0], &told) || told.Value != "no more" {
		t.Errorf("errors %v", o.errs)
	}
	for id, l7 := range o.labels {
		if l7.ApplicationName != own(id, 2) {
			t.Fatalf("flow %d was labelled %q (%s)", id, l7.ApplicationName, l7.Reason)
		}
	}
	stats := w.Stats()
	if stats.Panics != 2 || stats.Crashes+stats.Hangs != 0 {
		t.Errorf("%+v", stats)
	}
	t.Logf("measured: %d flows of %d with their labels, %d panics over labels and samples, 1 of the source", len(o.labels), flows, stats.Panics)
}
