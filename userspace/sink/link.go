package sink

import "context"

// A link is a connection that records are sent over, and how far they have come.
// Positions are in octets of what it was given to write.
type link interface {
	// write writes p. Meanwhile, it calls arrived with each position up to which
	// everything is known to have arrived.
	write(ctx context.Context, p []byte, arrived func(int64)) error
	// attend does what is due while there is nothing to write, and finds out how far
	// everything has arrived. Its error ends the connection.
	attend(ctx context.Context, arrived func(int64)) error
	// finish writes what comes after all records, the first time that it is called.
	finish(ctx context.Context, arrived func(int64)) error
	hasArrived() bool
	// sent is the position up to which was written, in whole or in part. Another
	// goroutine may ask.
	sent() int64
	close()
}

func (w *wire) attend(_ context.Context, arrived func(int64)) error { return w.look(arrived) }

func (w *wire) finish(context.Context, func(int64)) error { return nil }

func (w *wire) sent() int64 { return w.written.Load() }
