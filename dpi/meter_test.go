package dpi_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/pcapgo"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/userspace"
	"github.com/weirflow/weir/userspace/decode"
)

// A smallMeter is as much of a meter as classification needs: flows, their
// times and samples, nothing else. It keeps these tests apart from the meter's.
type smallMeter struct {
	packets    gopacket.PacketDataSource
	linkType   uint32
	samples    userspace.SampleFunc
	idle, live time.Duration
	limit      uint8

	open    map[bpf.Key]*smallFlow
	order   []*smallFlow
	nextID  uint64
	flow    userspace.Flow
	mu      sync.Mutex
	ledger  userspace.Ledger
	stopped map[uint64]bool
	stops   int
}

type smallFlow struct {
	record bpf.Record
	taken  uint8
	closed bool
}

func openCapture(t testing.TB, path string) (gopacket.PacketDataSource, uint32) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	if r, err := pcapgo.NewReader(file); err == nil {
		return r, uint32(r.LinkType())
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	r, err := pcapgo.NewNgReader(file, pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	return r, uint32(r.LinkType())
}

func newSmallMeter(packets gopacket.PacketDataSource, linkType uint32, samples userspace.SampleFunc) *smallMeter {
	return &smallMeter{
		packets: packets, linkType: linkType, samples: samples,
		idle: 120 * time.Second, live: 1800 * time.Second, limit: 20,
		open: make(map[bpf.Key]*smallFlow), stopped: make(map[uint64]bool),
	}
}

func (m *smallMeter) StopSamples(id uint64, _ uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stopped[id] = true
	m.stops++
}

func (m *smallMeter) isStopped(id uint64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stopped[id]
}

func (m *smallMeter) Ledger() userspace.Ledger {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ledger
}

func (m *smallMeter) Flows(ctx context.Context) iter.Seq2[*userspace.Flow, error] {
	return func(yield func(*userspace.Flow, error) bool) {
		decoder := decode.Decoder{}
		for ctx.Err() == nil {
			data, info, err := m.packets.ReadPacketData()
			if err != nil {
				if !errors.Is(err, io.EOF) && !yield(nil, err) {
					return
				}
				break
			}
			var p bpf.Packet
			p.TimeNs = uint64(info.Timestamp.UnixNano())
			if decoder.Decode(data, uint32(info.Length), m.linkType, &p) != 0 {
				continue
			}
			if !m.packet(&p, data, yield) {
				return
			}
		}
		for _, f := range m.order {
			if !f.closed && !m.end(f, 4, yield) {
				return
			}
		}
		m.order = nil
	}
}

func (m *smallMeter) packet(p *bpf.Packet, data []byte, yield func(*userspace.Flow, error) bool) bool {
	f := m.open[p.Key]
	if f != nil {
		first, last := userspace.FirstNs(&f.record), userspace.LastNs(&f.record)
		if int64(p.TimeNs-last) >= int64(m.idle) {
			if !m.end(f, 1, yield) {
				return false
			}
			f = nil
		} else if int64(p.TimeNs-first) >= int64(m.live) {
			old := f.record
			if !m.end(f, 2, yield) {
				return false
			}
			f = m.begin(p)
			f.record.FlowId, f.record.Part, f.record.SrcEnd = old.FlowId, old.Part+1, old.SrcEnd
		}
	}
	if f == nil {
		f = m.begin(p)
	}
	dir := p.SrcEnd ^ f.record.SrcEnd
	d := &f.record.Dir[dir]
	if d.Packets == 0 || p.TimeNs < d.FirstNs {
		d.FirstNs = p.TimeNs
	}
	d.LastNs = max(d.LastNs, p.TimeNs)
	d.Packets++
	d.Octets += uint64(p.Octets)
	m.mu.Lock()
	m.ledger.Observed.Packets++
	m.ledger.Metered.Packets++
	m.ledger.Accounted = m.ledger.Accounted.Plus(userspace.Count{Packets: 1, Octets: uint64(p.Octets)})
	m.mu.Unlock()
	first := f.record.Dir[0].Packets+f.record.Dir[1].Packets == 1
	if m.samples != nil && p.Fragment == 0 && (first || p.PayloadOctets > 0) && f.taken < m.limit && !m.isStopped(f.record.FlowId) {
		m.samples(&userspace.Sample{
			FlowID: f.record.FlowId, Part: f.record.Part, Number: f.taken, Reverse: dir == 1,
			Protocol: p.Key.Protocol, IPVersion: p.Key.IpVersion, TimeNs: p.TimeNs,
			WireLength: p.FrameOctets - p.L3Offset, Packet: data[p.L3Offset:min(len(data), int(p.L3Offset)+1536)],
		})
		f.taken++
	}
	return true
}

func (m *smallMeter) begin(p *bpf.Packet) *smallFlow {
	m.nextID++
	f := &smallFlow{record: bpf.Record{Key: p.Key, FlowId: m.nextID, SrcEnd: p.SrcEnd}}
	m.open[p.Key] = f
	m.order = append(m.order, f)
	return f
}

func (m *smallMeter) end(f *smallFlow, reason uint8, yield func(*userspace.Flow, error) bool) bool {
	f.closed = true
	delete(m.open, f.record.Key)
	f.record.EndReason = reason
	m.flow = userspace.Flow{Record: f.record}
	m.mu.Lock()
	n := userspace.Count{Packets: m.flow.Packets(), Octets: m.flow.Octets()}
	m.ledger.Read = m.ledger.Read.Plus(n)
	m.ledger.Delivered = m.ledger.Delivered.Plus(n)
	m.ledger.Flows++
	m.ledger.EndReasons[reason]++
	m.mu.Unlock()
	return yield(&m.flow, nil)
}
