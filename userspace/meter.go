package userspace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"
	"sync/atomic"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/userspace/decode"
)

// A Meter meters packets in Go: a capture file's, or any other PacketSource's.
// It keeps the same records as the kernel's programs. Its clock is the running
// maximum of the packets' times. It is a Source and a DPIStopper.
type Meter struct {
	source  PacketSource
	config  Config
	samples SampleFunc
	filter  func(data []byte, length uint32) bool
	decoder decode.Decoder
	table   *table

	// Of the goroutine that iterates.
	captured CapturedPacket
	packet   bpf.Packet
	flow     Flow
	sampled  Sample
	yield    func(*Flow, error) bool
	stopped  bool  // the caller broke off
	ended    bool  // nothing more to read
	damage   error // of the packet source, until it has been yielded
	counted  Ledger
	names    names
	stops    stops

	mu        sync.Mutex
	published Ledger
}

// NewMeter returns a Meter over packets, or an error where the configuration is
// out of range.
func NewMeter(packets PacketSource, opts ...Option) (*Meter, error) {
	o, err := newOptions(opts)
	if err != nil {
		return nil, fmt.Errorf("configure meter: %w", err)
	}
	m := &Meter{source: packets, config: o.config, samples: o.samples, filter: o.filter}
	if m.config.Samples == 0 {
		m.samples = nil
	}
	m.decoder = decode.Decoder{
		Accounting:    o.config.Accounting,
		DecodeTunnels: o.config.DecodeTunnels,
		TCPStatistics: o.config.TCPStatistics,
		IPStatistics:  o.config.IPStatistics,
	}
	m.names = names{list: []string{""}, number: map[string]uint16{"": 0}}
	m.stops.entries = map[uint64]uint32{}
	m.table = newTable(&m.config, m.deliver, m.stops.forget)
	return m, nil
}

// Flows yields flows as they expire, ordered by when they did, ties by their
// start. At the end of input, and when ctx ends, it closes and yields what is
// still open: what was idle by then first, the rest by start. An error of the
// packet source comes after all flows. A caller that breaks off may call Flows
// again to go on.
func (m *Meter) Flows(ctx context.Context) iter.Seq2[*Flow, error] {
	return func(yield func(*Flow, error) bool) {
		m.yield, m.stopped = yield, false
		defer m.publishAll()
		var cancelled atomic.Bool
		defer context.AfterFunc(ctx, func() { cancelled.Store(true) })()
		if err := m.run(&cancelled); err != nil {
			m.damage = err
		}
		if m.ended {
			m.table.drain()
		}
		if err := m.damage; err != nil && !m.stopped {
			m.damage = nil
			yield(nil, err)
		}
	}
}

// publishEvery is how many packets pass before Ledger shows them.
const publishEvery = 1024

// run meters until the end of input, an error, the caller's break or
// cancellation.
func (m *Meter) run(cancelled *atomic.Bool) error {
	for !m.stopped && !m.ended {
		if cancelled.Load() {
			m.ended = true
			return nil
		}
		if err := m.read(); err != nil {
			m.ended = true
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("read packets: %w", err)
		}
		m.meter(&m.captured)
		if m.counted.Observed.Packets%publishEvery == 0 {
			m.publish()
		}
	}
	return nil
}

// read takes the next packet from the source.
func (m *Meter) read() (err error) {
	defer surviveAs(&err, "the packet source")
	return m.source.ReadPacket(&m.captured)
}

// wants tells whether the filter lets a frame pass; there may be none.
func (m *Meter) wants(c *CapturedPacket) (yes bool) {
	if m.filter == nil {
		return true
	}
	yes = true // also where there is no answer
	defer survive(&m.counted.Panics.Filter)
	yes = m.filter(c.Data, c.Length)
	return yes
}

func (m *Meter) meter(c *CapturedPacket) {
	c.Length = max(c.Length, uint32(len(c.Data)))
	m.table.advance(c.TimeNs)
	m.counted.Observed.add(c.Length)
	if !m.wants(c) {
		m.counted.Ignored[bpf.WeirDecodeStatusSTATUS_FILTERED].add(c.Length)
		return
	}
	p := &m.packet
	p.TimeNs = c.TimeNs
	if status := m.decoder.Decode(c.Data, c.Length, c.LinkType, p); status != bpf.WeirDecodeStatusSTATUS_OK {
		m.counted.Ignored[status].add(c.Length)
		return
	}
	m.counted.Metered.add(c.Length)
	m.counted.Accounted.add(p.Octets)
	entry, regression := m.table.account(p, m.names.of(c.Interface))
	if regression {
		m.counted.Regressions++
	}
	if m.samples != nil {
		m.sample(entry, p, c)
	}
}

func (c *Count) add(octets uint32) {
	c.Packets++
	c.Octets += uint64(octets)
}

// deliver hands a closed record to the caller of Flows.
func (m *Meter) deliver(e *core) bool {
	if m.stopped {
		return false
	}
	count := e.count()
	m.counted.Read = m.counted.Read.Plus(count)
	m.counted.Delivered = m.counted.Delivered.Plus(count)
	m.counted.Flows++
	m.counted.EndReasons[e.endReason]++
	m.flow = Flow{Interface: m.names.list[e.name]}
	m.table.rules.record(&m.flow.Record, e)
	m.stopped = !m.yield(&m.flow, nil)
	return true
}

// Ledger implements Source. During an iteration it is up to 1,023 packets
// behind.
func (m *Meter) Ledger() Ledger {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.published
}

// publish takes what was metered and not read to be in the table.
func (m *Meter) publish() {
	open := Count{
		m.counted.Accounted.Packets - m.counted.Read.Packets,
		m.counted.Accounted.Octets - m.counted.Read.Octets,
	}
	m.publishOpen(open)
}

// publishAll counts what is in the table.
func (m *Meter) publishAll() { m.publishOpen(m.table.held()) }

func (m *Meter) publishOpen(open Count) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.published = m.counted
	m.published.Open = open
}

// names numbers the interfaces of a capture, so that entries hold no pointers.
// A file may name any number: those beyond the range go without.
type names struct {
	list   []string
	number map[string]uint16
	last   uint16
}

const namesMax = 1 << 16

func (n *names) of(name string) uint16 {
	if n.list[n.last] == name {
		return n.last
	}
	number, known := n.number[name]
	if !known && len(n.list) < namesMax {
		number = uint16(len(n.list))
		n.list = append(n.list, name)
		n.number[name] = number
	}
	n.last = number
	return number
}
