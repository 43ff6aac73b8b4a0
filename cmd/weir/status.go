package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/loader"
	"github.com/weirflow/weir/userspace"
)

// A statusReport is what weir status tells of a meter.
type statusReport struct {
	Version    string            `json:"version,omitempty"` // of the weir that answers
	Object     string            `json:"object"`
	Layout     string            `json:"layout"`
	Attached   time.Time         `json:"attached"`
	ReadBy     string            `json:"read_by"`
	Interfaces []interfaceStatus `json:"interfaces"`
	Ledger     ledgerStatus      `json:"ledger"`
	Outputs    []outputStatus    `json:"outputs,omitempty"` // known to who writes them only
}

type interfaceStatus struct {
	Name       string   `json:"name"`
	AttachedAs string   `json:"attached_as"`
	Hooks      []string `json:"hooks"`
	State      string   `json:"state"`
}

// A ledgerStatus is the ledger while packets arrive: its lines are of slightly
// different moments.
type ledgerStatus struct {
	Observed         userspace.Count            `json:"observed"`
	Metered          userspace.Count            `json:"metered"`
	Ignored          map[string]userspace.Count `json:"ignored"`
	Accounted        userspace.Count            `json:"accounted"`
	Read             userspace.Count            `json:"read"`
	Open             userspace.Count            `json:"open"`
	Lost             userspace.Count            `json:"lost"`
	LostWithConsumer userspace.Count            `json:"lost_with_consumer"`
	Delivered        userspace.Count            `json:"delivered"` // to outputs, which may have it queued; of a pinned meter: confirmed
	NotSent          userspace.Count            `json:"not_sent"`  // by processes before the one that reads it
	Flows            uint64                     `json:"flows"`
}

type outputStatus struct {
	Name    string          `json:"name"`
	State   string          `json:"state"`
	Flows   uint64          `json:"flows_not_sent"`
	NotSent userspace.Count `json:"not_sent"`
	// Causes are those of NotSent.
	Causes map[string]userspace.Count `json:"not_sent_by_cause,omitempty"`
}

func statusCommand(env *environment) *cli.Command {
	s := newSettings()
	format, formatFlag := textOrJSON()
	var control string
	return &cli.Command{
		Name:      "status",
		Usage:     "tell what a meter does that runs",
		UsageText: "weir status [--format json] --pin DIR | --control PATH",
		Flags: []cli.Flag{pinFlag(s, "look at the meter in `DIR`"),
			controlFlag(&control, "ask the meter that listens at `PATH`"),
			formatFlag},
		Action: func(c *cli.Context) error {
			report, err := findStatus(c, s, control)
			if err != nil {
				return err
			}
			if format.picked == "json" {
				return printJSON(env.stdout, report)
			}
			_, err = io.WriteString(env.stdout, report.text())
			return ignoreGone(err)
		},
	}
}

func findStatus(c *cli.Context, s *settings, control string) (*statusReport, error) {
	switch {
	case control != "" && s.pin != "":
		return nil, &usageError{c.Command.Name, errors.New("--pin and --control are two ways to a meter: name one")}
	case control != "" && c.Args().Present():
		return nil, &usageError{c.Command.Name, errors.New("no arguments are taken")}
	case control != "":
		return askControl(control)
	case s.pin == "":
		return nil, &usageError{c.Command.Name, errors.New("name the meter with --pin or --control")}
	}
	if err := needPin(c, s); err != nil {
		return nil, err
	}
	return pinnedStatus(s.pin)
}

func pinnedStatus(path string) (report *statusReport, err error) {
	look, err := loader.LookAt(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, look.Close()) }()
	ledger, err := userspace.ReadLedger(look.Handles)
	if err != nil {
		return nil, err
	}
	reader := "nobody"
	switch {
	case look.Reader != 0:
		reader = fmt.Sprintf("pid %d", look.Reader)
	case look.Read:
		reader = "a process that cannot be seen from here"
	}
	return &statusReport{Object: look.Object, Layout: look.Layout, Attached: look.Attached, ReadBy: reader,
		Interfaces: statusOfInterfaces(look.Interfaces), Ledger: statusOfLedger(&ledger)}, nil
}

func statusOfInterfaces(all []loader.Interface) (status []interfaceStatus) {
	for _, i := range all {
		status = append(status, interfaceStatus{i.Now, i.Name, i.Hooks, string(i.State)})
	}
	return status
}

func statusOfLedger(l *userspace.Ledger) ledgerStatus {
	ignored := map[string]userspace.Count{}
	for status, count := range l.Ignored {
		if count.Packets > 0 {
			ignored[bpf.Status(status).String()] = count
		}
	}
	return ledgerStatus{l.Observed, l.Metered, ignored, l.Accounted, l.Read, l.Open, l.Lost, l.LostWithConsumer, l.Delivered, l.NotSentTotal(), l.Flows}
}

// text is the report for reading.
func (s *statusReport) text() string {
	var b strings.Builder
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s "+format+"\n", append([]any{name}, args...)...)
	}
	for _, i := range s.Interfaces {
		name, value := i.row()
		row(name, "%s", value)
	}
	row("attached", "%s", s.Attached.Format("2006-01-02 15:04:05 MST"))
	row("read by", "%s", s.ReadBy)
	if s.Version != "" {
		row("version", "%s", s.Version)
	}
	row("object", "%s", s.Object)
	row("layout", "%s", s.Layout)
	l := &s.Ledger
	var ignored userspace.Count
	for _, count := range l.Ignored {
		ignored = ignored.Plus(count)
	}
	for _, c := range []struct {
		name string
		userspace.Count
	}{
		{"observed", l.Observed}, {"metered", l.Metered}, {"ignored", ignored}, {"delivered", l.Delivered}, {"not sent", l.NotSent},
		{"open", l.Open}, {"lost", l.Lost.Plus(l.LostWithConsumer)},
	} {
		if c.name == "not sent" && c.Packets == 0 {
			continue // by processes before this one, which is rare
		}
		also := ""
		if c.name == "open" && c.Packets > 0 {
			also = s.alsoOpen()
		}
		row(c.name, "%d packets, %d octets%s", c.Packets, c.Octets, also)
	}
	for _, o := range s.Outputs {
		value := fmt.Sprintf("%s: %s, %d flows with %d packets not sent", o.Name, o.State, o.Flows, o.NotSent.Packets)
		if len(o.Causes) > 0 {
			value += " (" + byCause(o.Causes) + ")"
		}
		row("output", "%s", value)
	}
	return b.String()
}

// alsoOpen tells of what is open besides open flows: a pinned meter that is looked at
// from beside takes for delivered what its reader has confirmed.
func (s *statusReport) alsoOpen() string {
	if len(s.Outputs) > 0 {
		return ""
	}
	return ", with what was read and is not confirmed yet"
}

// row is an interface's line.
func (i *interfaceStatus) row() (name, value string) {
	value = i.Name
	if i.AttachedAs != i.Name {
		value += " (attached as " + i.AttachedAs + ")"
	}
	switch loader.InterfaceState(i.State) {
	case loader.InterfaceGone:
		return "gone", value
	case loader.InterfaceUnseen:
		return "not seen", value + ": " + i.State
	case loader.InterfaceObserved:
		return "metering", value + ": " + strings.Join(i.Hooks, ", ")
	}
	return "metering", value + ": " + strings.Join(i.Hooks, ", ") + ", " + i.State
}
