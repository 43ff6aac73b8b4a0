package sink

import (
	"io"
	"maps"
	"sync"

	"github.com/weirflow/weir/userspace"
	"github.com/weirflow/weir/userspace/feature"
)

// A guard has records written although a column's function panics: its value is
// then missing, and counted. The functions of such a record are called twice, and
// those of others run without a guard.
type guard struct {
	mu     sync.Mutex
	panics map[string]uint64 // by column
}

func (g *guard) append(e encoder, dst []byte, r *feature.Row) (out []byte) {
	defer func() {
		if recover() != nil {
			out = e.appendFlow(dst, r, g)
		}
	}()
	return e.appendFlow(dst, r, nil)
}

// value appends a column's value, or what stands for a missing one.
func (g *guard) value(dst []byte, c *feature.Column, missing string, value func([]byte) []byte) (out []byte) {
	defer func() {
		if recover() == nil {
			return
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.panics == nil {
			g.panics = map[string]uint64{}
		}
		g.panics[c.Name]++
		out = append(dst, missing...)
	}()
	return value(dst)
}

// Panics implements Sink.
func (g *guard) Panics() map[string]uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return maps.Clone(g.panics)
}

// panicless is a program's writer, whose panic is an output's error like another.
type panicless struct{ io.Writer }

func (w panicless) Write(p []byte) (n int, err error) {
	defer func() {
		if value := recover(); value != nil {
			n, err = 0, &userspace.PanicError{What: "the output's writer", Value: value}
		}
	}()
	return w.Writer.Write(p)
}
