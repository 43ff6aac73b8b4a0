package userspace

import (
	"errors"
	"slices"

	"github.com/weirflow/weir/bpf/pinned"
)

// OpenConsumer returns a Consumer of the meter that is pinned in a directory, as
// by weir attach --pin. It needs no privilege but to read the directory. One at a
// time may read a meter: another is told so by a *pinned.InUseError, which names the
// process. A meter of a build that lays out its records otherwise gives a
// *pinned.LayoutError.
//
// What shapes flows is as the meter was started, whatever opts say. Metering goes on
// when the iteration ends. A flow counts as safe when the loop asks for the next
// one: that at which it breaks off, or the process dies, comes again to whoever
// reads the meter next, so that each is seen at least once. WithConfirmation leaves
// it to the caller to say what is safe, as it must where flows leave the loop before
// they are: package dpi holds them until they have their label.
func OpenConsumer(pinDir string, opts ...Option) (*Consumer, error) {
	m, err := pinned.Open(pinDir)
	if err != nil {
		return nil, err
	}
	opts = append(slices.Clone(opts), WithConfig(Config(m.About.Config)), confirmsItself)
	c, err := NewConsumer(m.Handles, opts...)
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	c.pinned = m
	return c, nil
}

// confirmsItself has a Consumer confirm by itself, unless its caller does.
func confirmsItself(o *options) { o.itself, o.confirm = !o.confirm, true }

// confirmItself confirms the flows whose turn in the caller's loop is over.
func (c *Consumer) confirmItself() error {
	if !c.options.itself {
		return nil
	}
	c.mu.Lock()
	done := c.confirmed.flows + uint64(len(c.confirmed.waiting))
	c.mu.Unlock()
	if c.stopped && done > c.confirmed.flows {
		done-- // the caller broke off at the last one
	}
	return c.Confirm(done, Count{})
}
