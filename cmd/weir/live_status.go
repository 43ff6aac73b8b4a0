package main

import (
	"fmt"
	"maps"
	"os"
	"time"

	"github.com/weirflow/weir/bpf"
)

// answerer tells how the run is, to those who ask by its control socket.
func (r *meterRun) answerer(a attached) (func() *statusReport, error) {
	layout, err := bpf.LayoutHash()
	if err != nil {
		return nil, err
	}
	version, attached := release(), time.Now()
	if p := a.Pinned(); p != nil {
		attached = p.Attached
	}
	return func() *statusReport {
		ledger := r.source.Ledger()
		return &statusReport{
			Version: version, Object: bpf.ObjectHash(), Layout: layout, Attached: attached, ReadBy: fmt.Sprintf("pid %d", os.Getpid()),
			Interfaces: statusOfInterfaces(a.Interfaces()), Ledger: statusOfLedger(&ledger), Outputs: r.outputs.status(),
		}
	}, nil
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
