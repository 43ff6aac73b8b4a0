package userspace

import (
	"fmt"

	"github.com/weirflow/weir/bpf"
)

// Ledger implements Source: the programs' counters, added up over CPUs and
// observation points, and what was read. While packets arrive, its lines are of
// slightly different moments; they close after the iteration. After a break, all
// that was metered and not read is taken to be open: nobody looks any more.
func (c *Consumer) Ledger() Ledger {
	c.mu.Lock()
	l, brokenOff := c.published, c.brokenOff
	c.mu.Unlock()
	l.LostWithConsumer = c.died
	l.Object, l.Layout = c.handles.Object, c.layoutHash
	if b := &c.confirmed.before; b.NotSentPackets > 0 {
		l.NotSent = map[string]Count{earlierProcess: {b.NotSentPackets, b.NotSentOctets}}
		l.Delivered.Packets -= b.NotSentPackets
		l.Delivered.Octets -= b.NotSentOctets
	}
	for _, p := range c.handles.Points {
		if err := c.addPoint(&l, p.Index); err != nil {
			// the counters stay what they are: the lines will not close, and say so
			break
		}
	}
	if brokenOff {
		l.Open = Count{
			l.Accounted.Packets - l.Read.Packets - l.Lost.Packets - l.LostWithConsumer.Packets,
			l.Accounted.Octets - l.Read.Octets - l.Lost.Octets - l.LostWithConsumer.Octets,
		}
	}
	if c.options.nic != nil {
		l.NIC = c.nic()
	}
	l.Panics.NIC = c.nicPanics.Load()
	return l
}

// nic asks for what the interfaces have counted.
func (c *Consumer) nic() *Range {
	defer func() {
		if recover() != nil {
			c.nicPanics.Add(1)
		}
	}()
	return c.options.nic()
}

// addPoint adds the counters of one observation point.
func (c *Consumer) addPoint(l *Ledger, point uint8) error {
	var cpus []bpf.LedgerCount
	if err := c.handles.Ledgers.Lookup(uint32(point), &cpus); err != nil {
		return fmt.Errorf("read ledger of observation point %d: %w", point, err)
	}
	for i := range cpus {
		n := &cpus[i]
		l.Observed = l.Observed.Plus(Count{n.ObservedPackets, n.ObservedOctets})
		l.Metered = l.Metered.Plus(Count{n.MeteredPackets, n.MeteredOctets})
		l.Accounted = l.Accounted.Plus(Count{n.MeteredPackets, n.AccountedOctets})
		l.Lost = l.Lost.Plus(Count{n.LostPackets, n.LostOctets})
		for s := range l.Ignored {
			l.Ignored[s] = l.Ignored[s].Plus(Count{n.IgnoredPackets[s], n.IgnoredOctets[s]})
		}
		l.Overflow += n.OverflowPackets
		l.TableFull += n.TableFull
		l.RecordBusy += n.RecordBusy
		l.Deferred += n.ExpiryDeferred
		l.Samples += n.Samples
		l.SamplesLost += n.SamplesLost
		l.Regressions += n.Regressions
	}
	return nil
}

// tableFull counts the packets that have found the table full.
func (c *Consumer) tableFull() uint64 {
	var l Ledger
	for _, p := range c.handles.Points {
		if c.addPoint(&l, p.Index) != nil {
			break
		}
	}
	return l.TableFull
}

// publish lets Ledger see what was read.
func (c *Consumer) publish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.published, c.brokenOff = c.counted, c.stopped || c.left
	if c.options.confirm {
		c.confirmed.present = c.progress()
	}
	c.published.ClockJumps, c.published.ClockJumped = c.sweeper.clock.jumps, c.sweeper.clock.jumped
	c.published.Open = c.overflowOpen.Plus(Count{c.sweeper.last.PacketsOpen, c.sweeper.last.OctetsOpen})
}
