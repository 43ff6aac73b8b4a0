package sink

import (
	"context"
	"time"
)

// A pace spreads datagrams over time, so that a burst of flows does not outrun a
// collector's socket: of what finds no room there nobody tells.
type pace struct {
	octets int       // a second; 0 is as fast as the kernel takes them
	due    time.Time // when the next may go
	told   time.Time // when somebody last said that they do not arrive
}

// paceBurst is what may go at once after a pause, at the pace. It is a few timer ticks,
// since no sleep is shorter.
const paceBurst = 3 * time.Millisecond

// hush waits until whoever said that nothing arrives would say so again: machines send few
// such messages a second, and silence would be taken for arrival.
func (p *pace) hush(ctx context.Context, d time.Duration) error {
	if left := d - time.Since(p.told); !p.told.IsZero() && left > 0 {
		return wait(ctx, left)
	}
	return nil
}

// wait waits until a datagram of so many octets may go.
func (p *pace) wait(ctx context.Context, octets int) error {
	if p.octets == 0 {
		return nil
	}
	now := time.Now()
	if oldest := now.Add(-paceBurst); p.due.Before(oldest) {
		p.due = oldest
	}
	early := p.due.Sub(now)
	p.due = p.due.Add(time.Duration(octets) * time.Second / time.Duration(p.octets))
	if early <= 0 {
		return nil
	}
	return wait(ctx, early)
}
