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
}

// paceBurst is what may go at once after a pause, at the pace. It is a few timer ticks,
// since no sleep is shorter.
const paceBurst = 3 * time.Millisecond

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
