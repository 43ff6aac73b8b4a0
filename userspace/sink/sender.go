package sink

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// send is the goroutine of a remote: it keeps a connection, and sends what is
// queued, until it is to end and all has arrived, or the time for that is over.
func (r *remote) send(ctx context.Context) {
	for ctx.Err() == nil {
		w, err := r.dial(ctx)
		if err == nil {
			err = r.talk(ctx, w)
			w.close()
		}
		if err == nil {
			return
		}
		r.lost(err)
		if isClosed(r.closing) && r.queue.empty() || !r.pause(ctx) {
			return
		}
	}
}

// talk sends over a connection. It returns nil when nothing is left to be sent.
func (r *remote) talk(ctx context.Context, w link) error {
	r.queue.restart()
	arrived := func(position int64) {
		if r.queue.settle(position) > 0 {
			r.backoff.tries = 0
		}
	}
	if err := w.write(ctx, r.header, arrived); err != nil {
		return err
	}
	r.connected(w)
	for {
		if data, _ := r.queue.take(w.position()); data != nil {
			if err := w.write(ctx, data, arrived); err != nil {
				return err
			}
			continue
		}
		if err := w.look(arrived); err != nil {
			return err
		}
		if err := tell(ctx, w, arrived); err != nil {
			return err
		}
		if isClosed(r.closing) && w.hasArrived() && r.queue.empty() {
			if err := finish(ctx, w, arrived); err != nil || w.hasArrived() {
				return err
			}
		}
		if err := r.await(ctx, w); err != nil {
			return err
		}
	}
}

// await waits until there is something to do: to send, or to look how far what was
// sent has come.
func (r *remote) await(ctx context.Context, w link) error {
	pause := r.limits.stall / 10
	closing := r.closing
	if !w.hasArrived() || isClosed(r.closing) {
		pause, closing = r.limits.look, nil
	}
	select {
	case <-r.queue.put:
	case <-closing:
	case <-time.After(pause):
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// pause waits before another try. A remote that is to end tries at once, and then
// more often. It returns false at the end of ctx.
func (r *remote) pause(ctx context.Context) bool {
	closing := r.closing
	if isClosed(r.closing) {
		closing = nil
	}
	select {
	case <-time.After(r.backoff.next()):
	case <-closing:
		r.backoff.tries = 0
	case <-ctx.Done():
		return false
	}
	return true
}

func (r *remote) connected(w link) {
	r.stateMu.Lock()
	defer r.stateMu.Unlock()
	r.trouble, r.last = nil, w
}

// lost remembers why there is no connection; the end of the time for it is no reason.
func (r *remote) lost(err error) {
	r.stateMu.Lock()
	defer r.stateMu.Unlock()
	if errors.Is(err, context.Canceled) || errors.Is(err, errUnderWay) && errors.As(r.trouble, new(*handshakeError)) {
		return
	}
	if r.trouble == nil {
		err = fmt.Errorf("the connection was lost: %w", err)
	}
	r.trouble = err
}
