package userspace

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/weirflow/weir/bpf"
)

// beside is a meter of another observation point, over the maps of k.
func (k *kernelMeter) beside(point uint8) *kernelMeter {
	k.t.Helper()
	spec, err := bpf.LoadWeir()
	if err != nil {
		k.t.Fatal(err)
	}
	if err := spec.Variables[bpf.WeirVarCfgPoint].Set(point); err != nil {
		k.t.Fatal(err)
	}
	for name := range spec.Programs {
		if name != bpf.WeirProgWeirXdpIn {
			delete(spec.Programs, name)
		}
	}
	shared := map[string]*ebpf.Map{}
	for _, name := range []string{bpf.WeirMapFlows, bpf.WeirMapEvents, bpf.WeirMapLedgers, bpf.WeirMapFlowIds, bpf.WeirMapVacant, bpf.WeirMapDeletions, bpf.WeirMapRefusals} {
		shared[name] = k.coll.Maps[name]
		spec.Maps[name].MaxEntries = k.coll.Maps[name].MaxEntries()
	}
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: shared})
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(coll.Close)
	return &kernelMeter{t: k.t, coll: coll}
}

func TestB7EndOfAPointClosesItsFlowsAndNoOthers(t *testing.T) {
	const flows, here, there = 20, 7, 8
	for name, room := range map[string]int{"in the table": 1024, "half of them metered in user space": flows} {
		t.Run(name, func(t *testing.T) {
			c := liveConfig()
			c.MaxFlows = room
			k := newKernelMeter(t, c, ringOctets)
			other := k.beside(there)
			k.showAll(flows/2, 3)
			other.showAll(flows, 3)
			k.showAll(flows, 3)
			h := k.handles()
			h.Points = append(h.Points, bpf.Point{Index: there, Name: "test1"})
			consumer, err := NewConsumer(h, WithConfig(liveConfig()))
			if err != nil {
				t.Fatal(err)
			}
			defer consumer.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			ended := make(chan error, 1)
			go func() { ended <- consumer.EndPoint(t.Context(), here) }()
			packets := map[uint8]uint64{}
			for f, err := range consumer.Flows(ctx) {
				if err != nil {
					t.Fatal(err)
				}
				point := f.Record.Key.Point
				packets[point] += f.Packets()
				if f.EndReason() != bpf.WeirFlowEndReasonEND_FORCED || point == there && ctx.Err() == nil {
					t.Errorf("a flow of point %d comes out with end reason %d", point, f.EndReason())
				}
				if packets[here] == flows/2*3+flows*3 {
					cancel()
				}
			}
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if packets[here] != flows/2*3+flows*3 || packets[there] != flows*3 {
				t.Errorf("packets by point: %v", packets)
			}
			if l := consumer.Ledger(); l.Check() != nil {
				t.Errorf("%v\n%+v", l.Check(), l)
			}
		})
	}
}

func TestEndOfAPointIsAwaitedNoLongerThanTheIteration(t *testing.T) {
	consumer := newKernelMeter(t, liveConfig(), ringOctets).consumer(liveConfig())
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := consumer.EndPoint(short, 7); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("before the iteration: %v", err)
	}
	packetsOf(t, consumer, drained(t))
	if err := consumer.EndPoint(t.Context(), 7); err != nil {
		t.Errorf("after it: %v", err)
	}
}

// With room for a few records at a time it takes several sweeps.
func TestEndOfAPointComesToItsEndThroughASmallRing(t *testing.T) {
	bothWays(t, endOfAPointComesToItsEndThroughASmallRing)
}

func endOfAPointComesToItsEndThroughASmallRing(t *testing.T, way sweptBy) {
	const flows = 200
	k := way(newKernelMeter(t, liveConfig(), uint32(os.Getpagesize())))
	k.showAll(flows, 2)
	consumer := k.consumer(liveConfig())
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	go func() {
		defer cancel()
		if err := consumer.EndPoint(ctx, 7); err != nil {
			t.Error(err)
		}
	}()
	forced := 0
	for f, err := range consumer.Flows(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if ctx.Err() == nil && f.EndReason() == bpf.WeirFlowEndReasonEND_FORCED && f.Packets() == 2 {
			forced++
		}
	}
	if forced != flows {
		t.Errorf("%d flows of %d were closed before the end", forced, flows)
	}
	wantClosed(t, consumer, 2*flows)
	if all := flows * consumer.layout.Event(); all <= consumer.ring.size() {
		t.Errorf("the ring of %d octets has room for all %d", consumer.ring.size(), all)
	}
}
