package sink

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weirflow/weir/userspace"
	"github.com/weirflow/weir/userspace/feature"
)

// Why an output that queues did not send flows, or has not yet.
var (
	// ErrUnreachable is that there is no connection.
	ErrUnreachable = errors.New("no connection")
	// ErrSlow is that the other side takes less than there is.
	ErrSlow = errors.New("the other side is too slow")
	// ErrUnconfirmed is that a flow was written, in whole or in part, and is not
	// known to have arrived.
	ErrUnconfirmed = errors.New("written, but not known to have arrived")
	// ErrWaiting is that flows are still queued. It is no loss.
	ErrWaiting = errors.New("flows are waiting")
)

// An entrance is where flows are given to an output that queues: it makes records
// of them and queues these, or refuses them for want of room. It waits only after
// Patient.
type entrance struct {
	guard
	name    string
	limits  limits
	queue   *queue
	reason  func() error // why there is no room
	patient atomic.Bool
	// turnedAway are the flows that found no room, or were given up.
	turnedAway atomic.Uint64

	mu      sync.Mutex // of those who write
	encoder encoder
	labels  *labelEncoder
	row     feature.Row
	record  []byte

	frozenMu sync.Mutex // what was settled when the rest was given up
	frozen   bool
	settled  uint64
	refused  userspace.Count
}

func (e *entrance) init(name string, enc encoder, labels *labelEncoder, l limits, reason func() error) {
	e.name, e.encoder, e.labels, e.limits, e.reason = name, enc, labels, l, reason
	e.queue = newQueue(l.records, l.octets)
}

// Name implements Sink.
func (e *entrance) Name() string { return e.name }

// Write implements Sink.
func (e *entrance) Write(f *userspace.Flow) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.row.Flow = f
	e.record = e.guard.append(e.encoder, e.record[:0], &e.row)
	e.row.Flow = nil
	if err := e.put(1, userspace.Count{Packets: f.Packets(), Octets: f.Octets()}); err != nil {
		return err
	}
	e.row.ID++
	return nil
}

// WantsLabels implements Labeler.
func (e *entrance) WantsLabels() bool { return e.labels != nil }

// WriteLabel implements Labeler.
func (e *entrance) WriteLabel(l *userspace.Label) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.record = e.labels.appendLabel(e.record[:0], l)
	return e.put(0, userspace.Count{})
}

// put queues the record, or refuses it.
func (e *entrance) put(flows uint64, count userspace.Count) error {
	for !e.queue.add(e.record, flows, count) {
		if !e.mayWait() {
			e.queue.refuse(flows, count)
			e.turnedAway.Add(flows)
			return &Error{Output: e.name, Flows: flows, NotSent: count, Err: e.reason()}
		}
		select {
		case <-e.queue.room:
		case <-time.After(e.limits.look):
		}
	}
	return nil
}

// Patient implements Queued.
func (e *entrance) Patient() { e.patient.Store(true) }

// mayWait tells whether a writer that can wait should: not for what does not move.
func (e *entrance) mayWait() bool { return e.patient.Load() && e.queue.still() < e.limits.drain }

// Settled implements Queued.
func (e *entrance) Settled() (flows uint64, notSent userspace.Count) {
	e.frozenMu.Lock()
	defer e.frozenMu.Unlock()
	if e.frozen {
		return e.settled, e.refused
	}
	return e.queue.settled()
}

// Refused implements Queued.
func (e *entrance) Refused(n uint64) (of uint64, notSent userspace.Count) {
	e.frozenMu.Lock()
	defer e.frozenMu.Unlock()
	if e.frozen && n >= e.settled {
		return e.settled, e.refused
	}
	return e.queue.refusedOf(n)
}

// freeze has Settled leave out what Close gives up: whoever has these flows still
// may give them to another.
func (e *entrance) freeze() {
	flows, refused := e.queue.settled()
	e.frozenMu.Lock()
	defer e.frozenMu.Unlock()
	e.frozen, e.settled, e.refused = true, flows, refused
}

// gaveUp is the error that counts what was given up.
func (e *entrance) gaveUp(s share, why error) error {
	if s.flows == 0 {
		return nil
	}
	e.turnedAway.Add(s.flows)
	return &Error{Output: e.name, Flows: s.flows, NotSent: s.count, Err: why}
}

// isClosed looks whether c has been closed, and does not wait for it.
func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
