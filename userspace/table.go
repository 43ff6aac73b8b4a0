package userspace

import (
	"cmp"
	"container/heap"
	"slices"

	"github.com/weirflow/weir/bpf"
)

// entry is an open flow in a table.
type entry struct {
	record  bpf.Record
	samples uint8
	dpiDone bool
	// What the expiry queue sorts by: the record's latest and earliest time when
	// it was queued. The record moves on with every packet and the queue does
	// not: an entry that comes to its head is looked at again.
	queuedLast  uint64
	queuedFirst uint64
}

// expiryQueue is a heap of open flows, the longest quiet first, ties by start.
type expiryQueue []*entry

func (q expiryQueue) Len() int { return len(q) }
func (q expiryQueue) Less(i, j int) bool {
	if q[i].queuedLast != q[j].queuedLast {
		return q[i].queuedLast < q[j].queuedLast
	}
	return q[i].queuedFirst < q[j].queuedFirst
}
func (q expiryQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *expiryQueue) Push(x any)   { *q = append(*q, x.(*entry)) }
func (q *expiryQueue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return e
}

// slab is how many entries are allocated at a time.
const slab = 256

// table holds the open flows of a meter. Closed records are handed to closed,
// which must not keep them. Its memory is that of the most flows ever open at a
// time, at most maxFlows.
type table struct {
	rules    rules
	maxFlows int
	closed   func(*bpf.Record)
	flows    map[bpf.Key]*entry
	queue    expiryQueue
	free     []*entry
	flowIDs  uint64
	clock    uint64 // running maximum of packet times
	open     Count  // in open records
}

func newTable(c *Config, closed func(*bpf.Record)) *table {
	return &table{
		rules:    newRules(c),
		maxFlows: c.MaxFlows,
		closed:   closed,
		flows:    make(map[bpf.Key]*entry),
	}
}

// account adds the packet to its flow, after closing all flows that have been
// idle at its time, and tells the entry and whether the packet is older than the
// flow's latest. The entry is valid until the next call.
func (t *table) account(p *bpf.Packet) (*entry, bool) {
	t.advance(p.TimeNs)
	e := t.flows[p.Key]
	switch {
	case e == nil:
		e = t.insert(p)
	default:
		if reason := t.rules.expired(&e.record, p.TimeNs); reason != bpf.WeirFlowEndReasonEND_NONE {
			t.renew(e, p, reason)
		}
	}
	regression := t.rules.update(&e.record, p)
	t.open = t.open.Plus(Count{1, uint64(p.Octets)})
	return e, regression
}

// advance moves the clock on and closes what has become idle.
func (t *table) advance(nowNs uint64) {
	t.clock = max(t.clock, nowNs)
	for len(t.queue) > 0 && reached(t.clock, t.queue[0].queuedLast, t.rules.idleNs) {
		if e := t.longestQuiet(); reached(t.clock, LastNs(&e.record), t.rules.idleNs) {
			t.remove(bpf.WeirFlowEndReasonEND_IDLE)
		}
	}
}

// longestQuiet brings the queue's order up to date at its head.
func (t *table) longestQuiet() *entry {
	for {
		e := t.queue[0]
		last := LastNs(&e.record)
		if e.queuedLast == last {
			return e
		}
		e.queuedLast, e.queuedFirst = last, FirstNs(&e.record)
		heap.Fix(&t.queue, 0)
	}
}

// insert opens a flow, at the cost of the longest quiet one if there is no room.
func (t *table) insert(p *bpf.Packet) *entry {
	if len(t.flows) >= t.maxFlows {
		t.longestQuiet()
		t.remove(bpf.WeirFlowEndReasonEND_LACK_OF_RESOURCES)
	}
	if len(t.free) == 0 {
		entries := make([]entry, slab)
		for i := range entries {
			t.free = append(t.free, &entries[i])
		}
	}
	e := t.free[len(t.free)-1]
	t.free = t.free[:len(t.free)-1]
	t.flowIDs++
	e.samples, e.dpiDone = 0, false
	recordOpen(&e.record, p, t.flowIDs)
	e.queuedLast, e.queuedFirst = p.TimeNs, p.TimeNs
	t.flows[p.Key] = e
	heap.Push(&t.queue, e)
	return e
}

// renew closes the record of an entry and opens the next in it.
func (t *table) renew(e *entry, p *bpf.Packet, reason bpf.EndReason) {
	t.close(e, reason)
	e.samples, e.dpiDone = 0, false
	if reason == bpf.WeirFlowEndReasonEND_ACTIVE {
		recordContinue(&e.record)
		return
	}
	t.flowIDs++
	recordOpen(&e.record, p, t.flowIDs)
}

// remove closes the flow at the head of the queue and forgets it.
func (t *table) remove(reason bpf.EndReason) {
	e := heap.Pop(&t.queue).(*entry)
	delete(t.flows, e.record.Key)
	t.close(e, reason)
	t.free = append(t.free, e)
}

func (t *table) close(e *entry, reason bpf.EndReason) {
	e.record.EndReason = uint8(reason)
	t.open.Packets -= recordPackets(&e.record)
	t.open.Octets -= e.record.Dir[0].Octets + e.record.Dir[1].Octets
	t.closed(&e.record)
}

// drain closes everything that is left, by start.
func (t *table) drain() {
	left := slices.Clone(t.queue)
	slices.SortFunc(left, func(a, b *entry) int {
		return cmp.Or(cmp.Compare(FirstNs(&a.record), FirstNs(&b.record)), cmp.Compare(a.record.FlowId, b.record.FlowId))
	})
	t.queue = t.queue[:0]
	for _, e := range left {
		delete(t.flows, e.record.Key)
		t.close(e, bpf.WeirFlowEndReasonEND_FORCED)
		t.free = append(t.free, e)
	}
}
