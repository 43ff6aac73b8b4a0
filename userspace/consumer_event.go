package userspace

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	"github.com/weirflow/weir/bpf"
)

// An EventError is a ring record that this program does not understand: the
// metering programs and it are not of the same build.
type EventError struct {
	Kind   uint32
	Octets int
}

func (e *EventError) Error() string {
	return fmt.Sprintf("ring record of kind %d with %d octets is not known: the metering programs are of another build; restart both", e.Kind, e.Octets)
}

// event handles one ring record.
func (c *Consumer) event(raw []byte) error {
	if len(raw) < 4 {
		return &EventError{Octets: len(raw)}
	}
	switch kind := binary.NativeEndian.Uint32(raw); bpf.WeirEventKind(kind) {
	case bpf.WeirEventKindEVENT_RECORD:
		if c.layout.ReadEvent(&c.closed, raw) {
			c.record(&c.closed)
			return nil
		}
	case bpf.WeirEventKindEVENT_PACKET:
		if e := eventAs[bpf.PacketEvent](raw); e != nil && len(raw) == int(unsafe.Sizeof(*e)) {
			c.packet(&e.Packet)
			return nil
		}
	case bpf.WeirEventKindEVENT_SAMPLE:
		if e := eventAs[bpf.SampleEvent](raw); e != nil {
			if data := raw[unsafe.Sizeof(*e):]; uint64(e.Length) <= uint64(len(data)) {
				c.sampleEvent(e, data[:e.Length])
				return nil
			}
		}
	}
	return &EventError{Kind: binary.NativeEndian.Uint32(raw), Octets: len(raw)}
}

// eventAs views a ring record as a T, nil if it is too short. Ring records are
// aligned to 8 octets.
func eventAs[T any](raw []byte) *T {
	var e *T
	if uintptr(len(raw)) < unsafe.Sizeof(*e) {
		return nil
	}
	return (*T)(unsafe.Pointer(unsafe.SliceData(raw)))
}

// record hands out a record that the kernel closed.
func (c *Consumer) record(r *bpf.Record) {
	c.sampled.forget(r.FlowId, r.Part)
	if len(c.overflow.due) > 0 { // some of it may belong to this record
		c.overflow.handOut()
	}
	if c.stopped {
		c.unread = true // nobody takes it
		return
	}
	c.counted.Read = c.counted.Read.Plus(recordCount(r))
	r = c.merged(r)
	c.ring.advance(c.behind) // whoever has this flow has the event
	c.deliver(r)
}

// packet meters a packet that travelled alone.
func (c *Consumer) packet(p *bpf.Packet) {
	c.overflow.advance(p.TimeNs)
	c.overflow.account(p, 0)
	c.overflowOpen.add(p.Octets)
}

// closeOverflow takes a record that the table of packets metered here has closed.
func (c *Consumer) closeOverflow(e *core) bool {
	if c.stopped {
		return false
	}
	c.hold(e)
	return true
}

// deliver hands out a record in wall time. The caller has not broken off.
func (c *Consumer) deliver(r *bpf.Record) {
	c.counted.Delivered = c.counted.Delivered.Plus(recordCount(r))
	c.counted.Flows++
	if int(r.EndReason) < len(c.counted.EndReasons) {
		c.counted.EndReasons[r.EndReason]++
	}
	c.flow = Flow{Record: *r, Interface: c.points[r.Key.Point]}
	c.toWall(&c.flow.Record)
	if c.options.confirm {
		c.await()
	}
	c.stopped = !c.yield(&c.flow, nil)
}

// toWall converts the times of a record.
func (c *Consumer) toWall(r *bpf.Record) {
	for i := range r.Dir {
		if d := &r.Dir[i]; d.Packets > 0 {
			d.FirstNs = c.sweeper.clock.wall(d.FirstNs)
			d.LastNs = c.sweeper.clock.wall(d.LastNs)
		}
	}
	for bit, t := range [...]*uint64{&r.SynNs, &r.SynAckNs, &r.AckNs} {
		if r.Handshake>>bit&1 != 0 {
			*t = c.sweeper.clock.wall(*t)
		}
	}
	if r.TcpEnd&tcpEndReached != 0 {
		r.EndedNs = c.sweeper.clock.wall(r.EndedNs)
	}
}

func (c *Consumer) sampleEvent(e *bpf.SampleEvent, data []byte) {
	if c.options.samples == nil {
		return
	}
	c.sampled.add(e)
	c.sample = Sample{
		FlowID:      e.FlowId,
		Part:        e.Part,
		Key:         e.Key,
		Number:      e.Number,
		Reverse:     bpf.WeirFlowDirectionId(e.Direction) == bpf.WeirFlowDirectionIdDIR_REVERSE,
		BareForward: e.Bare&(1<<bpf.WeirFlowDirectionIdDIR_FORWARD) != 0,
		BareReverse: e.Bare&(1<<bpf.WeirFlowDirectionIdDIR_REVERSE) != 0,
		Protocol:    e.Protocol,
		IPVersion:   e.IpVersion,
		TimeNs:      c.sweeper.clock.wall(e.TimeNs),
		WireLength:  e.WireLength,
		Packet:      data,
	}
	c.options.samples.show(&c.sample, &c.counted.Panics.Samples)
}
