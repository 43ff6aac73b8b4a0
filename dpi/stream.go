package dpi

import (
	"context"
	"iter"
	"sync"
	"time"

	"github.com/weirflow/weir/dpi/worker"
	"github.com/weirflow/weir/userspace"
)

// patience is how long a Lossy worker's full queue may hold up the meter: enough
// for a process that works to answer half of DefaultQueue, as when many flows
// end at once, and little for a ring buffer to bridge.
const patience = 50 * time.Millisecond

// A pending flow is one that the inner source has yielded and the stream has
// not; or an error in its place.
type pending struct {
	flow     userspace.Flow
	err      error
	stream   *stream
	question *question // used again unless given up; under Worker.mu
	ready    bool      // under stream.mu
}

// A question is a Close that was sent and not answered. The process answers in
// turn, so it stays in its place also where no flow waits for the answer.
type question struct {
	ref  worker.FlowRef
	seq  uint64   // of the batch that asks
	flow *pending // nil: given up, or answered
}

// A fifo of what waits.
type fifo[T any] struct {
	ring  []*T // length a power of two
	head  int
	count int
}

func (q *fifo[T]) push(p *T) {
	if q.count == len(q.ring) {
		ring := make([]*T, max(64, 2*len(q.ring)))
		for i := range q.count {
			ring[i] = q.at(i)
		}
		q.ring, q.head = ring, 0
	}
	q.ring[(q.head+q.count)&(len(q.ring)-1)] = p
	q.count++
}

// at is the i-th of those that wait, from 0.
func (q *fifo[T]) at(i int) *T { return q.ring[(q.head+i)&(len(q.ring)-1)] }

func (q *fifo[T]) first() *T {
	if q.count == 0 {
		return nil
	}
	return q.at(0)
}

func (q *fifo[T]) pop() *T {
	p := q.first()
	if p != nil {
		q.ring[q.head] = nil
		q.head = (q.head + 1) & (len(q.ring) - 1)
		q.count--
	}
	return p
}

// A tally is flows that the stream has yielded.
type tally struct {
	count      userspace.Count
	flows      uint64
	endReasons [6]uint64
}

func (t *tally) add(f *userspace.Flow) {
	t.count = t.count.Plus(userspace.Count{Packets: f.Packets(), Octets: f.Octets()})
	t.flows++
	if r := int(f.EndReason()); r < len(t.endReasons) {
		t.endReasons[r]++
	}
}

// A stream is a Source that waits for the verdicts over another's flows. One
// goroutine meters, ahead by at most the queue; the caller's takes flows whose
// verdict is there.
type stream struct {
	w    *Worker
	src  userspace.Source
	stop userspace.DPIStopper

	mu      sync.Mutex
	ready   sync.Cond // the first of the queue is ready, or the input ended
	room    sync.Cond // the queue has room, or the caller has gone
	queue   fifo[pending]
	spare   []*pending
	yielded tally
	waiting bool // for room
	// impatient: the queue was not half emptied in time, nor has it been since.
	impatient bool
	ended     bool
	halted    bool
	produced  chan struct{}
}

// Wrap returns a Source that yields the flows and errors of src in src's order,
// with their L7 set. The L7 may be shared between flows: it is not to be
// written to. stop, which may be nil, is told which flows need no more samples.
//
// In its Ledger a flow is read and delivered when it is yielded, and open
// before. If the caller leaves the iteration early, what waits is yielded by
// the next.
func (w *Worker) Wrap(src userspace.Source, stop userspace.DPIStopper) userspace.Source {
	l := src.Ledger()
	s := &stream{w: w, src: src, stop: stop, yielded: tally{l.Delivered, l.Flows, l.EndReasons}}
	s.ready.L, s.room.L = &s.mu, &s.mu
	if w.o.Lossy {
		s.reserve()
	}
	return s
}

// reserve takes now what memory the queue can come to take: of a live meter, which has no
// time to ask for it in a flood.
func (s *stream) reserve() {
	all := make([]pending, s.w.o.Queue)
	for i := range all {
		all[i].stream, all[i].question = s, new(question)
		s.spare = append(s.spare, &all[i])
	}
}

// Flows implements userspace.Source.
func (s *stream) Flows(ctx context.Context) iter.Seq2[*userspace.Flow, error] {
	return func(yield func(*userspace.Flow, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		s.ended, s.halted = false, false
		s.produced = make(chan struct{})
		go s.produce(ctx)
		defer func() {
			s.halt()
			cancel()
			<-s.produced
		}()
		for p := s.next(nil); p != nil; p = s.next(p) {
			f := &p.flow
			if p.err != nil {
				f = nil
			}
			if !yield(f, p.err) {
				return
			}
		}
	}
}

// Ledger implements userspace.Source. The inner source has delivered what is on
// the way through the stream as well; that is open until it is yielded.
func (s *stream) Ledger() userspace.Ledger {
	l := s.src.Ledger()
	s.mu.Lock()
	defer s.mu.Unlock()
	y := &s.yielded
	// The inner source may count a flow only after it was yielded here.
	if y.count.Packets > l.Delivered.Packets || y.count.Octets > l.Delivered.Octets || y.flows > l.Flows {
		return l
	}
	waiting := userspace.Count{
		Packets: l.Delivered.Packets - y.count.Packets,
		Octets:  l.Delivered.Octets - y.count.Octets,
	}
	l.Open = l.Open.Plus(waiting)
	l.Read.Packets -= waiting.Packets
	l.Read.Octets -= waiting.Octets
	l.Delivered, l.Flows, l.EndReasons = y.count, y.flows, y.endReasons
	return l
}

// produce moves flows from the inner source to the queue. A panic of the source is an
// error of its, and its end; what it had yielded comes out.
func (s *stream) produce(ctx context.Context) {
	defer close(s.produced)
	s.w.shards.begin(s.stop)
	all, err := s.pass(ctx)
	if err != nil {
		s.take(nil, err)
	} else if !all {
		return
	}
	s.w.shards.flush()
	s.mu.Lock()
	s.ended = true
	s.ready.Signal()
	s.mu.Unlock()
}

// pass passes on what the inner source yields, and tells whether that is all: the
// caller may have left.
func (s *stream) pass(ctx context.Context) (all bool, err error) {
	ours := false
	defer func() {
		if ours {
			return // no panic of the source's
		}
		if p := recover(); p != nil {
			err = &userspace.PanicError{What: "the source of flows", Value: p}
		}
	}()
	for f, err := range s.src.Flows(ctx) {
		ours = true
		p := s.take(f, err)
		if err == nil {
			s.w.shards.of(&p.flow.Record.Key).ask(p)
		}
		more := s.wait()
		ours = false
		if !more {
			return false, nil
		}
	}
	return true, nil
}

// take queues a copy of what the inner source yielded.
func (s *stream) take(f *userspace.Flow, err error) *pending {
	s.mu.Lock()
	defer s.mu.Unlock()
	var p *pending
	if n := len(s.spare); n > 0 {
		p, s.spare = s.spare[n-1], s.spare[:n-1]
	} else {
		p = &pending{stream: s}
	}
	p.err, p.ready = err, err != nil
	if err == nil {
		p.flow = *f
	}
	s.queue.push(p)
	if s.queue.first() == p && p.ready {
		s.ready.Signal()
	}
	return p
}

// wait blocks while the queue is full. It returns false when the caller left.
func (s *stream) wait() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.queue.count < s.w.o.Queue {
		return !s.halted
	}
	if !s.impatient {
		s.mu.Unlock()
		s.w.shards.flush()
		s.mu.Lock()
		if s.w.o.Lossy {
			defer s.limitWait().Stop()
		}
	}
	for s.full() {
		if s.impatient && !s.queue.first().ready {
			s.giveUp()
		}
		s.waiting = true
		s.room.Wait()
	}
	s.waiting = false
	return !s.halted
}

func (s *stream) full() bool { return s.queue.count >= s.w.o.Queue && !s.halted }

// limitWait ends the producer's patience in time, if it still waits by then.
func (s *stream) limitWait() *time.Timer {
	return time.AfterFunc(patience, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.waiting {
			s.impatient = true
			s.room.Signal()
		}
	})
}

// giveUp makes the oldest of a full queue ready, without a label where there is
// no verdict yet. It is a share of the queue, since the producer sleeps until
// the caller has taken them. s.mu is held.
func (s *stream) giveUp() {
	for i := range max(1, s.w.o.Queue/16) {
		if p := s.queue.at(i); !p.ready {
			p.ready = s.w.shards.of(&p.flow.Record.Key).giveUp(p)
		}
	}
	if s.queue.first().ready {
		s.ready.Signal()
	}
}

// next takes back the flow that was yielded, and returns the next one whose
// verdict is there; nil at the end.
func (s *stream) next(yielded *pending) *pending {
	s.mu.Lock()
	defer s.mu.Unlock()
	if yielded != nil {
		yielded.flow.L7, yielded.err = nil, nil
		s.spare = append(s.spare, yielded)
	}
	for {
		p := s.queue.first()
		switch {
		case p != nil && p.ready:
			s.deliver(p)
			return p
		case p == nil && s.ended:
			return nil
		}
		if s.waiting && s.impatient {
			s.room.Signal()
		}
		s.ready.Wait()
	}
}

func (s *stream) deliver(p *pending) {
	s.queue.pop()
	if p.err == nil {
		s.yielded.add(&p.flow)
	}
	// Waking the producer for every flow would cost more than the flow.
	if s.queue.count <= s.w.o.Queue/2 {
		s.impatient = false
		if s.waiting {
			s.room.Signal()
		}
	}
}

// halt lets the producer go.
func (s *stream) halt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.halted = true
	s.room.Signal()
}

// resolve marks flows as ready.
func resolve(flows []*pending) {
	for len(flows) > 0 {
		s := flows[0].stream
		s.mu.Lock()
		for len(flows) > 0 && flows[0].stream == s {
			flows[0].ready = true
			flows = flows[1:]
		}
		if p := s.queue.first(); p != nil && p.ready {
			s.ready.Signal()
		}
		s.mu.Unlock()
	}
}
