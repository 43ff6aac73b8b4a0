package loader

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
)

// A ChangeKind is what can happen to an interface that is observed.
type ChangeKind int

const (
	ChangeGone     ChangeKind = iota // it was deleted, or the program taken out of its path
	ChangeReturned                   // an interface of its name is there, and is observed
	ChangeRefused                    // … and cannot be observed; it is tried again
	ChangeRenamed
	ChangeMoved    // to another network namespace, where it goes on being observed
	ChangeCameBack // from there
)

// A Change is something that happened to an interface that is observed.
type Change struct {
	Kind     ChangeKind
	Observed int   // how many interfaces are, behind this change and those told with it
	Err      error `json:"-"` // of ChangeRefused
	// Interface is as it is now; one that is gone, as it was last.
	Interface
	// Before is what it was called before it was renamed.
	Before string
}

// An Interface is one under observation.
type Interface struct {
	Point uint8
	Name  string         // by which it was attached, and which its flows carry
	Now   string         // what it is called now
	Hooks []string       // where it is observed, as in "native XDP"
	State InterfaceState // as of the last look of Watch
}

// An InterfaceState tells whether an interface is there.
type InterfaceState string

// An interface that was moved to another network namespace goes on being metered
// there.
const (
	InterfaceObserved InterfaceState = "observed"
	InterfaceAway     InterfaceState = "observed in another network namespace"
	InterfaceGone     InterfaceState = "gone"
	// InterfaceUnseen is what those see who may not open the links of a pinned meter.
	InterfaceUnseen InterfaceState = "gone, or in another network namespace"
)

// lookInterval is how often Watch looks although nothing was notified: the kernel
// notifies nobody of other namespaces, and a slow receiver not of everything.
const lookInterval = 500 * time.Millisecond

// Watch looks after the interfaces until ctx ends, and tells what happens to them.
// One that is gone is attached again when an interface of its name returns, once
// tell has returned: the flows of before can be closed in it. Watch belongs on a
// thread of the network namespace in which the interfaces were attached. It takes
// no more privilege than attaching does, and opens nothing but a netlink socket. If
// tell panics, what it was told is taken for told, and Watch says so at its end.
func (a *Attachment) Watch(ctx context.Context, tell func(Change)) error {
	n, err := subscribe()
	if err != nil {
		return fmt.Errorf("watch the interfaces: %w", err)
	}
	defer n.close()
	ticker := time.NewTicker(lookInterval)
	defer ticker.Stop()
	var panicked error
	for {
		changes := a.look()
		for _, c := range changes {
			panicked = errors.Join(panicked, c.tell(tell))
		}
		if len(changes) > 0 && ctx.Err() == nil {
			continue // the next may be due already
		}
		if !n.await(ctx, ticker.C, a.concerns) {
			return panicked
		}
	}
}

// tell calls the program's function, whose panic is an error.
func (c Change) tell(tell func(Change)) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("tell of %s: it panicked: %v", c.Interface.Name, p)
		}
	}()
	tell(c)
	return nil
}

// notifications are the kernel's, of the interfaces of a namespace.
type notifications struct {
	updates chan netlink.LinkUpdate // nil once the kernel has dropped some
	done    chan struct{}
}

func subscribe() (*notifications, error) {
	n := &notifications{make(chan netlink.LinkUpdate), make(chan struct{})}
	if err := netlink.LinkSubscribe(n.updates, n.done); err != nil {
		return nil, err
	}
	return n, nil
}

// close returns when nobody receives any more.
func (n *notifications) close() {
	close(n.done)
	for n.updates != nil {
		if _, open := <-n.updates; !open {
			return
		}
	}
}

// await returns when there is reason to look, and false at the end of ctx.
func (n *notifications) await(ctx context.Context, tick <-chan time.Time, concerns func(*netlink.LinkUpdate) bool) bool {
	for {
		select {
		case <-ctx.Done():
			return false
		case <-tick:
			return true
		case u, open := <-n.updates:
			if !open {
				n.resubscribe()
				return true
			}
			if concerns(&u) {
				return true
			}
		}
	}
}

// resubscribe begins anew where the kernel has dropped notifications. If that
// cannot be, the ticker goes on alone.
func (n *notifications) resubscribe() {
	close(n.done)
	again, err := subscribe()
	if err != nil {
		again = &notifications{done: make(chan struct{})}
	}
	*n = *again
}

// concerns tells whether a notification may be of an interface that is observed.
func (a *Attachment) concerns(u *netlink.LinkUpdate) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.ContainsFunc(a.ports, func(p port) bool {
		return int(u.Index) == p.ifindex || u.Link.Attrs().Name == p.now
	})
}

// look finds what has changed since the last look.
func (a *Attachment) look() (changes []Change) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.detached || a.closed {
		return nil
	}
	for i := range a.ports {
		if c := a.lookAt(i); c != nil {
			c.Interface = a.describePort(i)
			changes = append(changes, *c)
		}
	}
	for i := range changes {
		changes[i].Observed = a.observedPorts()
	}
	return changes
}

// lookAt finds what has changed at one interface, nil if nothing has.
func (a *Attachment) lookAt(i int) *Change {
	p := &a.ports[i]
	if p.state == InterfaceGone {
		return a.awaitReturn(i)
	}
	index, err := a.indexOf(i)
	switch {
	case err != nil:
		return nil // nothing is known; it may be at the next look
	case index == 0:
		return a.gone(i)
	}
	dev, err := p.netlink.LinkByIndex(index)
	if err != nil && !errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil
	}
	if err != nil || !a.isAt(i, dev) {
		// It may have been deleted between the two questions.
		if again, err := a.indexOf(i); err != nil {
			return nil
		} else if again == 0 {
			return a.gone(i)
		}
		if p.state == InterfaceAway {
			return nil
		}
		p.state = InterfaceAway
		return &Change{Kind: ChangeMoved}
	}
	c := p.seen(dev.Attrs())
	if c != nil {
		_ = a.noteName(i) // without it, whoever adopts the meter may have to be told the name
	}
	return c
}

func (a *Attachment) gone(i int) *Change {
	a.ports[i].state = InterfaceGone
	a.letGo(i)
	return &Change{Kind: ChangeGone}
}

// seen takes over what an interface is called now.
func (p *port) seen(attrs *netlink.LinkAttrs) *Change {
	before, away := p.now, p.state == InterfaceAway
	p.now, p.ifindex, p.state = attrs.Name, attrs.Index, InterfaceObserved
	switch {
	case away:
		return &Change{Kind: ChangeCameBack, Before: before}
	case before != p.now:
		return &Change{Kind: ChangeRenamed, Before: before}
	}
	return nil
}

// awaitReturn attaches an interface that has returned.
func (a *Attachment) awaitReturn(i int) *Change {
	p := &a.ports[i]
	dev, err := p.netlink.LinkByName(p.now)
	if err != nil {
		p.refused = ""
		return nil
	}
	err = a.attachAgain(i, dev)
	switch {
	case err == nil:
		p.refused = ""
		return &Change{Kind: ChangeReturned}
	case p.refused == err.Error():
		return nil // it was told
	}
	p.refused = err.Error()
	return &Change{Kind: ChangeRefused, Err: err}
}

func (a *Attachment) observedPorts() (n int) {
	for i := range a.ports {
		if a.ports[i].state != InterfaceGone {
			n++
		}
	}
	return n
}

// Interfaces are those under observation.
func (a *Attachment) Interfaces() (all []Interface) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range a.ports {
		all = append(all, a.describePort(i))
	}
	return all
}

func (a *Attachment) describePort(i int) Interface {
	p := &a.ports[i]
	return Interface{uint8(i), p.name, p.now, a.hooksOf(i), p.state}
}
