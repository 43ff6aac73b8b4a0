package loader

import "fmt"

// Counters are an interface's own, or a difference of two readings.
type Counters struct{ Packets, Octets uint64 }

func (c Counters) minus(d Counters) Counters {
	return Counters{after(c.Packets, d.Packets), after(c.Octets, d.Octets)}
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
	isOpen, over  bool
}

func (i *interval) open(a *Attachment) (err error) {
	i.before, err = a.read()
	return err
}

func (i *interval) opened(a *Attachment) (err error) {
	i.begun, err = a.read()
	i.isOpen = err == nil
	return err
}

func (i *interval) closing(a *Attachment) (err error) {
	if i.isOpen {
		i.ending, err = a.read()
	}
	return err
}

func (i *interval) close(a *Attachment) (err error) {
	if i.isOpen {
		i.ended, err = a.read()
		i.over = err == nil
	}
	return err
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
// value lies between low and high, both included. ok is false if it cannot be
// known, as when an interface is gone.
func (a *Attachment) Counters() (low, high Counters, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := &a.counters
	switch {
	case !i.isOpen:
		return low, high, false
	case i.over:
		return i.ending.minus(i.begun), i.ended.minus(i.before), true
	case a.detached:
		return low, high, false
	}
	now, err := a.read()
	return now.minus(i.begun), now.minus(i.before), err == nil
}
