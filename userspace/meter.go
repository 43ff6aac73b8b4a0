package userspace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/userspace/decode"
)

// A Meter meters packets in Go: a capture file's, or any other PacketSource's.
// It keeps the same records as the kernel's programs. Its clock is the packets'.
type Meter struct {
	packets PacketSource
	options options
	decoder decode.Decoder
	table   *table

	// Of the goroutine that iterates.
	flow    Flow
	sample  Sample
	counted Ledger
	stopped bool // the caller broke off
	yield   func(*Flow, error) bool

	mu        sync.Mutex
	published Ledger
	stops     []stop
	entries   map[uint64]*entry // sampled flows by id, of the iterating goroutine
}

// stop asks for no more samples of a record.
type stop struct {
	flowID uint64
	part   uint32
}

// NewMeter returns a Meter over packets. It fails on a configuration that is
// out of range.
func NewMeter(packets PacketSource, opts ...Option) (*Meter, error) {
	o, err := newOptions(opts)
	if err != nil {
		return nil, fmt.Errorf("configure meter: %w", err)
	}
	m := &Meter{packets: packets, options: o, entries: map[uint64]*entry{}}
	c := &m.options.config
	m.decoder = decode.Decoder{Accounting: c.Accounting, DecodeTunnels: c.DecodeTunnels}
	m.table = newTable(c, m.deliver)
	return m, nil
}

// Flows yields flows in the order in which they expire, ties by start; at the
// end of input those that are open, by start. An error of the packet source
// comes last, when all flows before it have been handed out. When ctx ends, no
// further packet is read and what is open is closed. Flows may be called once.
func (m *Meter) Flows(ctx context.Context) iter.Seq2[*Flow, error] {
	return func(yield func(*Flow, error) bool) {
		m.yield = yield
		err := m.run(ctx)
		if !m.stopped {
			m.table.drain()
		}
		m.publish()
		if err != nil && !m.stopped {
			yield(nil, err)
		}
	}
}

// publishEvery is how many packets the ledger may be behind, less one.
const publishEvery = 4096

func (m *Meter) run(ctx context.Context) error {
	var p CapturedPacket
	for n := 1; !m.stopped; n++ {
		err := m.packets.ReadPacket(&p)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read packets: %w", err)
		}
		m.meter(&p)
		if n%publishEvery == 0 {
			m.publish()
			if ctx.Err() != nil {
				return nil
			}
		}
	}
	return nil
}

func (m *Meter) meter(c *CapturedPacket) {
	l := &m.counted
	l.Observed = l.Observed.Plus(Count{1, uint64(c.Length)})
	if m.options.filter != nil && !m.options.filter(c.Data, c.Length) {
		m.ignore(bpf.WeirDecodeStatusSTATUS_FILTERED, c)
		return
	}
	var p bpf.Packet
	if status := m.decoder.Decode(c.Data, c.Length, c.LinkType, &p); status != bpf.WeirDecodeStatusSTATUS_OK {
		m.ignore(status, c)
		return
	}
	p.TimeNs = c.TimeNs
	l.Metered = l.Metered.Plus(Count{1, uint64(c.Length)})
	l.Accounted = l.Accounted.Plus(Count{1, uint64(p.Octets)})
	m.flow.Interface = c.Interface
	e, regression := m.table.account(&p)
	if regression {
		l.Regressions++
	}
	m.sampleFrame(e, &p, c)
}

func (m *Meter) ignore(s bpf.Status, c *CapturedPacket) {
	m.counted.Ignored[s] = m.counted.Ignored[s].Plus(Count{1, uint64(c.Length)})
}

// sampleFrame samples the first packet whatever it holds, later ones if they
// have payload; later fragments never. The packet is in the record already.
func (m *Meter) sampleFrame(e *entry, p *bpf.Packet, c *CapturedPacket) {
	if m.options.samples == nil || e.samples >= m.table.rules.samples || e.dpiDone || p.Fragment != 0 {
		return
	}
	if p.PayloadOctets == 0 && recordPackets(&e.record) > 1 {
		return
	}
	data := c.Data[p.L3Offset:]
	m.sample = Sample{
		FlowID:     e.record.FlowId,
		Part:       e.record.Part,
		Number:     e.samples,
		Reverse:    (p.SrcEnd^e.record.SrcEnd)&1 == 1,
		Protocol:   p.Key.Protocol,
		IPVersion:  p.Key.IpVersion,
		TimeNs:     p.TimeNs,
		WireLength: c.Length - p.L3Offset,
		Packet:     data[:min(len(data), m.options.config.SampleOctets)],
	}
	if e.samples == 0 {
		m.entries[e.record.FlowId] = e
	}
	e.samples++
	m.counted.Samples++
	m.options.samples(&m.sample)
	m.obeyStops()
}

// StopSamples implements DPIStopper.
func (m *Meter) StopSamples(flowID uint64, part uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stops = append(m.stops, stop{flowID, part})
}

func (m *Meter) obeyStops() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.stops {
		if e := m.entries[s.flowID]; e != nil && e.record.FlowId == s.flowID && e.record.Part == s.part {
			e.dpiDone = true
		}
	}
	m.stops = m.stops[:0]
}

// deliver hands a closed record to the caller of Flows.
func (m *Meter) deliver(r *bpf.Record) {
	delete(m.entries, r.FlowId)
	packets := Count{recordPackets(r), r.Dir[0].Octets + r.Dir[1].Octets}
	m.counted.Read = m.counted.Read.Plus(packets)
	if m.stopped {
		return
	}
	m.counted.Delivered = m.counted.Delivered.Plus(packets)
	m.counted.Flows++
	m.counted.EndReasons[r.EndReason]++
	m.flow.Record = *r
	m.flow.L7 = nil
	m.stopped = !m.yield(&m.flow, nil)
}

func (m *Meter) publish() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.published = m.counted
	m.published.Open = m.table.open
}

// Ledger implements Source. During the iteration it is up to 4,095 packets
// behind.
func (m *Meter) Ledger() Ledger {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.published
}
