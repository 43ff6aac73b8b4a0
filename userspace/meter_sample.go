package userspace

import (
	"sync"
	"sync/atomic"

	"github.com/weirflow/weir/bpf"
)

// sampling is what an entry knows of its samples but their number.
type sampling uint8

const (
	// A packet without payload came since the sample before, this way or that.
	bareForward sampling = 1 << iota
	bareReverse
	dpiDone // no more are wanted
)

// sample samples the record's first packet whatever it holds, later ones if
// they have payload; later fragments never. The packet is in the record already.
func (m *Meter) sample(i uint32, p *bpf.Packet, c *CapturedPacket) {
	e := m.table.entry(i)
	if int(e.samples) >= m.config.Samples || p.Fragment != 0 {
		return
	}
	reverse := p.SrcEnd != e.srcEnd
	if p.PayloadOctets == 0 && e.packets() > 1 {
		if reverse {
			e.state |= bareReverse
		} else {
			e.state |= bareForward
		}
		return
	}
	m.stops.obey(m.table)
	if e.state&dpiDone != 0 {
		return
	}
	m.stops.entries[e.flowID] = i
	data := c.Data[p.L3Offset:]
	m.sampled = Sample{
		FlowID:      e.flowID,
		Part:        e.part,
		Key:         e.key,
		Number:      e.samples,
		Reverse:     reverse,
		BareForward: e.state&bareForward != 0,
		BareReverse: e.state&bareReverse != 0,
		Protocol:    p.Key.Protocol,
		IPVersion:   p.Key.IpVersion,
		TimeNs:      p.TimeNs,
		WireLength:  c.Length - p.L3Offset,
		Packet:      data[:min(len(data), m.config.SampleOctets)],
	}
	m.samples.show(&m.sampled, &m.counted.Panics.Samples)
	e.samples++
	e.state = 0
	m.counted.Samples++
}

// StopSamples implements DPIStopper.
func (m *Meter) StopSamples(flowID uint64, part uint32) { m.stops.ask(flowID, part) }

// stops passes "no more samples" from other goroutines to the one that meters.
type stops struct {
	entries map[uint64]uint32 // sampled flows by id; of the metering goroutine
	pending atomic.Bool
	mu      sync.Mutex
	asked   []stop
}

type stop struct {
	flowID uint64
	part   uint32
}

func (s *stops) ask(flowID uint64, part uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, stop{flowID, part})
	s.pending.Store(true)
}

// obey carries out what was asked. A flow that has ended or split since is left
// alone.
func (s *stops) obey(t *table) {
	if !s.pending.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.asked {
		i, open := s.entries[a.flowID]
		if !open {
			continue
		}
		if e := t.entry(i); e.part == a.part {
			e.state |= dpiDone
		}
	}
	s.asked = s.asked[:0]
	s.pending.Store(false)
}

func (s *stops) forget(flowID uint64) {
	if len(s.entries) > 0 {
		delete(s.entries, flowID)
	}
}
