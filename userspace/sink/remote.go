package sink

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weirflow/weir/userspace"
	"github.com/weirflow/weir/userspace/feature"
)

// Why flows were not sent over a network, or are not yet.
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

// A remote writes whole records to a network address. Write queues, and waits only
// after Patient; a goroutine sends. A record stays in the queue
// until it has arrived. When a connection breaks, it is sent again on the next one, so
// that each comes once on a connection, and on several at most when it is not known
// what had arrived.
type remote struct {
	guard
	name    string
	place   place
	limits  limits
	header  []byte
	queue   *queue
	closing chan struct{}
	patient atomic.Bool
	done    chan struct{} // closed when the sender has ended
	cancel  context.CancelFunc

	backoff backoff              // of the sender
	last    atomic.Pointer[wire] // the connection that is, or was last

	mu      sync.Mutex // of those who write
	encoder encoder
	labels  *labelEncoder
	row     feature.Row
	record  []byte

	stateMu sync.Mutex // what follows
	trouble error      // nil while there is a connection
	end     uint64     // flows settled when Close gave up the rest
	refused userspace.Count
	ended   bool
}

func newRemote(name string, p place, e encoder, labels *labelEncoder, l limits) *remote {
	r := &remote{
		name: name, place: p, limits: l, header: e.appendHeader(nil), queue: newQueue(l.records, l.octets),
		closing: make(chan struct{}), done: make(chan struct{}), encoder: e, labels: labels,
		trouble: errors.New("not connected yet"),
	}
	r.backoff.limits = &r.limits
	return r
}

func (r *remote) start() *remote {
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go func() {
		defer close(r.done)
		r.send(ctx)
	}()
	return r
}

func (r *remote) Name() string { return r.name }

func (r *remote) Write(f *userspace.Flow) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.row.Flow = f
	r.record = r.guard.append(r.encoder, r.record[:0], &r.row)
	r.row.Flow = nil
	if err := r.put(1, userspace.Count{Packets: f.Packets(), Octets: f.Octets()}); err != nil {
		return err
	}
	r.row.ID++
	return nil
}

// WantsLabels implements Labeler.
func (r *remote) WantsLabels() bool { return r.labels != nil }

// WriteLabel implements Labeler.
func (r *remote) WriteLabel(l *userspace.Label) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.record = r.labels.appendLabel(r.record[:0], l)
	return r.put(0, userspace.Count{})
}

// put queues the record, or refuses it.
func (r *remote) put(flows uint64, count userspace.Count) error {
	for !r.queue.add(r.record, flows, count) {
		if !r.mayWait() {
			r.queue.refuse(flows, count)
			return &Error{Output: r.name, Flows: flows, NotSent: count, Err: r.reason()}
		}
		select {
		case <-r.queue.room:
		case <-time.After(r.limits.look):
		}
	}
	return nil
}

// Patient implements Queued.
func (r *remote) Patient() { r.patient.Store(true) }

// mayWait tells whether a writer that can wait should: not for what does not move.
func (r *remote) mayWait() bool { return r.patient.Load() && r.queue.still() < r.limits.drain }

// reason is why there is no room.
func (r *remote) reason() error {
	r.stateMu.Lock()
	defer r.stateMu.Unlock()
	if r.trouble != nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, r.trouble)
	}
	return ErrSlow
}

// Flush implements Sink. It does not wait: its error is ErrWaiting while something is
// queued, and ErrUnreachable besides where there is no connection.
func (r *remote) Flush() error {
	if r.queue.empty() {
		return nil
	}
	err := ErrWaiting
	if reason := r.reason(); errors.Is(reason, ErrUnreachable) {
		err = fmt.Errorf("%w: %w", ErrWaiting, reason)
	}
	return &Error{Output: r.name, Err: err}
}

// Reopen implements Sink: there is no file.
func (r *remote) Reopen() error { return nil }

// Settled implements Queued.
func (r *remote) Settled() (flows uint64, notSent userspace.Count) {
	r.stateMu.Lock()
	defer r.stateMu.Unlock()
	if r.ended {
		return r.end, r.refused
	}
	return r.queue.settled()
}

// Close implements Sink. It waits for what is queued, as long as WithDrain allows,
// and gives up the rest.
func (r *remote) Close() error {
	close(r.closing)
	select {
	case <-r.done:
	case <-time.After(r.limits.drain):
	}
	r.cancel()
	<-r.done
	flows, refused := r.queue.settled()
	r.stateMu.Lock()
	r.end, r.refused, r.ended = flows, refused, true
	r.stateMu.Unlock()
	return r.GiveUp()
}

// GiveUp implements Queued.
func (r *remote) GiveUp() error {
	written := int64(0)
	if w := r.last.Load(); w != nil {
		written = w.written.Load()
	}
	unconfirmed, unsent := r.queue.giveUp(written)
	return errors.Join(r.gaveUp(unconfirmed, ErrUnconfirmed), r.gaveUp(unsent, r.reason()))
}

func (r *remote) gaveUp(s share, why error) error {
	if s.flows == 0 {
		return nil
	}
	return &Error{Output: r.name, Flows: s.flows, NotSent: s.count, Err: why}
}
