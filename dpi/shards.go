package dpi

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/dpi/worker"
	"github.com/weirflow/weir/userspace"
)

// WorkersMax is the most processes that a Worker may have.
const WorkersMax = 64

// shards are the processes that flows are spread over, each with what it takes to
// live without it.
type shards []*Worker

// startShards starts the processes one after the other: each has its share of the
// flows that may be under inspection.
func startShards(ctx context.Context, o Options) (shards, error) {
	o.MaxFlows = (o.MaxFlows + o.Workers - 1) / o.Workers
	o.Classified = inTurn(o.Classified)
	var all shards
	for range o.Workers {
		w, err := startOne(ctx, o)
		if err != nil {
			all.close()
			return nil, err
		}
		all = append(all, w)
	}
	return all, nil
}

// inTurn is classified, of which one call waits for another.
func inTurn(classified func(*userspace.Label)) func(*userspace.Label) {
	if classified == nil {
		return nil
	}
	var mu sync.Mutex
	return func(l *userspace.Label) {
		mu.Lock()
		defer mu.Unlock()
		classified(l)
	}
}

// of is the process for a flow. It is that for all flows between two hosts, since what
// nDPI learns of one flow it goes by in others between the same, or to the same.
func (all shards) of(key *bpf.Key) *Worker {
	if len(all) == 1 {
		return all[0]
	}
	const golden = 0x9e3779b97f4a7c15 // odd, and its bits without a pattern: they spread upwards, and come down by the shift
	sum := uint64(0)
	for _, end := range key.Addr {
		for i := 0; i < len(end); i += 8 {
			sum = (sum ^ binary.BigEndian.Uint64(end[i:])) * golden
			sum ^= sum >> 32
		}
	}
	return all[sum%uint64(len(all))]
}

func (all shards) close() {
	for _, w := range all {
		w.closeOne()
	}
}

func (all shards) flush() {
	for _, w := range all {
		w.out.flush()
	}
}

// begin is said when a Source starts: times of another one mean nothing to it.
func (all shards) begin(stop userspace.DPIStopper) {
	for _, w := range all {
		if stop != nil {
			w.stop.Store(&stop)
		}
		w.begin()
	}
}

// plus adds another process's.
func (s Stats) plus(o Stats) Stats {
	for _, c := range [...]struct{ to, from *uint64 }{
		{&s.Samples, &o.Samples}, {&s.SamplesDropped, &o.SamplesDropped}, {&s.Shown, &o.Shown}, {&s.Rejected, &o.Rejected},
		{&s.Evicted, &o.Evicted}, {&s.Unread, &o.Unread}, {&s.Flows, &o.Flows}, {&s.FlowsCrashed, &o.FlowsCrashed},
		{&s.FlowsEvicted, &o.FlowsEvicted}, {&s.FlowsQuarantined, &o.FlowsQuarantined}, {&s.Started, &o.Started},
		{&s.Crashes, &o.Crashes}, {&s.Hangs, &o.Hangs}, {&s.Memory, &o.Memory}, {&s.Panics, &o.Panics},
	} {
		*c.to += *c.from
	}
	if s.LastCrash == "" {
		s.LastCrash = o.LastCrash
	}
	s.Confined = s.Confined && o.Confined
	return s
}

// checkWorkers refuses a number of processes that cannot be.
func checkWorkers(n int) error {
	if n < 0 || n > WorkersMax {
		return fmt.Errorf("start DPI: %d workers: want 1 to %d", n, WorkersMax)
	}
	return nil
}

// refOf names the record of a flow.
func refOf(f *userspace.Flow) worker.FlowRef {
	return worker.FlowRef{FlowID: f.Record.FlowId, Part: f.Record.Part}
}
