package bpf_test

import (
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/bpftest"
)

// Two CPUs meter more flows than the table holds, one packet each at a time, while
// sweeps of many runs close and delete all they come to: entries change hands all the
// time: FAULTS A2.
func TestA2EntriesThatChangeHandsKeepEveryPacket(t *testing.T) {
	for name, way := range raceWays {
		t.Run(name, func(t *testing.T) { entriesChangeHands(t, way.options, way.sweep) })
	}
}

// raceWays are those to meter and to sweep.
var raceWays = map[string]struct {
	options bpftest.Options
	sweep   sweeping
}{
	"in place":              {bpftest.Options{}, sweepRuns},
	"copied":                {bpftest.Options{Copied: true}, sweepRuns},
	"swept by the iterator": {bpftest.Options{}, sweepWalks},
}

func entriesChangeHands(t *testing.T, o bpftest.Options, sweep sweeping) {
	o.LinkType, o.Statistics, o.MaxFlows, o.RingOctets = 1, true, 64, 256<<20
	o.IdleNs, o.Set = uint64(time.Microsecond), map[string]any{"cfg_sweep_piece": uint32(7)}
	m := bpftest.New(t, o)
	c := &chains{t: t, m: m, flows: map[uint64]*chain{}}
	frames := raceFrames(t, 200)
	sweeps := 0
	whileWriting(func(cpu int) { oneByOne(t, m, frames, 1+cpu) }, func() {
		sweep(t, m, bpf.WeirSweepMode(sweeps%3))
		c.read()
		sweeps++
	})
	finish(t, m, 1<<62)
	c.read()
	c.check()
	l := closes(t, m)
	if c.packets+c.alone != l.MeteredPackets || l.LostPackets != 0 || l.MeteredPackets != uint64(writers*oneByOneRounds*len(frames)) {
		t.Errorf("%d packets in records and %d alone: %+v", c.packets, c.alone, l)
	}
	if len(c.flows) < 100*int(o.MaxFlows) || l.TableFull == 0 {
		t.Errorf("%d flows, the table full %d times: nothing raced", len(c.flows), l.TableFull)
	}
	t.Logf("measured: %d packets of two CPUs in %d flows through %d entries, %d single packets (busy %d), residual 0", l.MeteredPackets, len(c.flows), o.MaxFlows, c.alone, l.RecordBusy)
}

const oneByOneRounds = 500

// oneByOne runs the program on a packet at a time, in an order of its own. The kernel
// waits long before each run of several repeats.
func oneByOne(t *testing.T, m *bpftest.Meter, frames [][]byte, step int) {
	for round := range oneByOneRounds {
		for i := range frames {
			run := ebpf.RunOptions{Data: frames[(i*step+round)%len(frames)], Repeat: 1}
			if _, err := m.Program("weir_xdp_in").Run(&run); err != nil {
				t.Error(err)
				return
			}
		}
	}
}
