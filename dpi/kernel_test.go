package dpi_test

import (
	"context"
	"iter"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/bpftest"
	"github.com/weirflow/weir/dpi"
	"github.com/weirflow/weir/dpi/worker"
	capturefiles "github.com/weirflow/weir/tools/captures"
	"github.com/weirflow/weir/userspace"
)

// A kernelMeter is the metering programs over a capture, with its clock: a
// Source and a DPIStopper like the Consumer of a live meter.
type kernelMeter struct {
	t       *testing.T
	k       *bpftest.Meter
	list    []userspace.CapturedPacket
	samples userspace.SampleFunc
	taken   int // samples
	keys    map[uint64]bpf.DPIDone
	swept   uint64

	mu     sync.Mutex
	asked  []worker.FlowRef
	ledger userspace.Ledger
}

// objects are the loaded programs by link type: loading takes longer than most
// captures do. A capture leaves them empty.
type objects map[uint32]*bpftest.Meter

func (o objects) meter(t *testing.T, link uint32, list []userspace.CapturedPacket, samples userspace.SampleFunc) *kernelMeter {
	if o[link] == nil {
		o[link] = bpftest.New(t, bpftest.Options{LinkType: link, Samples: dpi.DefaultDissections, MaxFlows: 16384, RingOctets: 16 << 20})
	}
	return &kernelMeter{t: t, k: o[link], list: list, samples: samples, keys: map[uint64]bpf.DPIDone{}}
}

// StopSamples implements userspace.DPIStopper.
func (m *kernelMeter) StopSamples(flowID uint64, part uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = append(m.asked, worker.FlowRef{FlowID: flowID, Part: part})
}

// Ledger implements userspace.Source.
func (m *kernelMeter) Ledger() userspace.Ledger {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ledger
}

// Flows implements userspace.Source. The ring is emptied behind every frame, so
// that flows and samples come in the order of the packets.
func (m *kernelMeter) Flows(context.Context) iter.Seq2[*userspace.Flow, error] {
	return func(yield func(*userspace.Flow, error) bool) {
		clock := uint64(0)
		for i := range m.list {
			p := &m.list[i]
			m.sweep(clock, p.TimeNs)
			m.events(yield)
			clock = max(clock, p.TimeNs)
			if _, err := m.k.Frame(p.Data, p.TimeNs, p.Length); err != nil {
				m.t.Errorf("frame %d: %v", i, err)
			}
			m.events(yield)
		}
		if err := m.k.Finish(clock); err != nil {
			m.t.Error(err)
		}
		m.events(yield)
	}
}

// sweep closes what is idle, once in a second of the capture, as a live meter
// does; and before an older packet, which depends on what the clock has closed.
func (m *kernelMeter) sweep(clock, next uint64) {
	if next >= clock && next < m.swept+uint64(time.Second) {
		return
	}
	m.swept = max(clock, next)
	if _, err := m.k.Sweep(bpf.Sweep{NowNs: m.swept}); err != nil {
		m.t.Error(err)
	}
}

// events hands out what is in the ring. A frame that closes a record comes into
// the next one with its sample.
func (m *kernelMeter) events(yield func(*userspace.Flow, error) bool) {
	if err := m.k.Drain(); err != nil {
		m.t.Error(err)
	}
	if len(m.k.Packets) > 0 {
		m.t.Error("a packet found no place in the table")
	}
	for i := range m.k.Records {
		m.count(&m.k.Records[i])
		yield(&userspace.Flow{Record: m.k.Records[i]}, nil)
	}
	for i := range m.k.Samples {
		m.sample(&m.k.Samples[i])
	}
	m.k.Records, m.k.Samples = nil, nil
	m.stop()
}

func (m *kernelMeter) sample(s *bpftest.Sample) {
	m.taken++
	m.keys[s.FlowId] = bpf.DPIDone{Key: s.Key, FlowId: s.FlowId, Part: s.Part}
	m.samples(&userspace.Sample{
		FlowID: s.FlowId, Part: s.Part, Key: s.Key, Number: s.Number, Reverse: s.Direction == 1,
		BareForward: s.Bare&1 != 0, BareReverse: s.Bare&2 != 0, Protocol: s.Protocol,
		IPVersion: s.IpVersion, TimeNs: s.TimeNs, WireLength: s.WireLength, Packet: s.Data,
	})
}

// stop tells the programs what was asked.
func (m *kernelMeter) stop() {
	m.mu.Lock()
	asked := m.asked
	m.asked = nil
	m.mu.Unlock()
	for _, a := range asked {
		if d, known := m.keys[a.FlowID]; known && d.Part == a.Part {
			if err := m.k.Done(d); err != nil {
				m.t.Error(err)
			}
		}
	}
}

func (m *kernelMeter) count(r *bpf.Record) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := userspace.Count{Packets: r.Dir[0].Packets + r.Dir[1].Packets, Octets: r.Dir[0].Octets + r.Dir[1].Octets}
	l := &m.ledger
	for _, c := range []*userspace.Count{&l.Observed, &l.Metered, &l.Accounted, &l.Read, &l.Delivered} {
		*c = c.Plus(n)
	}
	l.Flows++
	l.EndReasons[r.EndReason]++
}

// fileMeter is a Go meter over packets in memory.
func fileMeter(t *testing.T, list []userspace.CapturedPacket, samples userspace.SampleFunc) *userspace.Meter {
	t.Helper()
	c := userspace.DefaultConfig()
	c.Samples = dpi.DefaultDissections
	m, err := userspace.NewMeter(&capturefiles.Packets{List: list}, userspace.WithConfig(c), userspace.WithSamples(samples))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// labelsOf drains a source whose worker is closed then.
func labelsOf(t *testing.T, w *dpi.Worker, src userspace.Source) (l labelsByFlow) {
	t.Helper()
	for f, err := range src.Flows(t.Context()) {
		if err != nil {
			t.Error(err)
			continue
		}
		l.add(f)
	}
	if s := w.Stats(); s.Crashes+s.Hangs > 0 || s.SamplesDropped > 0 {
		t.Errorf("%+v", s)
	}
	w.Close()
	return l
}

// TestKernelAndFileGiveTheSameLabels runs each capture with its own clock through
// the metering programs and through the Go meter, each before a DPI process of its
// own, and compares the nine columns and all details flow by flow.
func TestKernelAndFileGiveTheSameLabels(t *testing.T) {
	needNDPI(t)
	flows, kernel := 0, objects{}
	for _, path := range captures(t) {
		for link, list := range load(t, path) {
			w := start(t, dpi.Options{Details: true})
			m := fileMeter(t, list, w.Sample)
			want := labelsOf(t, w, w.Wrap(m, m))
			w = start(t, dpi.Options{Details: true})
			k := kernel.meter(t, link, list, w.Sample)
			got := labelsOf(t, w, w.Wrap(k, k))
			got.equal(t, filepath.Base(path), want)
			flows += len(got)
		}
	}
	t.Logf("%d flows", flows)
}
