package sink

import "context"

// A link is a connection as a remote sees it. Positions are octets since its beginning.
type link interface {
	// write writes p. Meanwhile, it calls arrived with each position up to which
	// everything is known to have arrived.
	write(ctx context.Context, p []byte, arrived func(int64)) error
	// look finds out how far everything has arrived. Its error ends the connection.
	look(arrived func(int64)) error
	hasArrived() bool
	// position is behind what was written, in whole or in part.
	position() int64
	// close ends the connection; in order, if all has arrived, else so that nothing
	// further does.
	close()
}

func (w *wire) position() int64 { return w.written.Load() }
