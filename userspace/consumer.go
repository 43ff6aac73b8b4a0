package userspace

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"sync"
	"time"
	"unsafe"

	"github.com/cilium/ebpf/ringbuf"

	"github.com/weirflow/weir/bpf"
)

// A Consumer reads a running meter: the ring buffer that the metering programs
// fill. It needs descriptors, not privilege, and does not own them. It also runs
// the programs' sweep, so that idle flows are closed.
type Consumer struct {
	handles bpf.Handles
	options options
	ring    *ringbuf.Reader
	sweeper sweeper
	// Packets that found no place in the kernel's table are metered here, by the
	// same rules.
	overflow     *table
	overflowOpen Count
	held         heldParts
	joined       bpf.Record // the latest record that was merged
	points       map[uint8]string
	sampled      sampledFlows

	// Of the goroutine that iterates.
	flow    Flow
	sample  Sample
	counted Ledger
	stopped bool // the caller broke off
	deaf    bool // the programs could not be told to stop samples
	trouble error
	yield   func(*Flow, error) bool

	mu        sync.Mutex
	published Ledger
	brokenOff bool
}

// NewConsumer returns a Consumer of a running meter, whose programs were loaded
// with the same Config. One at a time may read a ring buffer.
func NewConsumer(h bpf.Handles, opts ...Option) (*Consumer, error) {
	o, err := newOptions(opts)
	if err != nil {
		return nil, fmt.Errorf("configure consumer: %w", err)
	}
	if h.Events == nil || h.Flows == nil || h.Ledgers == nil || h.Sweep == nil || h.DPIDone == nil {
		return nil, errors.New("read a running meter: its handles are incomplete: take them from loader.Attachment.Handles")
	}
	ring, err := ringbuf.NewReader(h.Events)
	if err != nil {
		return nil, fmt.Errorf("read ring buffer: %w", err)
	}
	c := &Consumer{handles: h, options: o, ring: ring, points: map[uint8]string{}, sampled: newSampledFlows(),
		held: newHeldParts()}
	for _, p := range h.Points {
		c.points[p.Index] = p.Name
	}
	c.sweeper = newSweeper(h.Sweep, o.config.IdleTimeout)
	bounded := o.config
	bounded.MaxFlows = min(bounded.MaxFlows, overflowMaxFlows)
	c.overflow = newTable(&bounded, c.closeOverflow, func(uint64) {})
	c.overflow.flowIDs = overflowFlowIDs
	return c, nil
}

// overflowFlowIDs is where the ids of flows metered in user space begin: the
// kernel's carry a CPU number in the upper 16 bits, which never is so high.
const overflowFlowIDs = 1 << 63

// overflowMaxFlows bounds what is metered here. Beyond it the longest quiet flow
// is closed early: under a flood most of them have one packet anyhow.
const overflowMaxFlows = 32768

// Close releases the ring buffer's mapping. It must not be called during the
// iteration.
func (c *Consumer) Close() error { return c.ring.Close() }

const (
	// pollInterval is how long the loop waits for events: the programs never
	// wake it.
	pollInterval = 5 * time.Millisecond
	// pollEvents bounds the events between two looks at the clock.
	pollEvents = 4096
	// eventOctetsMin is less than the shortest event takes in the ring.
	eventOctetsMin = 64
)

// Flows yields flows as the programs, or the sweep, close them. When ctx ends it
// detaches (WithDetach), closes what is open as forced, hands it out and ends; so
// it does after an error, which comes last. If the caller breaks off, nothing
// more is read, and what is open stays in the kernel. Flows may be called once.
func (c *Consumer) Flows(ctx context.Context) iter.Seq2[*Flow, error] {
	return func(yield func(*Flow, error) bool) {
		c.yield = yield
		err := c.run(ctx)
		c.publish()
		if err != nil && !c.stopped {
			yield(nil, err)
		}
	}
}

func (c *Consumer) run(ctx context.Context) error {
	if err := c.sweep(bpf.WeirSweepModeSWEEP_IDLE); err != nil {
		return err
	}
	var err error
	for ctx.Err() == nil && !c.stopped && err == nil {
		if err = c.poll(time.Now().Add(pollInterval)); err == nil {
			err = c.tend()
		}
	}
	if c.stopped {
		return nil
	}
	// whatever went wrong, what was metered is handed out as far as it goes
	return errors.Join(err, c.detach(), c.drain(), c.trouble)
}

// tend does what is due between two polls. That samples cannot be stopped costs
// samples only: it is told at the end, and not tried again.
func (c *Consumer) tend() error {
	if c.sweeper.due() {
		if err := c.sweep(c.sweeper.mode(c.tableFull)); err != nil {
			return err
		}
	}
	if !c.deaf {
		if err := c.sampled.stop(c.handles.DPIDone); err != nil {
			c.deaf, c.trouble = true, errors.Join(c.trouble, err)
		}
	}
	c.publish()
	return nil
}

func (c *Consumer) detach() error {
	if c.options.detach == nil {
		return nil
	}
	return c.options.detach()
}

// drain closes everything and hands it out.
func (c *Consumer) drain() error {
	err := errors.Join(c.closeAll(), c.empty())
	c.overflow.drain()
	c.releaseAll()
	return err
}

// drainSweeps is how often a sweep may find work to do although the ring had
// space for everything: without WithDetach packets may arrive for ever.
const drainSweeps = 8

// drainRounds is how many sweeps it may take to close a full table: four times
// what the ring needs if each fills it.
func (c *Consumer) drainRounds() int {
	records := c.options.config.MaxFlows * int(unsafe.Sizeof(bpf.RecordEvent{}))
	return drainSweeps + 4*records/c.ring.BufferSize()
}

// closeAll sweeps until nothing is open. The ring may be too small for all of it
// at once: then it takes several rounds.
func (c *Consumer) closeAll() error {
	for range c.drainRounds() {
		if c.stopped {
			return nil
		}
		if err := c.sweep(bpf.WeirSweepModeSWEEP_FORCED); err != nil {
			return err
		}
		if err := c.empty(); err != nil {
			return err
		}
		if s := &c.sweeper.last; s.Open == 0 && s.Closed == 0 && s.Deferred == 0 {
			return nil
		}
	}
	return nil
}

// empty reads what is in the ring now, and no more than it can hold.
func (c *Consumer) empty() error {
	for range 1 + c.ring.BufferSize()/(eventOctetsMin*pollEvents) {
		n, err := c.pollCounted(time.Unix(1, 0))
		if err != nil || n < pollEvents {
			return err
		}
	}
	return nil
}

// poll handles events until deadline, or until pollEvents of them have been.
func (c *Consumer) poll(deadline time.Time) error {
	_, err := c.pollCounted(deadline)
	return err
}

func (c *Consumer) pollCounted(deadline time.Time) (n int, err error) {
	c.ring.SetDeadline(deadline)
	var record ringbuf.Record
	for n < pollEvents && !c.stopped {
		err := c.ring.ReadInto(&record)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			c.held.emptied++
			return n, nil
		}
		if err != nil {
			return n, fmt.Errorf("read ring buffer: %w", err)
		}
		n++
		if err := c.event(record.RawSample); err != nil && c.trouble == nil {
			c.trouble = err // the ledger will not close: what it held is not known
		}
	}
	return n, nil
}

func (c *Consumer) sweep(mode bpf.WeirSweepMode) error {
	if err := c.sweeper.run(mode); err != nil {
		return err
	}
	c.overflow.advance(c.sweeper.last.NowNs)
	return c.tendHeld()
}
