package sink

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// A behind is a file or standard output that never holds up whoever writes: its
// goroutine takes records from the entrance's queue and puts them into the stream.
// What cannot be written stays queued, and is tried again.
type behind struct {
	entrance
	stream  *stream // of the goroutine, until done
	taken   int64   // octets that the stream was given from the queue
	closing chan struct{}
	reopens chan chan error
	done    chan struct{}

	abandoned atomic.Bool // Close did not wait for run to end
	finished  sync.Once

	troubleMu sync.Mutex
	trouble   error // of the latest attempt to write
}

func newBehind(s *stream, l limits) *behind {
	b := &behind{stream: s, closing: make(chan struct{}), reopens: make(chan chan error, 1), done: make(chan struct{})}
	b.entrance.init(s.name, s.encoder, s.labels, l, b.why)
	go b.run()
	return b
}

// run writes until the end, or until the reader has gone.
func (b *behind) run() {
	defer func() {
		close(b.done)
		if b.abandoned.Load() {
			_ = b.finish() // its error has nobody to hear it
		}
	}()
	for {
		err := b.write()
		b.troubleMu.Lock()
		b.trouble = err
		b.troubleMu.Unlock()
		closing := isClosed(b.closing)
		if errors.Is(err, ErrReaderGone) || closing && (err != nil || b.queue.empty()) {
			return
		}
		if !closing {
			b.await(err != nil)
		}
	}
}

// write writes what there is.
func (b *behind) write() error {
	s := b.stream
	for {
		err := s.Flush()
		b.queue.settle(b.taken - int64(len(s.buffer)))
		if err != nil {
			return err.(*Error).Err
		}
		data, records := b.queue.take(b.taken)
		if data == nil {
			return nil
		}
		s.buffer = append(s.buffer, data...)
		s.number(s.buffer[len(s.buffer)-len(data):])
		s.records = append(s.records, records...)
		b.taken += int64(len(data))
		select {
		case answer := <-b.reopens:
			answer <- s.Reopen()
		default:
		}
	}
}

// retryAfter is how long a failed write is let be.
const retryAfter = 200 * time.Millisecond

// await waits until there is something to do.
func (b *behind) await(failed bool) {
	put := b.queue.put
	var retry <-chan time.Time
	if failed {
		put, retry = nil, time.After(retryAfter)
	}
	select {
	case <-put:
	case <-retry:
	case <-b.closing:
	case answer := <-b.reopens:
		answer <- b.stream.Reopen()
	}
}

// why is why there is no room.
func (b *behind) why() error {
	if err := b.failing(); err != nil {
		return err
	}
	return ErrSlow
}

func (b *behind) failing() error {
	b.troubleMu.Lock()
	defer b.troubleMu.Unlock()
	return b.trouble
}

// Flush implements Sink. It does not wait: its error is ErrWaiting while something is
// queued, together with what the latest attempt to write came to.
func (b *behind) Flush() error {
	err := b.failing()
	switch {
	case errors.Is(err, ErrReaderGone):
		return &Error{Output: b.name, Err: err}
	case err != nil:
		return &Error{Output: b.name, Err: fmt.Errorf("%w: %w", ErrWaiting, err)}
	case !b.queue.empty():
		return &Error{Output: b.name, Err: ErrWaiting}
	}
	return nil
}

// Reopen implements Sink. It waits no longer than Close does for a write that is
// under way: the file is then reopened after that.
func (b *behind) Reopen() error {
	answer := make(chan error, 1)
	deadline := time.After(b.limits.drain)
	select {
	case b.reopens <- answer:
	case <-b.done:
		return nil
	case <-deadline:
		return nil // one is asked for already
	}
	select {
	case err := <-answer:
		return err
	case <-b.done:
	case <-deadline:
	}
	return nil
}

// Close implements Sink. It waits for what is queued as long as anything moves, and
// gives up the rest. A write that is stuck is left behind, and the file closed after it.
func (b *behind) Close() error {
	close(b.closing)
	ended := b.awaitEnd()
	b.freeze()
	if !ended {
		b.abandoned.Store(true)
		select {
		case <-b.done:
			_ = b.finish()
		default:
		}
		return b.GiveUp()
	}
	_, lost := b.queue.giveUp(0)
	return errors.Join(b.gaveUp(lost, b.why()), b.finish())
}

// finish closes the file, once run has ended. What is in the stream is the queue's.
func (b *behind) finish() (err error) {
	b.finished.Do(func() {
		b.stream.buffer, b.stream.records = nil, nil
		err = b.stream.Close()
	})
	return err
}

// awaitEnd waits for run to end, as long as anything moves.
func (b *behind) awaitEnd() bool {
	began := time.Now()
	for min(time.Since(began), b.queue.still()) < b.limits.drain {
		select {
		case <-b.done:
			return true
		case <-time.After(b.limits.look):
		}
	}
	return false
}

// GiveUp implements Queued. What a write is under way with may be written yet.
func (b *behind) GiveUp() error {
	unconfirmed, unsent := b.queue.giveUp(math.MaxInt64)
	return errors.Join(b.gaveUp(unconfirmed, ErrUnconfirmed), b.gaveUp(unsent, b.why()))
}
