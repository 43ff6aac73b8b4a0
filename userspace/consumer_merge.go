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
	// heldSweeps is how many sweeps a part waits at least. A record that was closed
	// while the first looked is in the ring by the second.
	heldSweeps = 2
	// heldAgain is how long after one look into the kernel's table the next is due.
	heldAgain = uint64(time.Second)
)

// A heldPart is a record of packets metered in user space. Its times are the
// programs'.
type heldPart struct {
	record bpf.Record
	sweeps int    // since it waits
	nextNs uint64 // when to look into the kernel's table again
	taken  bool   // by the kernel's record
}

// heldParts waits for kernel records, in the order of arrival.
type heldParts struct {
	queue []*heldPart
	byKey map[bpf.Key]*heldPart
}

// hold has a closed part wait. A part of the same key that waits already is
// handed out: it did not lead up to this one, or they would be one.
func (c *Consumer) hold(r *bpf.Record) {
	h := &c.held
	if old := h.byKey[r.Key]; old != nil {
		c.release(old)
	}
	if len(h.byKey) >= heldMax {
		c.release(h.first())
	}
	p := &heldPart{record: *r}
	h.queue = append(h.queue, p)
	h.byKey[r.Key] = p
}

// first is the part that has waited longest. There must be one.
func (h *heldParts) first() *heldPart {
	for h.queue[0].taken {
		h.queue = h.queue[1:]
	}
	return h.queue[0]
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
	waiting := c.held.queue[:0]
	for _, p := range c.held.queue {
		if p.taken {
			continue
		}
		follows, err := c.awaits(p)
		if err != nil {
			return err
		}
		if !follows {
			c.release(p)
		}
		if !p.taken {
			waiting = append(waiting, p)
		}
	}
	clear(c.held.queue[len(waiting):])
	c.held.queue = waiting
	return nil
}

// awaits says whether a record that continues the part may still come.
func (c *Consumer) awaits(p *heldPart) (bool, error) {
	now := c.sweeper.last.NowNs
	if p.sweeps++; p.sweeps <= heldSweeps || now < p.nextNs {
		return true, nil
	}
	p.nextNs = now + heldAgain
	var e bpf.WeirFlowEntry
	err := c.handles.Flows.LookupWithFlags(&p.record.Key, &e, ebpf.LookupLock)
	switch {
	case errors.Is(err, ebpf.ErrKeyNotExist):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("look up a flow in the kernel's table: %w", err)
	}
	return e.State == entryOpen && c.overflow.rules.continues(&e.Record, &p.record), nil
}

// entryOpen is ENTRY_OPEN of bpf/maps.h.
const entryOpen = uint32(bpf.WeirEntryStateENTRY_OPEN)

// merged adds to the kernel's record what of its flow was metered here.
func (c *Consumer) merged(r *bpf.Record) *bpf.Record {
	if len(c.overflow.due) > 0 {
		c.overflow.handOut()
	}
	if p := c.held.byKey[r.Key]; p != nil && c.overflow.rules.continues(r, &p.record) {
		c.held.take(p)
		r = c.mergeWith(r, &p.record)
	}
	if i := c.overflow.lookup(&r.Key); i != 0 && c.overflow.rules.continues(r, &c.overflow.entry(i).record) {
		r = c.mergeWith(r, &c.overflow.entry(i).record)
		c.overflow.take(i)
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
