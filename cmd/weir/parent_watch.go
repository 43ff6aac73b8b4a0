package main

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/weirflow/weir/loader"
)

// closeTime is what a consumer gets to close the flows of an interface that is gone,
// before an interface of its name is attached again.
const closeTime = 3 * time.Second

// watchFor is keepFor of a meter whose interfaces are watched.
func watchFor(env *environment, s *settings, a *loader.Attachment, ends bool, c *control, service *service) error {
	p := newParent(env, s, a, ends)
	p.watched, p.closed, p.control, p.service = make(chan change), make(chan struct{}, 1), c, service
	return p.run(s)
}

func (p *parent) handover() *handover {
	handles := p.attachment.Handles()
	h := &handover{
		Points: handles.Points, Object: handles.Object, Iterates: handles.SweepIter != nil, Hooks: p.attachment.Hooks(), Adopted: p.attachment.Adopted(), Pinned: p.attachment.Pinned(),
		Interfaces: p.attachment.Interfaces(), User: uint32(os.Geteuid()),
	}
	if p.control != nil {
		h.Control, h.ControlFD = p.control.path, lifelineFD+len(p.consumer.ExtraFiles)-2 // it is the last but one
	}
	if p.service != nil {
		h.Watchdog = p.service.watchdog
	}
	return h
}

// watch looks after the interfaces until stop is called, and tells the consumer.
func (p *parent) watch() (stop func()) {
	switch {
	case p.watched == nil && p.ends:
		return func() {}
	case p.watched == nil:
		return lookOn(p.say, p.attachment)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := p.attachment.Watch(ctx, func(c loader.Change) { p.pass(ctx, c) }); err != nil {
			p.say.always("what becomes of the interfaces is not seen: %s", oneLine(err))
		}
	}()
	return func() { cancel(); <-done }
}

// pass passes a change on to the consumer, and waits until it has closed the flows
// of an interface that is gone.
func (p *parent) pass(ctx context.Context, c loader.Change) {
	select {
	case <-p.closed: // said too late, of an earlier change
	default:
	}
	told := change{Change: c, All: p.attachment.Interfaces()}
	p.service.show(statusOfInterfaces(told.All))
	if c.Err != nil {
		told.Reason = oneLine(c.Err)
	}
	select {
	case p.watched <- told:
	case <-ctx.Done():
		return
	}
	if c.Kind != loader.ChangeGone {
		return
	}
	select {
	case <-p.closed:
	case <-ctx.Done():
	case <-time.After(closeTime):
	}
}

// noted takes what the consumer says of itself, and tells whether it was that.
func (p *parent) noted(r request) bool {
	switch r {
	case requestWatched:
		select {
		case p.closed <- struct{}{}:
		default:
		}
	case requestReady:
		p.service.ready()
		p.service.show(statusOfInterfaces(p.attachment.Interfaces()))
	case requestStopping:
		p.service.stopping()
	case requestAlive:
		p.service.beat()
	default:
		return false
	}
	return true
}

// A change is one that the process that has attached the meter tells the consumer.
type change struct {
	loader.Change
	Reason string             // of Change.Err
	All    []loader.Interface // as they are now
}

// changesMax bounds the changes that wait for a consumer that does not look.
const changesMax = 1024

// note keeps a change for Watch.
func (m *handedMeter) note(c *change) {
	m.known.Lock()
	m.handover.Interfaces = c.All
	m.known.Unlock()
	if c.Reason != "" {
		c.Err = errors.New(c.Reason)
	}
	select {
	case m.changes <- *c:
	default: // the run is at its end
	}
}

func (m *handedMeter) Interfaces() []loader.Interface {
	m.known.Lock()
	defer m.known.Unlock()
	return m.handover.Interfaces
}

// Watch tells what the other process sees of the interfaces.
func (m *handedMeter) Watch(ctx context.Context, tell func(loader.Change)) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case c := <-m.changes:
			tell(c.Change)
			if c.Kind == loader.ChangeGone {
				m.say(requestWatched)
			}
		}
	}
}

// say says what is not replied to. Where it cannot be said the other process is gone,
// and this one ends by that.
func (m *handedMeter) say(r request) { _, _ = m.line.Write([]byte{byte(r)}) }

// service tells the service manager by way of the other process, which it knows.
func (m *handedMeter) service() *service {
	return &service{watchdog: m.Watchdog, send: func(state string) error {
		if r, ok := stateRequests[state]; ok {
			m.say(r)
		}
		return nil
	}}
}
