package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/weirflow/weir/loader/sandbox"
	"github.com/weirflow/weir/userspace"
	"github.com/weirflow/weir/userspace/sink"
)

func replayCommand(env *environment) *cli.Command {
	s := newSettings()
	s.offline = true
	// The default is that of a live meter, so that labels are the same.
	s.octets.max = userspace.SampleOctetsMax
	// Memory is taken as flows open, and not beforehand as in the kernel.
	s.maxFlows.n = 1 << 20
	return &cli.Command{
		Name:      "replay",
		Usage:     "meter the packets of capture files",
		UsageText: "weir replay [OPTIONS] FILE... | -",
		Description: "Reads pcap and pcapng, plain or compressed with gzip or zstd; - is standard input.\n" +
			"Several files are metered in the order given, as if they were one.\n" +
			"The clock is the packets'. A damaged file ends where the damage begins; the next one goes on.",
		Flags: append(s.flags(), s.noSandboxFlag()),
		Action: func(c *cli.Context) error {
			if err := s.read(c, env); err != nil {
				return err
			}
			if !c.Args().Present() {
				return &usageError{c.Command.Name, errors.New("name a capture file, or - for standard input")}
			}
			return replay(c, env, s)
		},
	}
}

// keepInputs refuses an output that would overwrite a capture to be read.
func keepInputs(captures, outputs []string) error {
	for _, spec := range outputs {
		_, path, err := sink.Parse(spec)
		if err != nil {
			return err
		}
		out, err := os.Stat(path)
		if err != nil {
			continue
		}
		for _, capture := range captures {
			if in, err := os.Stat(capture); err == nil && in.Mode().IsRegular() && os.SameFile(in, out) {
				return fmt.Errorf("output %q: it would overwrite the capture %s", spec, capture)
			}
		}
	}
	return nil
}

func replay(c *cli.Context, env *environment, s *settings) error {
	if err := keepInputs(c.Args().Slice(), s.outputs); err != nil {
		return &usageError{c.Command.Name, err}
	}
	in := &captures{paths: c.Args().Slice(), stdin: env.stdin, say: speaker{env.stderr, s.level}}
	match, err := in.matcher(s.filter)
	if err != nil {
		return &usageError{c.Command.Name, err}
	}
	warnWithoutSandbox(s, in.say)
	sockets, err := s.sockets()
	if err != nil {
		return err
	}
	if err := env.confine(s, sandbox.ReplayCalls(sockets)); err != nil {
		return err
	}
	r, err := newMeterRun(env, s)
	if err != nil {
		return err
	}
	r.outputs.patient()
	options, err := r.options(c.Context, false)
	if err != nil {
		r.close()
		return err
	}
	if match != nil {
		options = append(options, userspace.WithFilter(match))
	}
	m, err := userspace.NewMeter(in, options...)
	if err != nil {
		r.close()
		return err
	}
	r.meter(m)
	if s.level > quiet && env.terminal(env.stderr) && !r.outputs.onTerminal(env) {
		in.bar = newBar(env, in.paths)
	}
	r.finish = func(*userspace.Ledger) error { return in.report() }
	return r.run(c.Context)
}
