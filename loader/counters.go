package loader

import (
	"fmt"

	"github.com/weirflow/weir/bpf/pinned"
)

// Counters are an interface's own, or a difference of two readings.
type Counters = pinned.Counters

func growth(now, then Counters) Counters {
	return Counters{Packets: after(now.Packets, then.Packets), Octets: after(now.Octets, then.Octets)}
}

// after is the growth of a counter, 0 if it was reset.
func after(now, then uint64) uint64 {
	if now < then {
		return 0
	}
	return now - then
}

// interval brackets what the interfaces counted while the meter was attached.
// Each end is read twice, outside and inside of the attachment: the frames
// between two readings may or may not have been shown to the meter.
type interval struct {
	before, begun Counters // around the attaching
	ending, ended Counters // around the detaching
	err           error    // the first reading that was not to be had
}

// take keeps a reading.
func (i *interval) take(a *Attachment, into *Counters) {
	c, err := a.read()
	if err != nil && i.err == nil {
		i.err = err
	}
	*into = c
}

// read adds up the counters of the observed direction over the interfaces.
func (a *Attachment) read() (sum Counters, err error) {
	for _, p := range a.ports {
		dev, err := p.netlink.LinkByIndex(p.ifindex)
		if err != nil {
			return sum, fmt.Errorf("read the counters of interface %s: %w", p.name, err)
		}
		s := dev.Attrs().Statistics
		if s == nil {
			return sum, fmt.Errorf("read the counters of interface %s: the kernel gives none", p.name)
		}
		if a.direction != DirectionOut {
			sum.Packets, sum.Octets = sum.Packets+s.RxPackets, sum.Octets+s.RxBytes
		}
		if a.direction != DirectionIn {
			sum.Packets, sum.Octets = sum.Packets+s.TxPackets, sum.Octets+s.TxBytes
		}
	}
	return sum, nil
}

// Counters is what the interfaces themselves have counted since the attachment,
// until now or the detachment, in the observed direction and summed up: the true
// value lies between low and high, both included. The error says why it cannot be
// known, as when an interface is gone.
func (a *Attachment) Counters() (low, high Counters, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := &a.counters
	if !a.detached {
		i.take(a, &i.ending)
		i.ended = i.ending
	}
	return growth(i.ending, i.begun), growth(i.ended, i.before), i.err
}
