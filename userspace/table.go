package userspace

import (
	"cmp"
	"hash/maphash"
	"slices"

	"github.com/weirflow/weir/bpf"
)

// dueRecord is a closed record waiting for those that expire at the same time.
type dueRecord struct {
	atNs  uint64 // when it expired
	entry uint32
}

// dueMax bounds what waits in a Meter's table.
const dueMax = 4096

// table holds the open flows of a meter, in the order in which they are to be closed.
// Its memory is that of the most flows ever open at a time, at most maxFlows.
//
// The clock is the running maximum of packet times. A record is closed when it
// is idle by it, counted from where the clock stood at the record's last packet:
// so where a file's times run backwards, flows in its older part last as long as
// in any other. With times in order this is the record's own last time. The same
// goes for TCP connections that have ended.
type table struct {
	store    // quiet is by the last packet
	rules    rules
	maxFlows int
	ended    order // of TCP connections past their end, by when that was
	flowIDs  uint64
	clock    uint64
	due      []dueRecord
	// dueMax bounds what waits. Only where more than this expire at the same
	// nanosecond are ties not in the order of their start.
	dueMax int
	// deliver hands out a closed record, which is valid during the call. It says
	// false if it could not: then the record is handed out again.
	deliver func(*core) bool
	// forget is told that a flow has ended, splits aside.
	forget func(flowID uint64)
}

func newTable(c *Config, deliver func(*core) bool, forget func(flowID uint64)) *table {
	rules := newRules(c)
	return &table{
		store:    newStore(rules.layout, maphash.MakeSeed()),
		rules:    rules,
		maxFlows: c.MaxFlows,
		ended:    order{make([]link, 1)},
		due:      make([]dueRecord, 0, dueMax),
		dueMax:   dueMax,
		deliver:  deliver,
		forget:   forget,
	}
}

// reserve takes now what memory the table can come to take.
func (t *table) reserve() {
	t.store.reserve(t.maxFlows, t.dueMax)
	if t.rules.graceNs > 0 {
		t.ended.reserve(len(t.quiet.links))
	}
}

// advance moves the clock on, and closes and hands out what expired before.
func (t *table) advance(nowNs uint64) {
	if nowNs > t.clock {
		t.clock = nowNs
		t.handOut()
	}
	for i, atNs := t.over(); i != 0; i, atNs = t.over() {
		t.close(i, t.rules.over(t.entry(i), t.clock), atNs)
	}
}

// over is the entry that is to be closed next by the clock, and since when; 0 if
// there is none. The reason is for the record's own times to tell, as it is when a
// packet or the end of input closes it.
func (t *table) over() (i uint32, atNs uint64) {
	if first := t.quiet.first(); first != 0 && t.clock-t.quiet.links[first].seen >= t.rules.idleNs {
		i, atNs = first, t.quiet.links[first].seen+t.rules.idleNs
	}
	if first := t.ended.first(); first != 0 && t.clock-t.ended.links[first].seen >= t.rules.graceNs {
		if at := t.ended.links[first].seen + t.rules.graceNs; i == 0 || at <= atNs {
			i, atNs = first, at
		}
	}
	return i, atNs
}

// account adds the packet to its flow, which it opens where there is none, and
// says whether it is older than the flow's latest. The clock is past the
// packet's time. The entry is valid until the next call.
func (t *table) account(p *bpf.Packet, name uint16) (i uint32, regression bool) {
	tag := t.tag(&p.Key)
	i = t.find(tag, &p.Key)
	if i == 0 {
		i = t.open(tag, p, name)
	} else {
		i = t.renew(i, p, name)
	}
	e := t.entry(i)
	ended := t.rules.ended(e.tcpEnd)
	regression = t.rules.update(e, p)
	t.quiet.touch(i, t.clock)
	if !ended && t.rules.ended(e.tcpEnd) {
		t.ended.grow(len(t.quiet.links))
		t.ended.add(i, t.clock)
	}
	return i, regression
}

// take gives up an open flow without handing it out.
func (t *table) take(i uint32) {
	t.remove(i)
	t.release(i)
}

// open inserts a new flow, at the cost of the longest quiet one if there is no
// room.
func (t *table) open(tag uint32, p *bpf.Packet, name uint16) uint32 {
	if t.flows >= t.maxFlows {
		t.close(t.quiet.first(), bpf.WeirFlowEndReasonEND_LACK_OF_RESOURCES, t.clock)
	}
	i := t.allocate()
	e := t.entry(i)
	t.flowIDs++
	t.rules.open(e, p, t.flowIDs)
	e.name = name
	t.add(i, tag, t.clock)
	return i
}

// renew closes the record of an entry if it has expired at the packet's time,
// and opens the next.
func (t *table) renew(i uint32, p *bpf.Packet, name uint16) uint32 {
	c := t.entry(i)
	switch reason := t.rules.expired(c, p); reason {
	case bpf.WeirFlowEndReasonEND_IDLE:
		t.close(i, reason, min(c.lastNs()+t.rules.idleNs, p.TimeNs))
		return t.open(c.tag, p, name)
	case bpf.WeirFlowEndReasonEND_OF_FLOW:
		t.close(i, reason, min(c.endedNs+t.rules.graceNs, p.TimeNs))
		return t.open(c.tag, p, name)
	case bpf.WeirFlowEndReasonEND_ACTIVE:
		old, e := t.allocate(), t.entry(i)
		t.rules.copy(t.entry(old), e)
		t.wait(old, bpf.WeirFlowEndReasonEND_ACTIVE, p.TimeNs)
		t.rules.split(e)
		e.samples, e.state = 0, 0
	}
	return i
}

// close takes an open record out of the table.
func (t *table) close(i uint32, reason bpf.EndReason, atNs uint64) {
	t.remove(i)
	t.wait(i, reason, atNs)
}

func (t *table) remove(i uint32) {
	c := t.entry(i)
	t.store.remove(i)
	if t.rules.ended(c.tcpEnd) {
		t.ended.remove(i)
	}
	t.forget(c.flowID)
}

// wait puts a closed record behind those that expire earlier.
func (t *table) wait(i uint32, reason bpf.EndReason, atNs uint64) {
	if n := len(t.due); n >= t.dueMax || n > 0 && t.due[n-1].atNs != atNs {
		t.handOut()
	}
	t.entry(i).endReason = uint8(reason)
	t.due = append(t.due, dueRecord{atNs, i})
}

// handOut delivers what waits, until the receiver wants no more.
func (t *table) handOut() {
	if len(t.due) > 1 {
		slices.SortFunc(t.due, t.compareDue)
	}
	done := 0
	for done < len(t.due) && t.deliver(t.entry(t.due[done].entry)) {
		t.release(t.due[done].entry)
		done++
	}
	t.due = append(t.due[:0], t.due[done:]...)
}

func (t *table) compareDue(a, b dueRecord) int {
	x, y := t.entry(a.entry), t.entry(b.entry)
	return cmp.Or(
		cmp.Compare(a.atNs, b.atNs),
		cmp.Compare(x.firstNs(), y.firstNs()),
		cmp.Compare(x.flowID, y.flowID),
		cmp.Compare(x.part, y.part),
	)
}

// drain closes and hands out everything at the end of input: first what is over
// by then, the rest as forced.
func (t *table) drain() {
	t.handOut()
	t.due = slices.Grow(t.due, t.flows)
	for i := t.quiet.first(); i != 0; i = t.quiet.first() {
		c := t.entry(i)
		end, atNs := t.rules.over(c, t.clock), t.clock
		switch end {
		case bpf.WeirFlowEndReasonEND_NONE:
			end = bpf.WeirFlowEndReasonEND_FORCED
		case bpf.WeirFlowEndReasonEND_IDLE:
			atNs = c.lastNs() + t.rules.idleNs
		case bpf.WeirFlowEndReasonEND_OF_FLOW:
			atNs = c.endedNs + t.rules.graceNs
		}
		t.remove(i)
		c.endReason = uint8(end)
		t.due = append(t.due, dueRecord{atNs, i})
	}
	t.handOut()
}

// closePoint closes and hands out what is of one observation point, as forced.
func (t *table) closePoint(point uint8) {
	for i := t.quiet.first(); i != 0; {
		next := t.quiet.links[i].next
		if t.entry(i).key.Point == point {
			t.close(i, bpf.WeirFlowEndReasonEND_FORCED, t.clock)
		}
		i = next
	}
	t.handOut()
}

// held adds up what is in records that have not been handed out.
func (t *table) held() (c Count) {
	for i := t.quiet.first(); i != 0; i = t.quiet.links[i].next {
		c = c.Plus(t.entry(i).count())
	}
	for _, d := range t.due {
		c = c.Plus(t.entry(d.entry).count())
	}
	return c
}
