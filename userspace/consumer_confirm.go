package userspace

import (
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"

	"github.com/weirflow/weir/bpf"
)

// What was read from the ring buffer stays there until the flows that it became
// are safe. Then its position, and what the ledger must know of it, is written to
// the kernel's progress map, and after that to the ring: whoever comes next takes
// the greater of both positions, and never one without its counts.

// earlierProcess names, among the outputs of a ledger, those of the processes
// that read the meter before.
const earlierProcess = "earlier process"

// confirmed is what was handed out and is not known to be safe. It is under
// Consumer.mu.
type confirmed struct {
	waiting []bpf.Progress // as it was behind each flow, in order
	flows   uint64         // that were confirmed
	before  bpf.Progress   // what this Consumer began with
	notSent Count          // by the caller's outputs, in flows that were confirmed
	last    bpf.Progress   // what was committed
	present bpf.Progress
}

// adopt goes on where the Consumer before this one ended.
func (c *Consumer) adopt() error {
	if c.handles.Progress == nil {
		return errors.New("read a meter WithConfirmation: its handles have no progress map: take them from a meter that is pinned")
	}
	var p bpf.Progress
	if err := c.handles.Progress.Lookup(uint32(0), &p); err != nil {
		return fmt.Errorf("look up how far the meter has been read: %w", err)
	}
	p.DiedPackets, p.DiedOctets = p.DiedPackets+p.HeldPackets, p.DiedOctets+p.HeldOctets
	p.HeldPackets, p.HeldOctets = 0, 0
	c.died = Count{p.DiedPackets, p.DiedOctets}
	c.counted.Read = Count{p.ReadPackets, p.ReadOctets}
	c.counted.Delivered = Count{p.DeliveredPackets, p.DeliveredOctets}
	c.counted.Flows = p.Flows
	c.counted.EndReasons = p.EndReasons
	c.confirmed.before, c.confirmed.last, c.confirmed.present = p, p, p
	c.published = c.counted
	return nil
}

// progress is how far the Consumer is at this moment.
func (c *Consumer) progress() bpf.Progress {
	return bpf.Progress{
		Position:         c.ring.position,
		ReadPackets:      c.counted.Read.Packets,
		ReadOctets:       c.counted.Read.Octets,
		DeliveredPackets: c.counted.Delivered.Packets,
		DeliveredOctets:  c.counted.Delivered.Octets,
		HeldPackets:      c.overflowOpen.Packets,
		HeldOctets:       c.overflowOpen.Octets,
		DiedPackets:      c.died.Packets,
		DiedOctets:       c.died.Octets,
		Flows:            c.counted.Flows,
		EndReasons:       c.counted.EndReasons,
	}
}

// await remembers what lies behind the flow that is about to be handed out.
func (c *Consumer) await() {
	p := c.progress()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.confirmed.waiting = append(c.confirmed.waiting, p)
}

// Confirm says that the first n flows that were handed out are safe, whatever
// becomes of this process, and that of their packets notSent were refused by an
// output. It may be called at any time before Close.
func (c *Consumer) Confirm(n uint64, notSent Count) error {
	if !c.options.confirm {
		return errors.New("confirm flows: the Consumer was made without WithConfirmation")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	f := &c.confirmed
	f.notSent = notSent
	done := min(int(max(n, f.flows)-f.flows), len(f.waiting))
	if done == 0 {
		return c.commitPresent()
	}
	behind := f.waiting[done-1]
	f.waiting = append(f.waiting[:0], f.waiting[done:]...)
	f.flows += uint64(done)
	if err := c.commit(behind); err != nil {
		return err
	}
	return c.commitPresent()
}

// keepUp gives back what no flow waits for.
func (c *Consumer) keepUp() error {
	if !c.options.confirm {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.commitPresent()
}

// commitPresent commits what was published last, if all flows up to it are safe.
func (c *Consumer) commitPresent() error {
	p := &c.confirmed.present
	if len(c.confirmed.waiting) > 0 || p.Position < c.confirmed.last.Position || p.Flows < c.confirmed.last.Flows {
		return nil
	}
	return c.commit(*p)
}

func (c *Consumer) commit(p bpf.Progress) error {
	before, notSent := &c.confirmed.before, c.confirmed.notSent
	p.NotSentPackets = before.NotSentPackets + notSent.Packets
	p.NotSentOctets = before.NotSentOctets + notSent.Octets
	if p == c.confirmed.last {
		return nil
	}
	if err := c.handles.Progress.Update(uint32(0), &p, ebpf.UpdateAny); err != nil {
		return fmt.Errorf("keep how far the meter has been read: %w", err)
	}
	c.confirmed.last = p
	c.ring.commit(p.Position)
	return nil
}

// leave hands out what was metered in user space and leaves the rest to the
// programs, and to whoever reads the meter next.
func (c *Consumer) leave() error {
	err := c.empty()
	c.overflow.drain()
	c.releaseAll()
	c.left = true
	return err
}

// ErrUnconfirmed is in the error of an iteration that came to its end with the
// ring buffer full of flows that nobody has confirmed. What is open stays in the
// kernel.
var ErrUnconfirmed = errors.New("the ring buffer is full of flows that were not confirmed")

// confirmationWait is how long the end of the iteration waits for a confirmation.
const confirmationWait = 10 * time.Second

// awaitRoom waits until some of what was handed out has been confirmed.
func (c *Consumer) awaitRoom() error {
	if !c.options.confirm {
		return nil
	}
	c.publish()
	start := c.unconfirmed()
	if err := c.confirmItself(); err != nil {
		return err
	}
	for deadline := time.Now().Add(confirmationWait); time.Now().Before(deadline); time.Sleep(pollInterval) {
		if err := c.keepUp(); err != nil {
			return err
		}
		if n := c.unconfirmed(); n == 0 || n < start {
			return nil
		}
	}
	return fmt.Errorf("close what is open: %w", ErrUnconfirmed)
}

// unconfirmed counts the flows that wait for confirmation.
func (c *Consumer) unconfirmed() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.confirmed.waiting)
}

// ReadLedger is the ledger of a meter that somebody else reads, or nobody, as far as
// flows were confirmed; the rest is open. It takes Ledgers, Progress and Points.
func ReadLedger(h bpf.Handles) (Ledger, error) {
	layout, err := bpf.LayoutHash()
	if err != nil {
		return Ledger{}, fmt.Errorf("read a meter's ledger: %w", err)
	}
	c := &Consumer{handles: h, layoutHash: layout, stopped: true}
	if err := c.adopt(); err != nil {
		return Ledger{}, err
	}
	p := &c.confirmed.before
	if err := h.Progress.Lookup(uint32(0), p); err != nil {
		return Ledger{}, fmt.Errorf("look up how far the meter has been read: %w", err)
	}
	c.died = Count{p.DiedPackets, p.DiedOctets} // what is held may come yet
	c.brokenOff = true
	return c.Ledger(), nil
}

// Crowded tells whether what waits for confirmation takes more than half of the ring
// buffer: a full one holds up the closing of flows, and loses samples. It may be
// called at any time before Close.
func (c *Consumer) Crowded() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := &c.confirmed
	return len(f.waiting) > 0 && f.present.Position-f.last.Position > uint64(c.ring.size())/2
}
