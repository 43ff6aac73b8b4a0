package userspace

import (
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"

	"github.com/weirflow/weir/bpf"
)

// Stage "merge": a flow whose first packets found no place in the kernel's table
// is metered in user space until one does. When its record there expires, the
// kernel may hold the rest of it. Then it waits for the kernel's record, and the
// two are handed out as one.

const (
	// heldMax bounds the parts that wait. Beyond it the oldest is handed out as it
	// is: under a flood most of them have one packet and nothing follows.
	heldMax = 32768
	// heldLooks bounds the looks into the kernel's table after one sweep: the ring
	// buffer is not read meanwhile.
	heldLooks = 1024
	// heldAgain is how long after one look the next is due.
	heldAgain = uint64(time.Second)
)

// A heldPart is a record of packets metered in user space. Its times are the
// programs'.
type heldPart struct {
	record bpf.Record
	nextNs uint64 // when to look into the kernel's table again
	// missed is when the kernel was found to hold nothing further, counted in
	// times that the ring buffer was read to its end; 0 is never. What it had
	// closed shortly before is in the ring.
	missed uint64
	taken  bool // by the kernel's record, or by the caller
}

// heldParts waits for kernel records, in the order of arrival.
type heldParts struct {
	queue []*heldPart
	byKey map[bpf.Key]*heldPart
	spare []*heldPart // of those that were taken
	// emptied counts how often the ring buffer was read to its end, from 1.
	emptied uint64
	value   []byte     // of an entry that was looked up
	found   bpf.Record // in it
}

func newHeldParts(entryOctets int) heldParts {
	return heldParts{byKey: map[bpf.Key]*heldPart{}, emptied: 1, value: make([]byte, entryOctets)}
}

// hold has a closed part wait, if anything can continue it. A part of the same key
// that waits already is handed out: it did not lead up to this one, or they would
// be one.
func (c *Consumer) hold(r *bpf.Record) {
	switch bpf.EndReason(r.EndReason) {
	case bpf.WeirFlowEndReasonEND_OF_FLOW, bpf.WeirFlowEndReasonEND_ACTIVE:
		c.readOverflow(r)
		c.deliver(r)
		return
	}
	h := &c.held
	if old := h.byKey[r.Key]; old != nil {
		c.release(old)
	}
	if len(h.byKey) >= heldMax {
		c.release(h.first())
	}
	if len(h.queue) >= 2*heldMax {
		h.compact()
	}
	h.add(r)
}

func (h *heldParts) add(r *bpf.Record) {
	p := &heldPart{}
	if n := len(h.spare); n > 0 {
		p, h.spare = h.spare[n-1], h.spare[:n-1]
	}
	*p = heldPart{record: *r}
	h.queue = append(h.queue, p)
	h.byKey[r.Key] = p
}

// first is the part that has waited longest. There must be one.
func (h *heldParts) first() *heldPart {
	for i, p := range h.queue {
		if !p.taken {
			h.spare = append(h.spare, h.queue[:i]...)
			h.queue = h.queue[i:]
			break
		}
	}
	return h.queue[0]
}

// compact drops the parts that were taken.
func (h *heldParts) compact() {
	waiting := h.queue[:0]
	for _, p := range h.queue {
		if p.taken {
			h.spare = append(h.spare, p)
		} else {
			waiting = append(waiting, p)
		}
	}
	clear(h.queue[len(waiting):])
	h.queue = waiting
}

// take ends a part's waiting.
func (h *heldParts) take(p *heldPart) {
	p.taken = true
	delete(h.byKey, p.record.Key)
}

// release hands out a part as a flow of its own, if somebody takes it.
func (c *Consumer) release(p *heldPart) {
	if c.stopped {
		return
	}
	c.held.take(p)
	c.readOverflow(&p.record)
	c.deliver(&p.record)
}

// readOverflow counts a record of packets metered here as read.
func (c *Consumer) readOverflow(r *bpf.Record) {
	count := recordCount(r)
	c.overflowOpen.Packets -= count.Packets
	c.overflowOpen.Octets -= count.Octets
	c.counted.Read = c.counted.Read.Plus(count)
}

// tendHeld hands out, after a sweep, the parts that the kernel holds nothing
// further of.
func (c *Consumer) tendHeld() error {
	h := &c.held
	looks := 0
	for _, p := range h.queue {
		if p.taken || c.sweeper.last.NowNs < p.nextNs || p.missed >= h.emptied {
			continue
		}
		if looks++; looks > heldLooks {
			break
		}
		if err := c.look(p); err != nil {
			return err
		}
	}
	h.compact()
	return nil
}

// look hands out a part if for the second time the kernel has nothing that
// continues it, all that was in the ring buffer at the first having been read.
func (c *Consumer) look(p *heldPart) error {
	h := &c.held
	err := c.handles.Flows.LookupWithFlags(&p.record.Key, h.value, ebpf.LookupLock)
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("look up a flow in the kernel's table: %w", err)
	}
	switch {
	case err == nil && c.layout.ReadEntry(&h.found, h.value) && c.overflow.rules.continues(&h.found, &p.record):
		p.nextNs, p.missed = c.sweeper.last.NowNs+heldAgain, 0
	case p.missed == 0:
		p.missed = h.emptied
	default:
		c.release(p)
	}
	return nil
}

// merged adds to the kernel's record what of its flow was metered here. It hands
// out nothing.
func (c *Consumer) merged(r *bpf.Record) *bpf.Record {
	if p := c.held.byKey[r.Key]; p != nil && c.overflow.rules.continues(r, &p.record) {
		c.held.take(p)
		r = c.mergeWith(r, &p.record)
	}
	if i := c.overflow.lookup(&r.Key); i != 0 {
		c.overflow.rules.record(&c.part, c.overflow.entry(i))
		if c.overflow.rules.continues(r, &c.part) {
			r = c.mergeWith(r, &c.part)
			c.overflow.take(i)
		}
	}
	return r
}

func (c *Consumer) mergeWith(r, part *bpf.Record) *bpf.Record {
	c.readOverflow(part)
	c.joined = c.overflow.rules.merge(r, part)
	return &c.joined
}

// releaseAll hands out every part, at the end.
func (c *Consumer) releaseAll() {
	for len(c.held.byKey) > 0 && !c.stopped {
		c.release(c.held.first())
	}
}
