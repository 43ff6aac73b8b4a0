package userspace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weirflow/weir/bpf"
)

// A Consumer reads a running meter: the ring buffer that the metering programs
// fill. It needs descriptors, not privilege, and does not own them. It also runs
// the programs' sweep, so that idle flows are closed.
type Consumer struct {
	handles bpf.Handles
	options options
	ring    *ring
	sweeper sweeper
	// Packets that found no place in the kernel's table are metered here, by the
	// same rules.
	overflow     *table
	overflowOpen Count
	held         heldParts
	layout       bpf.Layout
	layoutHash   string     // of this build, and so of the meter
	closed       bpf.Record // the latest that the kernel closed
	part         bpf.Record // the latest that was metered here
	joined       bpf.Record // the latest record that was merged
	points       map[uint8]string
	sampled      sampledFlows

	// Of the goroutine that iterates.
	flow    Flow
	sample  Sample
	counted Ledger
	died    Count  // with the processes before this one
	stopped bool   // the caller broke off
	unread  bool   // and had not been given the event that was at hand
	behind  uint64 // the position behind that event
	deaf    bool   // the programs could not be told to stop samples
	trouble error
	yield   func(*Flow, error) bool

	left   bool      // its end leaves the meter running
	pinned io.Closer // what OpenConsumer opened, else nil

	pointEnds chan pointEnd
	ending    []pointEnd    // not closed yet
	over      chan struct{} // closed when the iteration has come to its end

	nicPanics atomic.Uint64

	mu        sync.Mutex
	published Ledger
	brokenOff bool
	confirmed confirmed
}

// NewConsumer returns a Consumer of a running meter, whose programs were loaded
// with the same Config. One at a time may read a ring buffer.
//
// It takes here what memory it needs for packets that find no place in the kernel's
// table, however many come: 8 MiB for the core columns, 26 MiB with everything that a
// Config can ask for, without pointers, and less of it if MaxFlows is below 16,384; with
// Samples 8 MiB more for the flows that are sampled.
// The ring buffer is mapped twice.
func NewConsumer(h bpf.Handles, opts ...Option) (*Consumer, error) {
	o, err := newOptions(opts)
	if err != nil {
		return nil, fmt.Errorf("configure consumer: %w", err)
	}
	if h.Events == nil || h.Flows == nil || h.Ledgers == nil || h.Sweep == nil || h.DPIDone == nil {
		return nil, errors.New("read a running meter: its handles are incomplete: take them from loader.Attachment.Handles")
	}
	layout := o.config.groups().Layout()
	if size := int(h.Flows.ValueSize()); size != layout.Entry() {
		return nil, fmt.Errorf("read a running meter: its table has entries of %d octets, and the groups of columns that are asked for take %d: give the configuration that the meter was started with",
			size, layout.Entry())
	}
	c := &Consumer{handles: h, options: o, layout: layout, points: map[uint8]string{},
		pointEnds: make(chan pointEnd), over: make(chan struct{})}
	if c.layoutHash, err = bpf.LayoutHash(); err != nil {
		return nil, fmt.Errorf("read a running meter: %w", err)
	}
	if o.confirm {
		if err := c.adopt(); err != nil {
			return nil, err
		}
	}
	ring, err := openRing(h.Events, c.confirmed.present.Position)
	if err != nil {
		return nil, fmt.Errorf("read ring buffer: %w", err)
	}
	c.ring = ring
	for _, p := range h.Points {
		c.points[p.Index] = p.Name
	}
	c.sweeper = newSweeper(&h, o.config.IdleTimeout)
	c.sweeper.sparse = h.Flows.MaxEntries() / placesPerEntry
	c.overflow = c.newOverflow(o.config)
	c.held = newHeldParts(heldMax, c.overflow, layout.Entry())
	if o.config.Samples > 0 {
		c.sampled = newSampledFlows(sampledMax)
	} else {
		c.sampled = newSampledFlows(0)
	}
	c.overflow.flowIDs = overflowFlowIDs + c.confirmed.present.Position
	return c, nil
}

// overflowFlowIDs is where the ids of flows metered in user space begin: the
// kernel's carry a CPU number in the upper 16 bits, which never is so high. A
// Consumer that follows another begins at the position in the ring: each of these
// flows has taken more octets there than one.
const overflowFlowIDs = 1 << 63

// Close releases the ring buffer's mapping, and the meter that OpenConsumer opened.
// It must not be called during the iteration.
func (c *Consumer) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := errors.Join(c.ring.close(), c.sweeper.walk.close())
	if c.pinned != nil {
		err = errors.Join(err, c.pinned.Close())
		c.pinned = nil
	}
	return err
}

const (
	// pollInterval is how long the loop waits for events once it has read all: the
	// programs never wake it.
	pollInterval = 5 * time.Millisecond
	// pollEvents bounds the events between two looks at the clock.
	pollEvents = 4096
	// eventOctetsMin is less than the shortest event takes in the ring.
	eventOctetsMin = 64
)

// Flows yields flows as the programs, or the sweep, close them. When ctx ends it
// detaches (WithDetach), closes what is open as forced, hands it out and ends; so
// it does after an error, which comes last. If the caller breaks off, nothing
// more is read, and what is open stays in the kernel; so it does at the end of ctx
// WithConfirmation and without WithDetach. Flows may be called once.
func (c *Consumer) Flows(ctx context.Context) iter.Seq2[*Flow, error] {
	return func(yield func(*Flow, error) bool) {
		defer close(c.over)
		c.yield = yield
		err := c.run(ctx)
		c.publish()
		err = errors.Join(err, c.confirmItself())
		if err != nil && !c.stopped {
			yield(nil, err)
		}
	}
}

func (c *Consumer) run(ctx context.Context) error {
	if err := c.sweep(bpf.WeirSweepModeSWEEP_IDLE); err != nil {
		c.left = c.options.confirm
		return err
	}
	var err error
	for ctx.Err() == nil && !c.stopped && err == nil {
		if err = c.poll(); err == nil {
			err = c.tend()
		}
	}
	if c.stopped {
		return nil
	}
	if c.options.confirm && c.options.detach == nil {
		return errors.Join(err, c.leave(), c.trouble)
	}
	// whatever went wrong, what was metered is handed out as far as it goes
	return errors.Join(err, c.detach(), c.drain(), c.trouble)
}

// tend does what is due between two polls. That samples cannot be stopped costs
// samples only: it is told at the end, and not tried again.
func (c *Consumer) tend() error {
	if err := c.tendPoints(); err != nil {
		return err
	}
	if c.sweeper.due(c.tableFull) {
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
	if c.options.itself {
		return c.confirmItself()
	}
	return c.keepUp()
}

func (c *Consumer) detach() (err error) {
	if c.options.detach == nil {
		return nil
	}
	defer surviveAs(&err, "the function that detaches")
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
	records := c.options.config.MaxFlows * c.layout.Event()
	return drainSweeps + 4*records/c.ring.size()
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
		s := &c.sweeper.last
		if s.Open == 0 && s.Closed == 0 && s.Deferred == 0 {
			return nil
		}
		if s.Deferred != 0 {
			if err := c.awaitRoom(); err != nil {
				return err
			}
		}
	}
	return nil
}

// empty reads what is in the ring now, and no more than it can hold.
func (c *Consumer) empty() error {
	for range 1 + c.ring.size()/(eventOctetsMin*pollEvents) {
		n, err := c.read()
		if err != nil || n < pollEvents {
			return err
		}
	}
	return nil
}

// poll handles events, and waits a little where it came to the end of them.
func (c *Consumer) poll() error {
	n, err := c.read()
	if err == nil && n < pollEvents && !c.stopped {
		time.Sleep(pollInterval)
	}
	return err
}

// read handles the events that are there, pollEvents of them at most. What was
// read is given back to the kernel at once, unless it waits for confirmation.
func (c *Consumer) read() (n int, err error) {
	for n < pollEvents && !c.stopped {
		raw, behind, err := c.ring.next()
		switch {
		case errors.Is(err, errRingEmpty):
			c.held.emptied++
			return n, nil
		case errors.Is(err, errRingBusy):
			return n, nil
		case err != nil:
			return n, fmt.Errorf("read ring buffer: %w", err)
		}
		n++
		c.behind = behind
		if err := c.event(raw); err != nil && c.trouble == nil {
			c.trouble = err // the ledger will not close: what it held is not known
		}
		if c.unread {
			break
		}
		c.ring.advance(behind)
		if !c.options.confirm {
			c.ring.commit(behind)
		}
	}
	return n, nil
}

// Sweeps is how often the Consumer has begun to sweep the flow table. One that the ring
// had no room for goes on when there is, and is the same.
func (c *Consumer) Sweeps() uint64 { return c.sweeper.begun.Load() }

// IteratorError is why the flow table's keys were used to sweep it, in twice the time, though
// there is an iterator: nil unless that failed. It is for when the iteration has come to
// its end.
func (c *Consumer) IteratorError() error { return c.sweeper.noWalk }

func (c *Consumer) sweep(mode bpf.WeirSweepMode) error {
	return c.sweepFor(bpf.Sweep{Mode: uint32(mode)})
}

func (c *Consumer) sweepFor(what bpf.Sweep) error {
	if err := c.sweeper.run(what); err != nil {
		return err
	}
	c.overflow.advance(c.sweeper.last.NowNs)
	return c.tendHeld()
}
