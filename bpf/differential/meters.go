package differential

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/bpftest"
	"github.com/weirflow/weir/bpf/native"
	"github.com/weirflow/weir/userspace"
)

// Config is the Go meter's part of the options, with a table large enough that
// nothing depends on its size.
func Config(o bpftest.Options) userspace.Config {
	c := userspace.DefaultConfig()
	if o.IdleNs != 0 {
		c.IdleTimeout = time.Duration(o.IdleNs)
	}
	if o.ActiveNs != 0 {
		c.ActiveTimeout = time.Duration(o.ActiveNs)
	}
	if o.SampleOctets != 0 {
		c.SampleOctets = int(o.SampleOctets)
	}
	c.Accounting, c.Statistics, c.SPLT, c.Samples = o.Accounting, o.Statistics, int(o.SPLT), int(o.Samples)
	c.TCPStatistics, c.IPStatistics, c.TCPEnd, c.DecodeTunnels = o.TCPStatistics, o.IPStatistics, o.TCPEnd, !o.NoTunnels
	return c
}

// source is a sequence's frames as a PacketSource. Sweeps are nothing to the Go
// meter, which looks for idle flows before every packet.
type source struct {
	steps []Step
	link  uint32
}

func (s *source) ReadPacket(p *userspace.CapturedPacket) error {
	for len(s.steps) > 0 && s.steps[0].Sweep {
		s.steps = s.steps[1:]
	}
	if len(s.steps) == 0 {
		return io.EOF
	}
	next := &s.steps[0]
	*p = userspace.CapturedPacket{Data: next.Data, Length: next.Length, TimeNs: next.TimeNs, LinkType: s.link}
	s.steps = s.steps[1:]
	return nil
}

// Go runs a sequence through the Go meter. After so many samples of a record as
// done says its flow is reported as classified; 0 is never.
func Go(c userspace.Config, link uint32, steps []Step, done uint8) (out Outcome, err error) {
	var m *userspace.Meter
	m, err = userspace.NewMeter(&source{steps, link}, userspace.WithConfig(c), userspace.WithSamples(func(s *userspace.Sample) {
		out.Samples = append(out.Samples, Sample{s.Number, s.Reverse, bare(s), s.Part, s.TimeNs, s.WireLength, string(s.Packet)})
		if s.Number+1 == done {
			m.StopSamples(s.FlowID, s.Part)
		}
	}))
	if err != nil {
		return out, err
	}
	for f, err := range m.Flows(context.Background()) {
		if err != nil {
			return out, fmt.Errorf("the Go meter: %w", err)
		}
		out.Records = append(out.Records, f.Record)
	}
	ledger := m.Ledger()
	if err := ledger.Check(); err != nil {
		return out, fmt.Errorf("the Go meter: %w", err)
	}
	out.Ledger = kernelLedger(&ledger)
	Sort(out.Records)
	return out, nil
}

// bare is as in bpf.SampleEvent.
func bare(s *userspace.Sample) (directions uint8) {
	if s.BareForward {
		directions |= 1
	}
	if s.BareReverse {
		directions |= 2
	}
	return directions
}

// kernelLedger writes a ledger as the kernel keeps it.
func kernelLedger(l *userspace.Ledger) (k bpf.LedgerCount) {
	k.ObservedPackets, k.ObservedOctets = l.Observed.Packets, l.Observed.Octets
	k.MeteredPackets, k.MeteredOctets = l.Metered.Packets, l.Metered.Octets
	k.AccountedOctets, k.Samples, k.Regressions = l.Accounted.Octets, l.Samples, l.Regressions
	for i, c := range l.Ignored {
		k.IgnoredPackets[i], k.IgnoredOctets[i] = c.Packets, c.Octets
	}
	return k
}

// A Kernel is a loaded object that sequences are run through, one after the
// other.
type Kernel struct {
	*bpftest.Meter
	before bpf.LedgerCount
}

// NewKernel loads the object. The caller closes it.
func NewKernel(o bpftest.Options) (*Kernel, error) {
	m, err := bpftest.Load(o)
	if err != nil {
		return nil, err
	}
	return &Kernel{Meter: m}, nil
}

// Run runs a sequence through the programs, and leaves an empty table. Done is as
// for Go.
func (k *Kernel) Run(steps []Step, done uint8) (out Outcome, err error) {
	k.Forget()
	var clock uint64
	for i := range steps {
		if err := k.step(&steps[i], &clock); err != nil {
			return out, fmt.Errorf("step %d: %w", i, err)
		}
		if done > 0 {
			if err := k.stopSamples(done); err != nil {
				return out, err
			}
		}
	}
	if err := k.Finish(clock); err != nil {
		return out, err
	}
	after, err := k.Ledger()
	if err != nil {
		return out, err
	}
	out = outcomeOf(&k.Events, since(k.before, after))
	k.before = after
	return out, nil
}

// step sweeps before an older packet as well: what that finds depends on what the
// running clock has already closed, and the Go meter looks before every packet.
func (k *Kernel) step(s *Step, clock *uint64) error {
	if s.Sweep || s.TimeNs < *clock {
		if _, err := k.Sweep(bpf.Sweep{NowNs: *clock}); err != nil {
			return err
		}
	}
	if s.Sweep {
		return nil
	}
	*clock = max(*clock, s.TimeNs)
	verdict, err := k.Frame(s.Data, s.TimeNs, s.Length)
	if err == nil && verdict != xdpPass {
		err = fmt.Errorf("verdict %d, want XDP_PASS", verdict)
	}
	return err
}

const xdpPass = 2

// stopSamples reports the flow of the latest sample as classified.
func (k *Kernel) stopSamples(done uint8) error {
	seen := len(k.Samples)
	if err := k.Drain(); err != nil {
		return err
	}
	for _, s := range k.Samples[seen:] {
		if s.Number+1 != done {
			continue
		}
		if err := k.Done(bpf.DPIDone{Key: s.Key, FlowId: s.FlowId, Part: s.Part}); err != nil {
			return err
		}
	}
	return nil
}

// finishRounds empties any table of a test's: each round closes and deletes what
// the ring has room for.
const finishRounds = 4

// Tell has the native build run a sequence, as Run has the kernel: at XDP, unless
// place says otherwise.
func Tell(script *native.Script, steps []Step, place func(*native.Frame)) {
	var clock uint64
	for i := range steps {
		s := &steps[i]
		if s.Sweep || s.TimeNs < clock {
			script.Sweep(bpf.Sweep{NowNs: clock})
		}
		if s.Sweep {
			continue
		}
		clock = max(clock, s.TimeNs)
		f := native.Frame{Data: s.Data, Length: s.Length, TimeNs: s.TimeNs, Linear: uint32(len(s.Data))}
		if place != nil {
			place(&f)
		}
		script.Frame(f)
	}
	script.Finish(clock, finishRounds)
}

// Native is the outcome of a sequence that the native build was told to run.
func Native(r *native.Result) Outcome { return outcomeOf(&r.Events, r.Ledger) }
