package userspace

import (
	"context"
	"fmt"

	"github.com/weirflow/weir/bpf"
)

// pointEnd asks to close what is open of an observation point.
type pointEnd struct {
	point  uint8
	closed chan struct{} // closed when it is
}

// EndPoint closes what is open of one observation point, as forced: its interface
// is gone. It returns when all of it is on its way out, or the iteration has come
// to its end. It is for another goroutine than the one that iterates.
func (c *Consumer) EndPoint(ctx context.Context, point uint8) error {
	e := pointEnd{point, make(chan struct{})}
	select {
	case c.pointEnds <- e:
	case <-c.over:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close the flows of observation point %d: %w", point, ctx.Err())
	}
	select {
	case <-e.closed:
	case <-c.over:
	case <-ctx.Done():
		return fmt.Errorf("close the flows of observation point %d: %w", point, ctx.Err())
	}
	return nil
}

// tendPoints closes the points that it was asked to close. What found no room in
// the ring is tried again when the next sweep is due.
func (c *Consumer) tendPoints() error {
	due := c.sweeper.due(c.tableFull)
	select {
	case e := <-c.pointEnds:
		c.ending, due = append(c.ending, e), true
	default:
	}
	for due && len(c.ending) > 0 {
		closed, err := c.closePoint(c.ending[0].point)
		if !closed || err != nil {
			return err
		}
		close(c.ending[0].closed)
		c.ending = c.ending[1:]
	}
	return nil
}

// closePoint says whether everything was closed. What is in the ring comes before
// what is metered here: it may belong to the same flows.
func (c *Consumer) closePoint(point uint8) (closed bool, err error) {
	if err := c.sweepFor(bpf.Sweep{Mode: uint32(bpf.WeirSweepModeSWEEP_POINT), Point: uint32(point)}); err != nil {
		return false, err
	}
	deferred := c.sweeper.last.Deferred != 0
	if err := c.empty(); err != nil || deferred {
		return false, err
	}
	c.overflow.closePoint(point)
	return true, nil
}
