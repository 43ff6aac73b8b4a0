package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/weirflow/weir/loader"
	"github.com/weirflow/weir/userspace"
)

// confirmEvery is after how many flows they are written and confirmed at the
// latest: until then they take room in the ring buffer.
const confirmEvery = 1024

// crowdedMax is how long flows that outputs have not taken may fill the ring buffer.
const crowdedMax = 5 * time.Second

// A pinnedRun confirms to a pinned meter the flows that are written. Flows come out
// in the order in which the meter handed them out.
type pinnedRun struct {
	consumer *userspace.Consumer

	mu    sync.Mutex
	flows uint64 // offered to the outputs
	safe  uint64 // of these confirmed
	err   error  // the first of a confirmation

	crowdedSince time.Time // zero while the ring buffer has room
}

// written counts a flow that was offered to the outputs.
func (p *pinnedRun) written(o *outputs) {
	p.mu.Lock()
	p.flows++
	due := p.flows >= p.safe+confirmEvery
	p.mu.Unlock()
	if due {
		p.confirm(o)
	}
}

// confirm has the outputs written, and then confirms what they have settled.
func (p *pinnedRun) confirm(o *outputs) {
	if o.flush() {
		p.say(o.settled())
	}
	if p.crowded() && !o.waits.Load() {
		o.giveUp()
		p.say(o.settled())
	}
}

// crowded tells whether outputs have for long left the ring buffer too little room:
// metering is not to wait for them, so that what they have not taken is not sent.
// Reading what came while nobody read fills them for a moment.
func (p *pinnedRun) crowded() bool {
	crowded := p.consumer.Crowded()
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !crowded:
		p.crowdedSince = time.Time{}
	case p.crowdedSince.IsZero():
		p.crowdedSince = time.Now()
	case time.Since(p.crowdedSince) > crowdedMax:
		p.crowdedSince = time.Time{}
		return true
	}
	return false
}

// confirmAll confirms what is safe, once the outputs are closed.
func (p *pinnedRun) confirmAll(o *outputs) { p.say(o.settled()) }

func (p *pinnedRun) say(flows uint64, notSent userspace.Count) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if flows < p.safe {
		return
	}
	p.safe = flows
	if err := p.consumer.Confirm(flows, notSent); err != nil && p.err == nil {
		p.err = err
	}
}

// all tells whether every flow is safe.
func (p *pinnedRun) all() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err == nil && p.safe == p.flows
}

func pinFlag(s *settings, usage string) cli.Flag {
	return &cli.StringFlag{Name: "pin", Destination: &s.pin, Category: categoryAttachment, Usage: usage}
}

// needPin refuses a command line without --pin, or with arguments besides.
func needPin(c *cli.Context, s *settings) error {
	switch {
	case s.pin == "":
		return &usageError{c.Command.Name, errors.New("name the pinned meter with --pin")}
	case c.Args().Present():
		return &usageError{c.Command.Name, errors.New("no arguments are taken")}
	}
	return nil
}

// follow reads a pinned meter, which goes on without it.
func (r *meterRun) follow(ctx context.Context, a attached) error {
	if a.Adopted() {
		r.say.note("adopted the meter at %s, attached %s", r.settings.pin, a.Pinned().Attached.Format("2006-01-02 15:04:05"))
	}
	if r.watch == nil {
		tellGone(r.say, r.settings.pin, a.Interfaces())
	}
	r.pinned = &pinnedRun{}
	r.finish = func(l *userspace.Ledger) error {
		if r.watch.isOver() {
			r.say.note("no interface is left; once one has returned, weir attach --pin %s INTERFACE... goes on, weir detach --pin %s ends the meter",
				r.settings.pin, r.settings.pin)
			return nil
		}
		r.say.note("metering goes on: %d packets are in flows that are open; weir attach --pin %s INTERFACE... or weir consume goes on reading, weir detach --pin %s ends it",
			l.Open.Packets, r.settings.pin, r.settings.pin)
		return nil
	}
	return r.observe(ctx, a, userspace.WithConfirmation())
}

// tellGone says of which interfaces no packets come, where nobody watches for their return.
func tellGone(say speaker, pin string, all []loader.Interface) {
	for _, i := range all {
		if i.State == loader.InterfaceGone || i.State == loader.InterfaceUnseen {
			say.always("%s is %s: weir consume attaches nothing; once it has returned, weir attach --pin %s meters it again", i.Now, i.State, pin)
		}
	}
}

// lookInterval is how often weir consume looks after interfaces.
const lookInterval = time.Second

// lookOn tells of interfaces that are gone from now on, until stop is called.
func lookOn(say speaker, a *loader.Attachment) (stop func()) {
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(lookInterval)
		defer ticker.Stop()
		for {
			select {
			case <-ended:
				return
			case <-ticker.C:
				tellGone(say, a.PinPath(), a.Look())
			}
		}
	}()
	return func() { close(ended); <-done }
}

func consumeCommand(env *environment) *cli.Command {
	s := newSettings()
	duration := span{min: 1}
	return &cli.Command{
		Name:      "consume",
		Usage:     "read the flows of a meter that is pinned",
		UsageText: "weir consume [OPTIONS] --pin DIR",
		Description: "Reads what weir attach --pin has started, by its options, until it is interrupted; metering goes on.\n" +
			"Needs no privilege but to read DIR. One process at a time reads a meter. It attaches nothing: an interface\n" +
			"that was deleted and has returned is metered again by weir attach --pin DIR.",
		Flags: append(slices.Concat(s.labelFlags(), s.outputFlags(), s.sandboxFlags()), pinFlag(s, "read the meter in `DIR`; outputs are appended to"),
			&cli.GenericFlag{Name: "duration", Value: &duration, Category: categoryAttachment,
				Usage: "end after `DURATION` (default: when interrupted)"}),
		Action: func(c *cli.Context) error {
			if err := errors.Join(s.readOutput(c, env), needPin(c, s)); err != nil {
				return err
			}
			return openPinned(c, env, s, loader.AccessRead, func(r *meterRun, a attached) error {
				r.duration = duration.d
				return r.follow(c.Context, a)
			})
		},
	}
}

func openPinned(c *cli.Context, env *environment, s *settings, access loader.Access, do func(*meterRun, attached) error) (err error) {
	if env.handed != nil {
		return readPinned(c, env, s, env.handed, do)
	}
	a, err := loader.Open(s.pin, access)
	if err != nil {
		return err
	}
	defer func() { err = worst(err, a.Close()) }()
	if !s.noSandbox {
		return keepFor(env, s, a, access == loader.AccessOwner)
	}
	warnWithoutSandbox(s, speaker{env.stderr, s.level})
	if access == loader.AccessRead {
		defer lookOn(speaker{env.stderr, s.level}, a)()
	}
	return readPinned(c, env, s, a, do)
}

func readPinned(c *cli.Context, env *environment, s *settings, a attached, do func(*meterRun, attached) error) error {
	s.follow(userspace.Config(a.Pinned().Config))
	if err := s.checkLabels(c.Command.Name); err != nil {
		return err
	}
	r, err := newMeterRun(env, s)
	if err != nil {
		return err
	}
	return do(r, a)
}

func detachCommand(env *environment) *cli.Command {
	s := newSettings()
	return &cli.Command{
		Name:      "detach",
		Usage:     "end a meter that is pinned, and write what it holds",
		UsageText: "weir detach [OPTIONS] --pin DIR",
		Description: "Detaches, closes what is open, writes the flows, and removes the pins once they are written.\n" +
			"Needs the privilege that weir attach needs.",
		Flags: append(slices.Concat(s.labelFlags(), s.outputFlags(), s.sandboxFlags()), pinFlag(s, "end the meter in `DIR`; outputs are appended to"),
			&cli.BoolFlag{Name: "discard", Category: categoryAttachment,
				Usage: "give up what the meter holds, as of another build of weir"}),
		Action: func(c *cli.Context) error {
			if err := errors.Join(s.readOutput(c, env), needPin(c, s)); err != nil {
				return err
			}
			if c.Bool("discard") {
				return loader.Discard(s.pin)
			}
			return openPinned(c, env, s, loader.AccessOwner, func(r *meterRun, a attached) error {
				return r.detach(c.Context, a)
			})
		},
	}
}

// detach ends a pinned meter. Its pins stay while a flow of it is not written.
func (r *meterRun) detach(ctx context.Context, a attached) error {
	r.pinned, r.ending = &pinnedRun{}, true
	r.finish = func(l *userspace.Ledger) error { return r.countInterfaces(a, l) }
	err := r.observe(ctx, a, userspace.WithConfirmation(), userspace.WithDetach(a.Detach))
	if len(r.errs) > 0 || !r.pinned.all() || err != nil && exitCode(err) == exitFailed {
		r.say.always("%s stays, with the flows that were not sent: weir detach again, or give them up with --discard", r.settings.pin)
		return err
	}
	return worst(err, a.Remove())
}
