package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/dpi"
	"github.com/weirflow/weir/tools/captures"
	"github.com/weirflow/weir/userspace"
	"github.com/weirflow/weir/userspace/decode"
	"github.com/weirflow/weir/userspace/feature"
	"github.com/weirflow/weir/userspace/pcapfile"
)

// row is a flow by column. Numbers are float64, lists []float64.
type row map[string]any

// A testCase is one answer of the reference and how to get weir's.
type testCase struct {
	name    string
	answer  string
	capture string
	config  userspace.Config
	// answered is how many dissections the answer is of.
	answered int
	// dissections is how many samples of a flow nDPI is shown; 0: no L7.
	dissections int
	// limit says which samples are shown; nil: all.
	limit func(*userspace.Sample) bool
	// damage is where the capture turned out to be broken.
	damage *pcapfile.Error
	// guarded tells that some packet was kept from nDPI.
	guarded bool
	// crashes is how often the process that nDPI runs in ended or had to be.
	crashes uint64
	frames  frames
}

// newCase takes the options from the answer's name, as shared with captures:
// NAME.accounting_1.jsonl, NAME.decodetunnels_0.jsonl.
func newCase(answer string) (*testCase, error) {
	c := &testCase{answer: answer, config: userspace.DefaultConfig(), answered: dpi.DefaultDissections, frames: newFrames()}
	c.config.Statistics, c.config.SPLT = true, bpf.SPLTMax
	c.name = strings.TrimSuffix(answer, ".jsonl")
	for c.capture == "" {
		for _, path := range []string{c.name, c.name + ".pcap", c.name + ".pcapng"} {
			if info, err := os.Stat(path); err == nil && !info.IsDir() {
				c.capture = path
				return c, nil
			}
		}
		dot := strings.LastIndexByte(c.name, '.')
		if dot < 0 {
			return nil, fmt.Errorf("no capture for %s", answer)
		}
		if err := c.option(c.name[dot+1:]); err != nil {
			return nil, fmt.Errorf("options of %s: %w", answer, err)
		}
		c.name = c.name[:dot]
	}
	return c, nil
}

// option sets what NAME_VALUE says. What does not shape weir's flows is passed
// over; what is not known may, and is told: the differences it makes are not weir's.
func (c *testCase) option(text string) error {
	text = strings.TrimPrefix(text, "statistical_")
	name, value, _ := strings.Cut(text, "_")
	n, err := strconv.Atoi(value)
	switch name {
	case "accounting":
		c.config.Accounting = bpf.Accounting(n)
	case "decodetunnels":
		c.config.DecodeTunnels = n == 1
	case "splt":
		c.config.SPLT = n
	case "ndissections":
		c.answered = n
	case "idletimeout":
		c.config.IdleTimeout = time.Duration(n) * time.Second
	case "activetimeout":
		c.config.ActiveTimeout = time.Duration(n) * time.Second
	case "default", "statistical", "nmeters":
		return nil
	default:
		fmt.Fprintf(os.Stderr, "parity: %s: option %q is not known, and passed over\n", c.answer, text)
		return nil
	}
	return err
}

// reference reads the answer.
func (c *testCase) reference() (rows []row, err error) {
	rows, err = captures.Lines[row](c.answer)
	for _, r := range rows {
		for name, v := range r {
			if list, ok := v.([]any); ok {
				r[name] = floats(list)
			}
		}
	}
	return rows, err
}

func floats(list []any) []float64 {
	out := make([]float64, len(list))
	for i, v := range list {
		out[i], _ = v.(float64)
	}
	return out
}

// ours meters the capture, up to where it is damaged if it is; with nDPI if
// there are dissections.
func (c *testCase) ours(ctx context.Context) (rows []row, err error) {
	packets, err := pcapfile.Open(c.capture)
	if err != nil {
		return nil, err
	}
	defer packets.Close()
	c.config.Samples, c.config.SampleOctets = c.dissections, userspace.SampleOctetsMax
	c.frames.decoder = decode.Decoder{Accounting: c.config.Accounting, DecodeTunnels: c.config.DecodeTunnels}
	opts := []userspace.Option{userspace.WithConfig(c.config)}
	var w *dpi.Worker
	if c.dissections > 0 {
		if w, err = dpi.Start(ctx, dpi.Options{Dissections: c.dissections}); err != nil {
			return nil, err
		}
		defer func() {
			s := w.Stats()
			c.guarded, c.crashes = s.Rejected > 0, s.Crashes+s.Hangs
			err = firstError(err, w.Close())
		}()
		opts = append(opts, userspace.WithSamples(c.shown(w.Sample)))
	}
	meter, err := userspace.NewMeter(&watching{PacketSource: packets, frames: &c.frames}, opts...)
	if err != nil {
		return nil, err
	}
	var source userspace.Source = meter
	if w != nil {
		source = w.Wrap(meter, meter)
	}
	return c.rows(ctx, source)
}

// shown leaves out the samples that are not to be shown to nDPI.
func (c *testCase) shown(to userspace.SampleFunc) userspace.SampleFunc {
	if c.limit == nil {
		return to
	}
	return func(s *userspace.Sample) {
		if c.limit(s) {
			to(s)
		}
	}
}

func (c *testCase) rows(ctx context.Context, source userspace.Source) (rows []row, err error) {
	columns := feature.Columns(feature.Options{
		Statistics: c.config.Statistics, SPLT: c.config.SPLT, L7: c.dissections > 0, Tunnels: true,
	})
	for f, err := range source.Flows(ctx) {
		var damage *pcapfile.Error
		if errors.As(err, &damage) {
			c.damage = damage
			continue
		}
		if err != nil {
			return rows, err
		}
		rows = append(rows, rowOf(columns, &feature.Row{Flow: f, ID: uint64(len(rows))}))
	}
	ledger := source.Ledger()
	return rows, ledger.Check()
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func rowOf(columns []feature.Column, f *feature.Row) row {
	r := row{}
	for i := range columns {
		switch c := &columns[i]; {
		case c.Uint != nil:
			r[c.Name] = float64(c.Uint(f))
		case c.Int != nil:
			r[c.Name] = float64(c.Int(f))
		case c.Float != nil:
			r[c.Name] = c.Float(f)
		case c.Text != nil:
			r[c.Name] = string(c.Text(nil, f))
		case c.List != nil:
			list := make([]float64, c.List.Length)
			for j := range list {
				list[j] = c.List.At(f, j)
			}
			r[c.Name] = list
		}
	}
	return r
}
