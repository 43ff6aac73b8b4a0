package main

import (
	"fmt"
	"maps"
	"os"
	"time"
)

// answerer tells how the run is, to those who ask by its control socket.
func (r *meterRun) answerer(a attached) func() *statusReport {
	version, attached := release(), time.Now()
	if p := a.Pinned(); p != nil {
		attached = p.Attached
	}
	return func() *statusReport {
		ledger := r.source.Ledger()
		return &statusReport{
			Version: version, Object: ledger.Object, Layout: ledger.Layout, Attached: attached, ReadBy: fmt.Sprintf("pid %d", os.Getpid()),
			Interfaces: statusOfInterfaces(a.Interfaces()), Ledger: statusOfLedger(&ledger), Outputs: r.outputs.status(),
		}
	}
}

// status tells how the outputs are. It may run while write does.
func (o *outputs) status() (all []outputStatus) {
	for _, out := range o.all {
		out.mu.Lock()
		s := outputStatus{out.sink.Name(), "written", out.flows, out.notSent, maps.Clone(out.causes)}
		switch {
		case out.gone:
			s.State = "its reader has left"
		case out.failed:
			s.State = "has failed"
		case out.waiting != nil:
			s.State = oneLine(out.waiting)
		}
		out.mu.Unlock()
		all = append(all, s)
	}
	return all
}
