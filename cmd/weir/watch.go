package main

import (
	"context"
	"errors"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/weirflow/weir/loader"
	"github.com/weirflow/weir/userspace"
)

// A watch looks after the interfaces of a meter that runs: what is open of one that
// is gone is closed before the interface is attached again.
type watch struct {
	say        speaker
	exitOnGone bool
	gone       chan struct{} // closed when the last interface is, with exitOnGone
	service    *service
}

func newWatch(say speaker, exitOnGone bool, s *service) *watch {
	return &watch{say, exitOnGone, make(chan struct{}), s}
}

func exitOnGoneFlag(into *bool) cli.Flag {
	return &cli.BoolFlag{Name: "exit-on-gone", Destination: into, Category: categoryAttachment,
		Usage: "end in order when the last of the interfaces is gone, rather than wait until one returns"}
}

// ended is closed when nothing is left to observe, and that is to be the end.
func (w *watch) ended() <-chan struct{} {
	if w == nil {
		return nil
	}
	return w.gone
}

// isOver tells whether nothing is left to observe, and that is the end.
func (w *watch) isOver() bool {
	select {
	case <-w.ended():
		return true
	default:
		return false
	}
}

// start watches until stop is called.
func (w *watch) start(a attached, c *userspace.Consumer) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	w.service.show(statusOfInterfaces(a.Interfaces()))
	go func() {
		defer close(done)
		err := a.Watch(ctx, func(change loader.Change) {
			w.tell(&change)
			w.service.show(statusOfInterfaces(a.Interfaces()))
			if change.Kind == loader.ChangeGone {
				w.end(ctx, &change, c)
			}
		})
		if err != nil {
			w.say.always("what becomes of the interfaces is not seen: %s", oneLine(err))
		}
	}()
	return func() { cancel(); <-done }
}

// end closes the flows of an interface that is gone.
func (w *watch) end(ctx context.Context, change *loader.Change, c *userspace.Consumer) {
	if err := c.EndPoint(ctx, change.Point); err != nil && !errors.Is(err, context.Canceled) {
		w.say.always("%s", oneLine(err))
	}
	if w.exitOnGone && change.Observed == 0 && ctx.Err() == nil {
		close(w.gone)
		w.exitOnGone = false // said once
	}
}

// tell says what happened.
func (w *watch) tell(c *loader.Change) {
	switch c.Kind {
	case loader.ChangeGone:
		next := "waiting for it to return"
		if w.exitOnGone && c.Observed == 0 {
			next = "ending"
		}
		w.say.always("%s is gone: its flows are closed; %s", c.Now, next)
	case loader.ChangeReturned:
		w.say.always("%s has returned: metering %s", c.Now, strings.Join(c.Hooks, ", "))
	case loader.ChangeRefused:
		w.say.always("%s has returned and is not metered; trying again: %s", c.Now, oneLine(c.Err))
	case loader.ChangeRenamed:
		w.say.note("%s is called %s now; its flows stay under %s", c.Before, c.Now, c.Name)
	case loader.ChangeMoved:
		w.say.note("%s is in another network namespace now, and is metered there; ledger line L1 cannot be checked", c.Now)
	case loader.ChangeCameBack:
		w.say.note("%s is back from another network namespace", c.Now)
	}
}
