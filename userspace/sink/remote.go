package sink

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// A remote writes whole records to a network address: its sender takes them from
// the entrance's queue. A record stays there until it has arrived. When a connection
// breaks, it is sent again on the next one, so that each comes once on a
// connection, and on several at most when it is not known what had arrived.
type remote struct {
	entrance
	dial    func(context.Context) (link, error)
	header  []byte
	closing chan struct{}
	done    chan struct{} // closed when the sender has ended
	cancel  context.CancelFunc

	backoff backoff // of the sender

	stateMu sync.Mutex
	trouble error // nil while there is a connection
	last    link  // the connection that is, or was last
}

func newRemote(name string, p place, e encoder, labels *labelEncoder, l limits) *remote {
	r := &remote{header: e.appendHeader(nil), closing: make(chan struct{}), done: make(chan struct{}),
		trouble: errors.New("not connected yet")}
	r.entrance.init(name, e, labels, l, r.reason)
	r.backoff.limits = &r.limits
	r.dial = func(ctx context.Context) (link, error) { return dial(ctx, p, &r.limits) }
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
	r.freeze()
	return r.GiveUp()
}

// GiveUp implements Queued.
func (r *remote) GiveUp() error {
	written := int64(0)
	r.stateMu.Lock()
	if r.last != nil {
		written = r.last.position()
	}
	r.stateMu.Unlock()
	unconfirmed, unsent := r.queue.giveUp(written)
	return errors.Join(r.gaveUp(unconfirmed, ErrUnconfirmed), r.gaveUp(unsent, r.reason()))
}
