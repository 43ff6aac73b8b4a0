package worker

import (
	"bytes"

	"github.com/weirflow/weir/dpi/ndpi"
	"github.com/weirflow/weir/userspace"
)

// verdictsPerFlow bounds the verdicts that wait for their flow to close: that
// many for each flow that may be under inspection. verdictOctetsMax bounds their
// octets, and verdictKept what an entry keeps for its next flow.
const (
	verdictsPerFlow  = 16
	verdictOctetsMax = 256 << 20
	verdictKept      = 512

	// heldBase and heldFlow bound what nDPI holds: its tables and caches, and that
	// much for each flow that may be under inspection, a few of which take far more.
	heldBase = 64 << 20
	heldFlow = 4 << 10
)

// A Classifier decides what nDPI is shown, and when it has seen enough. The
// policy is nfstream's: a flow is inspected until its application is known and
// nDPI wants no more of it, or the number of dissections is reached; what is
// unknown by then, or when the flow closes, is guessed.
type Classifier struct {
	module      *ndpi.Module
	dissections uint8
	restarted   bool
	maxLive     int
	maxFinished int
	maxOctets   int
	maxMemory   uint64
	octets      int // of the verdicts of finished flows

	details bool
	labels  bool

	flows    map[FlowRef]*entry
	live     list // under inspection, most recently fed first
	finished list // with a verdict, latest first
	spare    *entry
	readings readings
	result   ndpi.Result
	found    ndpi.Details
	learnt   userspace.L7Details
	early    []byte // a verdict that is no end
	label    []byte
	noted    [][]byte // of beginnings that are told
	counts   Ack
}

// An entry is a flow under inspection, or its verdict.
type entry struct {
	ref        FlowRef
	flow       ndpi.Flow
	reading    *reading // nil if nothing was read, or once done
	begin      beginning
	samples    uint8
	known      bool // nDPI needs no more
	done       bool
	verdict    []byte // once done
	prev, next *entry
}

// NewClassifier makes a classifier on a module, which it owns from then on.
func NewClassifier(m *ndpi.Module, h Hello) *Classifier {
	c := &Classifier{
		module:      m,
		dissections: max(h.Dissections, 1),
		restarted:   h.Restarted,
		details:     h.Details,
		labels:      h.Labels,
		maxLive:     int(h.MaxFlows),
		maxFinished: int(h.MaxFlows) * verdictsPerFlow,
		maxOctets:   verdictOctetsMax,
		maxMemory:   heldBase + uint64(h.MaxFlows)*heldFlow,
		flows:       make(map[FlowRef]*entry),
	}
	c.live.init()
	c.finished.init()
	c.readings.list.Init()
	m.Bound(c.maxMemory)
	return c
}

// Quarantine takes a sample that is not looked at, and ends its flow's inspection.
func (c *Classifier) Quarantine(s *userspace.Sample) {
	ref := FlowRef{s.FlowID, s.Part}
	e := c.flows[ref]
	if e == nil {
		e = c.open(ref)
	}
	if e.done {
		return
	}
	if e.flow != nil {
		c.module.Finish(e.flow, &c.result, nil)
		e.flow = nil
	}
	e.verdict = appendUnknown(e.verdict[:0], ReasonQuarantined)
	c.finish(e)
}

// Sample takes a flow's next sample, and tells whether the flow needs no more
// although more may come. It is said once.
func (c *Classifier) Sample(s *userspace.Sample) (done bool) {
	ref := FlowRef{s.FlowID, s.Part}
	e := c.flows[ref]
	if e == nil {
		e = c.open(ref)
		if c.restarted && s.Number != 0 {
			// The beginning went down with the process before this one; nDPI
			// would mistake the middle for it.
			e.verdict = appendUnknown(e.verdict[:0], ReasonEngineCrashed)
			c.finish(e)
			return true
		}
	}
	if e.done {
		return false
	}
	return c.inspect(e, s)
}

func (c *Classifier) inspect(e *entry, s *userspace.Sample) (done bool) {
	if c.live.first() != e {
		c.live.remove(e)
		c.live.push(e)
	}
	e.samples++
	if c.labels {
		c.note(e, s)
	}
	state := ndpi.Rejected
	if !e.known {
		state = c.show(e, s)
	}
	c.inspectItself(e, s)
	e.known = e.known || state.Done()
	if state&ndpi.Known != 0 {
		c.announce(e)
	}
	switch {
	case state&ndpi.Memory != 0:
		e.verdict = appendUnknown(e.verdict[:0], ReasonEvicted)
		c.finish(e)
		return true
	case e.samples >= c.dissections:
		c.decide(e)
		if string(c.result.ApplicationName) != unknownName {
			c.tell(e, e.verdict)
		}
		c.finish(e)
		return false
	case e.known && (e.reading == nil || !e.reading.wants()):
		c.judge(e)
		return true
	}
	return false
}

// show shows nDPI a sample.
func (c *Classifier) show(e *entry, s *userspace.Sample) ndpi.State {
	c.turns(e, s)
	state := c.module.Feed(&e.flow, s.Packet, s.WireLength, s.TimeNs/1e6)
	if state&ndpi.Rejected != 0 {
		c.counts.Rejected++
	} else {
		c.counts.Shown++
	}
	if state&ndpi.Crowded != 0 {
		c.relieve(e)
	}
	return state
}

// relieve judges the flows that were fed least recently, but the one given, until
// nDPI holds a sixteenth less than it may.
func (c *Classifier) relieve(but *entry) {
	if c.module.MemoryExact() <= c.maxMemory {
		return
	}
	for c.module.Memory() > c.maxMemory-c.maxMemory/16 {
		e := c.live.last()
		if e == nil || e == but {
			return
		}
		c.counts.Evicted++
		c.judge(e)
	}
}

// turns shows nDPI that packets without payload came before the sample. They are
// not sampled, and do not count.
func (c *Classifier) turns(e *entry, s *userspace.Sample) {
	along, against := s.BareForward, s.BareReverse
	if s.Reverse {
		along, against = against, along
	}
	if along {
		c.module.Bare(e.flow, s.Packet, s.WireLength, s.TimeNs/1e6, false)
	}
	if against {
		c.module.Bare(e.flow, s.Packet, s.WireLength, s.TimeNs/1e6, true)
	}
}

// Close appends the payload of the flow's verdict to b, and forgets the flow.
func (c *Classifier) Close(ref FlowRef, b []byte) []byte {
	e := c.flows[ref]
	if e == nil {
		return appendUnknown(b, ReasonNotSampled)
	}
	if !e.done {
		c.judge(e)
	}
	b = append(b, e.verdict...)
	c.forget(e)
	return b
}

// Counts is what became of the samples so far.
func (c *Classifier) Counts() Ack {
	a := c.counts
	a.Unread, a.Memory = c.readings.dropped, c.module.Memory()
	return a
}

// End gives back what the classifier holds.
func (c *Classifier) End() {
	for e := c.live.last(); e != nil; e = c.live.last() {
		c.judge(e)
	}
	c.module.Close()
}

func (c *Classifier) open(ref FlowRef) *entry {
	if c.live.n >= c.maxLive {
		c.counts.Evicted++
		c.judge(c.live.last())
	}
	e := c.spare
	if e == nil {
		e = new(entry)
	} else {
		c.spare = e.next
	}
	*e = entry{ref: ref, verdict: e.verdict[:0]}
	c.flows[ref] = e
	c.live.push(e)
	return e
}

// judge ends the inspection of a flow and keeps the verdict.
func (c *Classifier) judge(e *entry) {
	c.decide(e)
	c.finish(e)
}

// decide makes the verdict out of what is known.
func (c *Classifier) decide(e *entry) {
	switch {
	case e.flow == nil:
		e.verdict = appendUnknown(e.verdict[:0], ReasonNotSampled)
	case c.details:
		c.module.Finish(e.flow, &c.result, &c.found)
		e.verdict = c.appendLearnt(e.verdict[:0], e)
	default:
		c.module.Finish(e.flow, &c.result, nil)
		e.verdict = appendResult(e.verdict[:0], &c.result)
	}
	e.flow = nil
}

// appendLearnt appends a result with its details. A server name that nDPI does
// not find, as that of a QUIC hello in pieces in 4.2, is filled in.
func (c *Classifier) appendLearnt(b []byte, e *entry) []byte {
	d := c.gather(e)
	if len(c.result.ServerName) == 0 {
		c.result.ServerName = hostName(d.TLSServerName)
	}
	return appendDetails(appendResult(b, &c.result), d)
}

// hostNameMax is how much of a host's name every release of nDPI keeps.
const hostNameMax = 79

// hostName is a name as nDPI keeps it: its end, in lower case.
func hostName(name string) []byte {
	b := bytes.ToLower([]byte(name))
	return bytes.ToValidUTF8(b[max(0, len(b)-hostNameMax):], nil)
}

func (c *Classifier) finish(e *entry) {
	c.live.remove(e)
	e.done = true
	c.forgetBeginning(e)
	if e.reading != nil {
		c.readings.giveBack(e.reading)
		e.reading = nil
	}
	c.finished.push(e)
	c.octets += len(e.verdict)
	for c.finished.n > c.maxFinished || c.octets > c.maxOctets {
		c.counts.Evicted++
		c.forget(c.finished.last())
	}
}

func (c *Classifier) forget(e *entry) {
	c.finished.remove(e)
	delete(c.flows, e.ref)
	c.octets -= len(e.verdict)
	if cap(e.verdict) > verdictKept {
		e.verdict = nil
	}
	e.next, c.spare = c.spare, e
}

// A list of entries, linked through them.
type list struct {
	ring entry // the list's two ends
	n    int
}

func (l *list) init() { l.ring.next, l.ring.prev = &l.ring, &l.ring }

func (l *list) first() *entry { return l.end(l.ring.next) }

func (l *list) last() *entry { return l.end(l.ring.prev) }

func (l *list) end(e *entry) *entry {
	if e == &l.ring {
		return nil
	}
	return e
}

func (l *list) push(e *entry) {
	e.prev, e.next = &l.ring, l.ring.next
	e.prev.next, e.next.prev = e, e
	l.n++
}

func (l *list) remove(e *entry) {
	e.prev.next, e.next.prev = e.next, e.prev
	e.prev, e.next = nil, nil
	l.n--
}
