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
	// overflowMaxFlows bounds what is metered here. Beyond it the longest quiet flow
	// is closed early: under a flood most of them have one packet anyhow.
	overflowMaxFlows = 16384
	// overflowDueMax bounds what has expired here and waits for others to expire at the
	// same nanosecond.
	overflowDueMax = 512
	// heldMax bounds the parts that wait. Beyond it the oldest is handed out as it
	// is: under a flood most of them have one packet and nothing follows.
	heldMax = 16384
	// heldLooks bounds the looks into the kernel's table after one sweep: the ring
	// buffer is not read meanwhile.
	heldLooks = 1024
	// heldAgain is how long after one look the next is due.
	heldAgain = uint64(time.Second)
)

// newOverflow is a table of what finds no place in the kernel's. It takes all of its
// memory now: a flood is no time to ask for more.
func (c *Consumer) newOverflow(config Config) *table {
	config.MaxFlows = min(config.MaxFlows, overflowMaxFlows)
	t := newTable(&config, c.closeOverflow, func(uint64) {})
	t.dueMax = overflowDueMax
	t.reserve()
	return t
}

// heldParts waits for kernel records, in the order of arrival. Its entries are parts
// that were metered in user space; their times are the programs'.
type heldParts struct {
	store
	max   int
	looks []heldLook // by entry
	// emptied counts how often the ring buffer was read to its end, from 1.
	emptied uint64
	value   []byte     // of an entry of the kernel's that was looked up
	valueTo any        // the same: made one once, as each time it would allocate
	found   bpf.Record // in it
}

// A heldLook is what is known from the kernel's table of a part that waits.
type heldLook struct {
	nextNs uint64 // when to look there again
	// missed is when the kernel was found to hold nothing further, counted in
	// times that the ring buffer was read to its end; 0 is never. What it had
	// closed shortly before is in the ring.
	missed uint64
}

// newHeldParts takes the memory of so many parts now. Tags are those of the table that
// they come from.
func newHeldParts(most int, from *table, entryOctets int) heldParts {
	h := heldParts{store: newStore(from.layout, from.seed), max: most, emptied: 1, value: make([]byte, entryOctets)}
	h.valueTo = h.value
	h.reserve(most, 0)
	h.looks = make([]heldLook, len(h.quiet.links))
	clear(h.looks)
	return h
}

// hold has a closed part wait, if anything can continue it. A part of the same key
// that waits already is handed out: it did not lead up to this one, or they would
// be one.
func (c *Consumer) hold(part *core) {
	switch bpf.EndReason(part.endReason) {
	case bpf.WeirFlowEndReasonEND_OF_FLOW, bpf.WeirFlowEndReasonEND_ACTIVE:
		c.handOutPart(part)
		return
	}
	h := &c.held
	if old := h.find(part.tag, &part.key); old != 0 {
		c.release(old)
	}
	if h.flows >= h.max {
		c.release(h.quiet.first())
	}
	h.keep(part)
}

// keep copies a part for which there is room. Its tag is the store's.
func (h *heldParts) keep(part *core) {
	i := h.allocate()
	h.layout.copy(h.entry(i), part)
	h.add(i, part.tag, 0)
	h.looks[i] = heldLook{}
}

// take ends a part's waiting. It is there until the next one is kept.
func (h *heldParts) take(i uint32) {
	h.remove(i)
	h.store.release(i)
}

// release hands out a part as a flow of its own, if somebody takes it.
func (c *Consumer) release(i uint32) {
	if c.stopped {
		return
	}
	c.held.take(i)
	c.handOutPart(c.held.entry(i))
}

// handOutPart hands out as a flow of its own what was metered here.
func (c *Consumer) handOutPart(part *core) {
	c.readOverflow(part.count())
	c.held.layout.record(&c.part, part)
	c.deliver(&c.part)
}

// readOverflow counts packets metered here as read.
func (c *Consumer) readOverflow(count Count) {
	c.overflowOpen.Packets -= count.Packets
	c.overflowOpen.Octets -= count.Octets
	c.counted.Read = c.counted.Read.Plus(count)
}

// tendHeld hands out, after a sweep, the parts that the kernel holds nothing
// further of.
func (c *Consumer) tendHeld() error {
	h := &c.held
	looks := 0
	for i := h.quiet.first(); i != 0 && looks < heldLooks; {
		next := h.quiet.links[i].next
		if l := h.looks[i]; c.sweeper.last.NowNs >= l.nextNs && l.missed < h.emptied {
			looks++
			if err := c.look(i); err != nil {
				return err
			}
		}
		i = next
	}
	return nil
}

// look hands out a part if for the second time the kernel has nothing that
// continues it, all that was in the ring buffer at the first having been read.
func (c *Consumer) look(i uint32) error {
	h := &c.held
	e, l := h.entry(i), &h.looks[i]
	err := c.handles.Flows.LookupWithFlags(&e.key, h.valueTo, ebpf.LookupLock)
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("look up a flow in the kernel's table: %w", err)
	}
	switch {
	case err == nil && c.layout.ReadEntry(&h.found, h.value) && c.continued(&h.found, e):
		l.nextNs, l.missed = c.sweeper.last.NowNs+heldAgain, 0
	case l.missed == 0:
		l.missed = h.emptied
	default:
		c.release(i)
	}
	return nil
}

// continued tells whether a record of the kernel's and a part that was metered here are
// of one flow. The part is then in c.part.
func (c *Consumer) continued(r *bpf.Record, part *core) bool {
	c.held.layout.record(&c.part, part)
	return c.overflow.rules.continues(r, &c.part)
}

// merged adds to the kernel's record what of its flow was metered here. It hands
// out nothing.
func (c *Consumer) merged(r *bpf.Record) *bpf.Record {
	if c.held.flows == 0 && c.overflow.flows == 0 {
		return r
	}
	tag := c.overflow.tag(&r.Key)
	if i := c.held.find(tag, &r.Key); i != 0 && c.continued(r, c.held.entry(i)) {
		c.held.take(i)
		r = c.mergeWith(r)
	}
	if i := c.overflow.find(tag, &r.Key); i != 0 && c.continued(r, c.overflow.entry(i)) {
		c.overflow.take(i)
		r = c.mergeWith(r)
	}
	return r
}

// mergeWith merges what is in c.part.
func (c *Consumer) mergeWith(r *bpf.Record) *bpf.Record {
	c.readOverflow(recordCount(&c.part))
	c.joined = c.overflow.rules.merge(r, &c.part)
	return &c.joined
}

// releaseAll hands out every part, at the end.
func (c *Consumer) releaseAll() {
	for i := c.held.quiet.first(); i != 0 && !c.stopped; i = c.held.quiet.first() {
		c.release(i)
	}
}
