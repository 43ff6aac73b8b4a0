package main

import (
	"context"
	"errors"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	netbpf "golang.org/x/net/bpf"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/loader"
	"github.com/weirflow/weir/loader/filter"
	"github.com/weirflow/weir/loader/sandbox"
	"github.com/weirflow/weir/userspace"
)

// attachSettings are what only attach has.
type attachSettings struct {
	direction choice
	hook      choice
	mode      choice
	duration  span

	exitOnGone bool
	control    string // path of the control socket, empty for none
}

func attachCommand(env *environment) *cli.Command {
	s := newSettings()
	a := &attachSettings{
		direction: choice{[]string{"in", "out", "both"}, "in"},
		hook:      choice{[]string{"auto", "xdp", "tcx"}, "auto"},
		mode:      choice{[]string{"auto", "native", "generic"}, "auto"},
		duration:  span{min: time.Millisecond},
	}
	return &cli.Command{
		Name:      "attach",
		Usage:     "meter what interfaces receive or send, as it happens",
		UsageText: "weir attach [OPTIONS] INTERFACE...",
		Description: "Meters until it is interrupted. Nothing stays behind when it ends, however it ends;\n" +
			"with --pin metering goes on in the kernel, and the same command takes it up again.\n" +
			"Needs root, or CAP_BPF and CAP_NET_ADMIN; without CAP_PERFMON a packet costs two to three times as much.",
		Flags: slices.Concat(s.flags(), a.flags(s), s.sandboxFlags(), []cli.Flag{pinFlag(s,
			"keep the meter in `DIR`, of a BPF file system, when weir ends or dies; adopt it if it is there; outputs are appended to"),
			&cli.StringFlag{Name: "pin-group", Destination: &s.pinGroup, Category: categoryAttachment,
				Usage: "let `GROUP` read the pinned meter (weir consume), by name or number"}}),
		Action: func(c *cli.Context) error {
			if err := s.read(c, env); err != nil {
				return err
			}
			if !c.Args().Present() {
				return &usageError{c.Command.Name, errors.New("name an interface")}
			}
			if c.IsSet("pin-group") && s.pin == "" {
				return &usageError{c.Command.Name, errors.New("--pin-group means nothing without --pin")}
			}
			if a.hook.picked == "tcx" && c.IsSet("xdp-mode") {
				return &usageError{c.Command.Name, errors.New("--xdp-mode means nothing with --hook tcx")}
			}
			return attach(c, env, s, a)
		},
	}
}

const categoryAttachment = "Attachment"

func (a *attachSettings) flags(s *settings) []cli.Flag {
	return []cli.Flag{
		&cli.GenericFlag{Name: "direction", Value: &a.direction, Category: categoryAttachment,
			Usage: "meter `WHICH` packets: in (received), out (sent) or both"},
		&cli.GenericFlag{Name: "hook", Value: &a.hook, Category: categoryAttachment,
			Usage: "meter received packets at `HOOK`: auto, xdp, or tcx, which lives beside other programs"},
		&cli.GenericFlag{Name: "xdp-mode", Value: &a.mode, Category: categoryAttachment,
			Usage: "run XDP in `MODE`: auto (native where the driver can, else generic with a warning), native or generic"},
		&cli.GenericFlag{Name: "duration", Value: &a.duration, Category: categoryAttachment,
			Usage: "end after `DURATION` (default: when interrupted)"},
		exitOnGoneFlag(&a.exitOnGone),
		&cli.BoolFlag{Name: "append", Destination: &s.resume, Category: categoryOutput,
			Usage: "go on with output files that exist, rather than replace them"},
		controlFlag(&a.control, "answer weir status --control at `PATH`, a socket to be"),
	}
}

func (a *attachSettings) loaderOptions(s *settings, pinGroup int) loader.Options {
	o := loader.Options{
		Config:    loader.Config(s.config()),
		Direction: loader.Direction(a.direction.picked),
		Hook:      loader.Hook(a.hook.picked),
		XDPMode:   loader.XDPMode(a.mode.picked),
		Pin:       s.pin,
		PinGroup:  pinGroup,
	}
	if s.filter != "" {
		o.Filter = func(linkType int) ([]netbpf.RawInstruction, error) { return filter.Compile(s.filter, linkType) }
	}
	return o
}

func attach(c *cli.Context, env *environment, s *settings, a *attachSettings) (err error) {
	if env.handed != nil {
		return a.meter(c.Context, env, s, env.handed, env.handed.control, env.handed.service())
	}
	if s.filter != "" {
		if _, err := filter.Compile(s.filter, int(bpf.WeirLinkTypeLINK_ETHERNET)); err != nil {
			return &usageError{c.Command.Name, err}
		}
	}
	pinGroup := 0
	if c.IsSet("pin-group") {
		if pinGroup, err = groupID(s.pinGroup); err != nil {
			return &usageError{c.Command.Name, err}
		}
	}
	var control *control
	if a.control != "" {
		if control, err = listenControl(a.control); err != nil {
			return err
		}
		defer func() { err = worst(err, control.close()) }()
	}
	attachment, err := loader.Attach(c.Args().Slice(), a.loaderOptions(s, pinGroup))
	if err != nil {
		return err
	}
	defer func() { err = worst(err, attachment.Close()) }()
	say := speaker{env.stderr, s.level}
	for _, warning := range attachment.Warnings() {
		say.always("warning: %s", warning)
	}
	service := newService(say)
	if !s.noSandbox {
		return watchFor(env, s, attachment, s.pin == "", control, service)
	}
	warnWithoutSandbox(s, say)
	return a.meter(c.Context, env, s, attachment, control, service)
}

// meter reads a meter that is attached.
func (a *attachSettings) meter(ctx context.Context, env *environment, s *settings, m attached, control *control, service *service) error {
	r, err := newMeterRun(env, s)
	if err != nil {
		return err
	}
	r.duration, r.control = a.duration.d, control
	r.service = service
	r.watch = newWatch(r.say, a.exitOnGone, service)
	if s.pin != "" {
		return r.follow(ctx, m)
	}
	r.finish = func(l *userspace.Ledger) error { return r.countInterfaces(m, l) }
	return r.observe(ctx, m, userspace.WithDetach(m.Detach))
}

// liveGCPercent is by how much the heap of a live meter grows before its garbage is
// collected. What it needs under a flood it has from the start, so that garbage is all
// that can grow: Go's 100 would let an idle meter double when traffic comes. There is
// little of it, some MB a second, and few pointers to follow, so that a collection
// costs milliseconds.
const liveGCPercent = 5

// observe runs a meter that is attached.
func (r *meterRun) observe(ctx context.Context, a attached, more ...userspace.Option) (err error) {
	debug.SetGCPercent(liveGCPercent)
	options, err := r.options(ctx, true)
	if err != nil {
		r.close()
		return err
	}
	consumer, err := userspace.NewConsumer(a.Handles(), append(options, more...)...)
	if err != nil {
		r.close()
		return err
	}
	defer func() { err = worst(err, consumer.Close()) }()
	if r.pinned != nil {
		r.pinned.consumer = consumer
	}
	if r.env.handed != nil && r.worker == nil {
		sockets, err := r.settings.sockets()
		if err == nil {
			err = r.env.confine(r.settings, sandbox.ConsumerCalls(false, sockets)) // it starts nothing
		}
		if err != nil {
			r.close()
			return err
		}
	}
	if !r.ending {
		r.say.note("metering %s", strings.Join(a.Hooks(), ", "))
	}
	r.meter(consumer)
	stop := r.look(a, consumer)
	defer func() { err = worst(err, stop()) }()
	err = r.run(ctx)
	if failed := consumer.IteratorError(); failed != nil {
		r.say.note("%s: from then on sweeps took twice the time, and nothing was lost by that", oneLine(failed))
	}
	return err
}

// look has the interfaces watched and questions answered, until stop is called.
func (r *meterRun) look(a attached, c *userspace.Consumer) (stop func() error) {
	if r.control != nil {
		r.control.serve(r.answerer(a))
	}
	r.service.ready()
	unwatch := func() {}
	if r.watch != nil {
		unwatch = r.watch.start(a, c)
	}
	return func() error { unwatch(); return r.control.close() }
}

// countInterfaces enters what the interfaces counted. It must agree with what
// was observed where frames are seen as the driver has them; elsewhere the
// kernel has merged or not yet cut them, and a difference is only told.
func (r *meterRun) countInterfaces(a attached, l *userspace.Ledger) error {
	low, high, err := a.Counters()
	if err != nil {
		r.say.note("ledger line L1 is not checked: %v", err)
		return nil
	}
	nic := &userspace.Range{Low: userspace.Count(low), High: userspace.Count(high)}
	l.NIC = nic
	exact := !slices.ContainsFunc(a.Hooks(), func(hook string) bool { return !strings.HasSuffix(hook, "native XDP") })
	if within := nic.Low.Packets <= l.Observed.Packets && l.Observed.Packets <= nic.High.Packets; !within {
		r.say.note("L1: the interfaces counted %d to %d packets and %d were observed; offloads and what the driver counts can make a difference",
			nic.Low.Packets, nic.High.Packets, l.Observed.Packets)
	}
	r.nicIsExact = exact
	return nil
}
