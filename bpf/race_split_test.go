package bpf_test

import (
	"testing"
	"time"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/bpftest"
)

// A chain is what was read of one flow: the parts that an active timeout cut it into.
type chain struct {
	parts map[uint32]bpf.EndReason
	last  uint32
}

// chains reads records as they come, and keeps no more of them than what holds them
// together.
type chains struct {
	t       *testing.T
	m       *bpftest.Meter
	flows   map[uint64]*chain
	records int
	packets uint64
	alone   uint64
}

func (c *chains) read() {
	c.t.Helper()
	if err := c.m.Drain(); err != nil {
		c.t.Fatal(err)
	}
	for i := range c.m.Records {
		c.record(&c.m.Records[i])
	}
	c.records += len(c.m.Records)
	c.alone += uint64(len(c.m.Packets))
	c.m.Forget()
}

func (c *chains) record(r *bpf.Record) {
	c.t.Helper()
	n := r.Dir[0].Packets
	c.packets += n
	if n == 0 || r.Dir[1].Packets != 0 || r.Dir[0].Octets != 60*n || r.Dir[0].SizeSq != 3600*n {
		c.t.Errorf("sums of %d packets do not fit: %+v", n, r)
	}
	f := c.flows[r.FlowId]
	if f == nil {
		f = &chain{parts: map[uint32]bpf.EndReason{}}
		c.flows[r.FlowId] = f
	}
	if _, twice := f.parts[r.Part]; twice {
		c.t.Errorf("part %d of flow %d came twice", r.Part, r.FlowId)
	}
	f.parts[r.Part] = bpf.EndReason(r.EndReason)
	f.last = max(f.last, r.Part)
}

// check holds that no part is missing, and that every one but the last ended with the
// active timeout, and the last did not.
func (c *chains) check() (split int) {
	c.t.Helper()
	for id, f := range c.flows {
		if len(f.parts) != int(f.last)+1 {
			c.t.Errorf("flow %d has %d parts, the last of number %d", id, len(f.parts), f.last)
		}
		for part, reason := range f.parts {
			if active := reason == bpf.WeirFlowEndReasonEND_ACTIVE; active != (part < f.last) {
				c.t.Errorf("part %d of flow %d, of %d, ended for reason %d", part, id, len(f.parts), reason)
			}
		}
		split += len(f.parts) - 1
	}
	return split
}

// Records are split by two CPUs all the time, and closed and deleted by sweeps of many
// runs without a pause: FAULTS A2.
func TestA2SplitsRacingSweepsKeepTheSequenceOfParts(t *testing.T) {
	for name, way := range raceWays {
		t.Run(name, func(t *testing.T) { splitsRace(t, way.options, way.sweep) })
	}
}

func splitsRace(t *testing.T, o bpftest.Options, sweep sweeping) {
	o.LinkType, o.Statistics, o.Samples, o.SampleOctets = 1, true, 3, 1
	// Counted from the start of the first packet's millisecond: every packet of its end
	// splits.
	o.IdleNs, o.ActiveNs = uint64(2*time.Millisecond), uint64(950*time.Microsecond)
	o.RingOctets = 256 << 20
	o.Set = map[string]any{"cfg_sweep_piece": uint32(3)}
	m := bpftest.New(t, o)
	c := &chains{t: t, m: m, flows: map[uint64]*chain{}}
	sweeps := 0
	l := raced(t, m, raceFrames(t, flowsInRace), func() {
		sweeps++
		mode := bpf.WeirSweepModeSWEEP_IDLE
		if sweeps%4 == 0 {
			mode = bpf.WeirSweepModeSWEEP_FORCED
		}
		sweep(t, m, mode)
		c.read()
	})
	c.read()
	split := c.check()
	if c.packets+c.alone != l.MeteredPackets || c.alone != l.OverflowPackets {
		t.Errorf("%d packets in records and %d alone, %d metered", c.packets, c.alone, l.MeteredPackets)
	}
	if split == 0 || len(c.flows) <= flowsInRace {
		t.Errorf("%d flows, split %d times: nothing raced", len(c.flows), split)
	}
	t.Logf("measured: %d packets of two CPUs in %d flows, split %d times, %d sweeps beside them, %d single packets (busy %d, deferred %d)", l.MeteredPackets, len(c.flows), split, sweeps, c.alone, l.RecordBusy, l.ExpiryDeferred)
}

// sweepRuns takes small batches, but no smaller than a bucket may be: few entries in many
// buckets, or 64 in as many.
func sweepRuns(t *testing.T, m *bpftest.Meter, mode bpf.WeirSweepMode) {
	t.Helper()
	keys := 3
	if m.Map(bpf.WeirMapFlows).MaxEntries() == 64 {
		keys = 16
	}
	if _, err := m.SweepInBatches(bpf.Sweep{Mode: uint32(mode)}, keys, nil); err != nil {
		t.Fatal(err)
	}
}

func sweepWalks(t *testing.T, m *bpftest.Meter, mode bpf.WeirSweepMode) {
	t.Helper()
	if _, err := m.Walk(bpf.Sweep{Mode: uint32(mode)}, nil); err != nil {
		t.Fatal(err)
	}
}

// The kernel fills the element of an entry that it recycles in an order of its own, and
// a packet that found the entry before looks on: what is vacant is for whoever has
// inserted it. Until then another packet travels alone.
func TestA2VacantEntryIsOfThePacketThatInsertedIt(t *testing.T) {
	m := bpftest.New(t, bpftest.Options{LinkType: 1})
	flood(t, m, 1, time.Second)
	finish(t, m, 2*time.Second)
	if err := m.HoldVacant(m.Records[0].Key); err != nil {
		t.Fatal(err)
	}
	flood(t, m, 1, 3*time.Second)
	if l := closes(t, m); l.RecordBusy != 1 || len(m.Records) != 1 || len(m.Packets) != 1 {
		t.Errorf("%d records and %d single packets, want 1 of each: %+v", len(m.Records), len(m.Packets), l)
	}
	flood(t, m, 1, 4*time.Second)
	if l := closes(t, m); l.RecordBusy != 1 || len(m.Records) != 2 {
		t.Errorf("the sweeps did not free the entry: %+v, %d records", l, len(m.Records))
	}
	t.Logf("measured: a packet that finds a vacant entry is one of %d single packets, and the entry is free behind it: %d records", len(m.Packets), len(m.Records))
}
