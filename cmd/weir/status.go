package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/weirflow/weir/loader"
	"github.com/weirflow/weir/userspace"
)

func statusCommand(env *environment) *cli.Command {
	s := newSettings()
	return &cli.Command{
		Name:      "status",
		Usage:     "tell what a meter that is pinned does",
		UsageText: "weir status --pin DIR",
		Flags:     []cli.Flag{pinFlag(s, "look at the meter in `DIR`")},
		Action: func(c *cli.Context) (err error) {
			if err := needPin(c, s); err != nil {
				return err
			}
			look, err := loader.LookAt(s.pin)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, look.Close()) }()
			ledger, err := userspace.ReadLedger(look.Handles)
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(env.stdout, statusText(look, &ledger))
			return err
		},
	}
}

func statusText(look *loader.Look, l *userspace.Ledger) string {
	var b strings.Builder
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s "+format+"\n", append([]any{name}, args...)...)
	}
	reader := "nobody"
	switch {
	case look.Reader != 0:
		reader = fmt.Sprintf("pid %d", look.Reader)
	case look.Read:
		reader = "a process that cannot be seen from here"
	}
	row("metering", "%s", strings.Join(look.Hooks, ", "))
	if len(look.Gone) > 0 {
		row("gone", "%s", strings.Join(look.Gone, ", "))
	}
	row("attached", "%s", look.Attached.Format("2006-01-02 15:04:05 MST"))
	row("read by", "%s", reader)
	row("object", "%s", look.Object)
	row("layout", "%s", look.Layout)
	for _, c := range []struct {
		name string
		userspace.Count
	}{
		{"observed", l.Observed}, {"metered", l.Metered}, {"ignored", l.IgnoredTotal()}, {"written", l.Read}, {"open", l.Open},
		{"lost", l.Lost.Plus(l.LostWithConsumer)},
	} {
		row(c.name, "%d packets, %d octets", c.Packets, c.Octets)
	}
	return b.String()
}
