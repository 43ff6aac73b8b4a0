package userspace

import (
	"context"
	"iter"
)

// A Source yields flows as they close. Flows ends at the end of input, or,
// when ctx ends, after everything still open was closed and handed out. An
// error that is yielded with a nil flow concerns the input (a damaged file, a
// closed ring); the iteration may go on after it.
type Source interface {
	Flows(ctx context.Context) iter.Seq2[*Flow, error]
	// Ledger is what became of every packet so far. It is safe to call from
	// another goroutine.
	Ledger() Ledger
}
