package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/dpi"
	"github.com/weirflow/weir/loader/sandbox"
	"github.com/weirflow/weir/userspace"
	"github.com/weirflow/weir/userspace/feature"
	"github.com/weirflow/weir/userspace/sink"
)

// settings are what attach and replay have in common.
type settings struct {
	outputs     []string
	idle        span
	active      span
	accounting  choice
	splt        number
	dissections number
	l7          choice
	l7Flows     number
	dpiWorkers  number
	files       dpi.Files
	octets      number
	maxFlows    number
	maxLoss     percentage
	queueFlows  number
	queueOctets number
	drain       span
	tls         tlsSettings
	offline     bool // the input can wait for the outputs
	statistics  bool
	tcp         bool
	ip          bool
	tcpEnd      bool
	tunnels     bool
	filter      string
	pin         string // a directory; empty for a meter that ends with the process
	resume      bool   // output files are gone on with
	pinGroup    string // as it was named: whoever only reads the meter cannot look it up
	user        string // of the consumer; empty for whoever will do
	noSandbox   bool
	level       verbosity
}

func newSettings() *settings {
	d := userspace.DefaultConfig()
	return &settings{
		idle:        span{d: d.IdleTimeout},
		active:      span{d: d.ActiveTimeout},
		accounting:  choice{words: []string{"link", "ip", "transport", "payload"}, picked: "link"},
		splt:        number{max: bpf.SPLTMax},
		dissections: number{max: 255, n: dpi.DefaultDissections},
		l7:          choice{words: []string{"basic", "full"}, picked: "basic"},
		l7Flows:     number{min: 1, max: 1 << 24, n: dpi.DefaultMaxFlows},
		dpiWorkers:  number{min: 1, max: dpi.WorkersMax, n: 1},
		octets:      number{min: 64, max: userspace.SampleOctetsRing, n: d.SampleOctets},
		maxFlows:    number{min: 1, max: 1 << 24, n: d.MaxFlows},
		queueFlows:  number{min: 1, max: 1 << 24, n: sink.QueueRecords},
		queueOctets: number{min: 1 << 16, max: 1 << 36, n: sink.QueueOctets},
		drain:       span{min: 100 * time.Millisecond, d: sink.Drain},
	}
}

const (
	categoryOutput = "Output"
	categoryFlows  = "Flows"
)

// flags are the flags that set s. Some are read back by read.
func (s *settings) flags() []cli.Flag {
	return slices.Concat(s.flowFlags(), s.labelFlags(), s.outputFlags())
}

func (s *settings) outputFlags() []cli.Flag {
	return append([]cli.Flag{
		&cli.StringSliceFlag{Name: "output", Aliases: []string{"o"}, Category: categoryOutput,
			Usage: "write flows to `OUTPUT`: csv:PATH, ndjson:PATH, ipfix:PATH, table:-, or a path that ends in .csv, .ndjson, .jsonl or .ipfix; - is stdout; PATH may be tcp://HOST:PORT, tls://HOST:PORT or unix:///PATH, of ipfix udp://HOST:PORT, too; csv:PATH?formulas=keep lets texts be formulas of spreadsheets; ndjson:PATH?events=label gets labels before flows end; ipfix:PATH?biflow=off writes a record for each direction; may be repeated (default: a table on a terminal, else ndjson)"},
		&cli.GenericFlag{Name: "queue-flows", Value: &s.queueFlows, Category: categoryOutput,
			Usage: "let at most `N` flows wait for each output that cannot keep up; live, what finds no room is not sent"},
		&cli.GenericFlag{Name: "queue-octets", Value: &s.queueOctets, Category: categoryOutput,
			Usage: "let at most `N` octets of flows wait for each output"},
		&cli.GenericFlag{Name: "drain", Value: &s.drain, Category: categoryOutput,
			Usage: "at the end wait `DURATION` for what is queued to arrive, then give it up"},
		&cli.GenericFlag{Name: "max-loss", Value: &s.maxLoss, Category: categoryOutput,
			Usage: "end with exit code 4 when more than `PERCENT` of the packets were lost or not sent"},
		&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Category: categoryOutput,
			Usage: "say nothing but errors and losses: no summary, no progress"},
		&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Category: categoryOutput,
			Usage: "say more of what is done"},
	}, s.tls.flags()...)
}

func (s *settings) flowFlags() []cli.Flag {
	return []cli.Flag{
		&cli.GenericFlag{Name: "idle-timeout", Value: &s.idle, Category: categoryFlows,
			Usage: "close a flow after `DURATION` without a packet"},
		&cli.GenericFlag{Name: "active-timeout", Value: &s.active, Category: categoryFlows,
			Usage: "split a flow that has lasted `DURATION`"},
		&cli.GenericFlag{Name: "accounting", Value: &s.accounting, Category: categoryFlows,
			Usage: "count a packet's octets from its `LAYER` on: link, ip, transport or payload"},
		&cli.BoolFlag{Name: "statistics", Category: categoryFlows,
			Usage: "add packet size, inter-arrival time and TCP flag statistics"},
		&cli.BoolFlag{Name: "tcp-statistics", Category: categoryFlows,
			Usage: "add what TCP headers say: handshake times, retransmitted, late and zero-window packets, initial window, MSS"},
		&cli.BoolFlag{Name: "ip-statistics", Category: categoryFlows,
			Usage: "add the least and greatest TTL and type of service"},
		&cli.BoolFlag{Name: "tcp-end", Category: categoryFlows,
			Usage: "close the flow of a TCP connection that has ended (FIN both ways or RST) after 2 s more; a SYN opens another at once"},
		&cli.GenericFlag{Name: "splt", Value: &s.splt, Category: categoryFlows,
			Usage: "add size, gap and direction of the first `N` packets, at most 20"},
		&cli.GenericFlag{Name: "dissections", Value: &s.dissections, Category: categoryFlows,
			Usage: "show nDPI at most `N` packets of a flow, 0 to leave it out"},
		&cli.GenericFlag{Name: "sample-octets", Value: &s.octets, Category: categoryFlows,
			Usage: "cut packets for nDPI at `N` octets"},
		&cli.BoolFlag{Name: "decode-tunnels", Value: true, Category: categoryFlows,
			Usage: "meter what is inside tunnels (GRE, ERSPAN, PPTP, VXLAN, Geneve, GTP-U, CAPWAP, TZSP, L2TP); =false for the tunnels themselves, IP in IP apart"},
		&cli.StringFlag{Name: "filter", Aliases: []string{"f"}, Category: categoryFlows,
			Usage: "meter only packets that match `EXPRESSION`, in the language of tcpdump"},
		&cli.GenericFlag{Name: "max-flows", Value: &s.maxFlows, Category: categoryFlows,
			Usage: "keep at most `N` flows open"},
	}
}

// labelFlags are of classification, and need not be as the meter was started.
func (s *settings) labelFlags() []cli.Flag {
	return append([]cli.Flag{
		&cli.GenericFlag{Name: "l7", Value: &s.l7, Category: categoryFlows,
			Usage: "write of what classification learns `GROUP`: basic, nfstream's nine columns, or full (risks, JA4, TLS, HTTP, DNS, …)"},
		&cli.GenericFlag{Name: "l7-flows", Value: &s.l7Flows, Category: categoryFlows,
			Usage: "inspect at most `N` flows at a time, with 4 KB for each; beyond, the one fed least recently is judged early"},
		&cli.GenericFlag{Name: "dpi-workers", Value: &s.dpiWorkers, Category: categoryFlows,
			Usage: "share flows among `N` processes with nDPI, those between two hosts going to one of them; of more than one a few labels differ"},
	}, fileFlags(&s.files)...)
}

// read takes over what the flags do not set themselves, and refuses what does
// not go together.
func (s *settings) read(c *cli.Context, env *environment) error {
	if err := s.readOutput(c, env); err != nil {
		return err
	}
	s.statistics, s.tcp, s.ip = c.Bool("statistics"), c.Bool("tcp-statistics"), c.Bool("ip-statistics")
	s.tcpEnd, s.tunnels, s.filter = c.Bool("tcp-end"), c.Bool("decode-tunnels"), c.String("filter")
	if !dpi.Available() {
		if c.IsSet("dissections") && s.dissections.n > 0 {
			return &usageError{c.Command.Name, fmt.Errorf("--dissections %d: %w", s.dissections.n, dpi.ErrNotAvailable)}
		}
		s.dissections.n = 0
	}
	config := s.config()
	if err := config.Validate(); err != nil {
		return &usageError{c.Command.Name, err}
	}
	return s.checkLabels(c.Command.Name)
}

// checkLabels refuses what needs classification where there is none.
func (s *settings) checkLabels(command string) error {
	const without = ": flows are not classified with --dissections 0, or in a build without nDPI"
	switch {
	case s.dissections.n > 0:
		return nil
	case s.full():
		return &usageError{command, errors.New("--l7 full" + without)}
	case wantsLabels(s.outputs):
		return &usageError{command, errors.New("?events=label" + without)}
	case s.files != (dpi.Files{}):
		return &usageError{command, errors.New("--ndpi-…" + without)}
	}
	return nil
}

// readOutput is read for what is not of flows.
func (s *settings) readOutput(c *cli.Context, env *environment) error {
	s.outputs = c.StringSlice("output")
	switch {
	case c.Bool("quiet") && c.Bool("verbose"):
		return &usageError{c.Command.Name, errors.New("--quiet and --verbose contradict each other")}
	case s.noSandbox && s.user != "":
		return &usageError{c.Command.Name, errors.New("--user means nothing with --no-sandbox, which leaves all to the user who has started weir")}
	case c.Bool("quiet"):
		s.level = quiet
	case c.Bool("verbose"):
		s.level = verbose
	}
	if err := errors.Join(checkOutputs(s.outputs), s.tls.check(s.outputs)); err != nil {
		return &usageError{c.Command.Name, err}
	}
	if s.user != "" && env.handed == nil {
		if _, err := sandbox.LookUpUser(s.user); err != nil {
			return &usageError{c.Command.Name, err}
		}
	}
	return needStdout(env.stdout, s.outputs)
}

// follow takes the configuration of a meter that runs.
func (s *settings) follow(c userspace.Config) {
	s.idle.d, s.active.d = c.IdleTimeout, c.ActiveTimeout
	s.accounting.picked = s.accounting.words[c.Accounting]
	s.statistics, s.tcp, s.ip, s.tcpEnd = c.Statistics, c.TCPStatistics, c.IPStatistics, c.TCPEnd
	s.splt.n, s.octets.n, s.maxFlows.n, s.tunnels = c.SPLT, c.SampleOctets, c.MaxFlows, c.DecodeTunnels
	s.dissections.n = 0
	if dpi.Available() {
		s.dissections.n = c.Samples
	}
}

// wantsLabels tells whether one of the outputs is to get labels.
func wantsLabels(specs []string) bool {
	return slices.ContainsFunc(specs, func(spec string) bool { return strings.Contains(spec, "?events=") })
}

// checkOutputs refuses outputs that do not exist, or would mix.
func checkOutputs(specs []string) error {
	seen := map[string]bool{}
	for _, spec := range specs {
		_, path, err := sink.Parse(spec)
		if err != nil {
			return err
		}
		if path != "-" {
			path = filepath.Clean(path)
		}
		if seen[path] {
			return fmt.Errorf("output %q: another output goes to the same place", spec)
		}
		seen[path] = true
	}
	return nil
}

func (s *settings) config() userspace.Config {
	return userspace.Config{
		IdleTimeout:   s.idle.d,
		ActiveTimeout: s.active.d,
		Accounting:    bpf.Accounting(s.accounting.index()),
		Statistics:    s.statistics,
		TCPStatistics: s.tcp,
		IPStatistics:  s.ip,
		TCPEnd:        s.tcpEnd,
		SPLT:          s.splt.n,
		Samples:       s.dissections.n,
		SampleOctets:  s.octets.n,
		DecodeTunnels: s.tunnels,
		MaxFlows:      s.maxFlows.n,
	}
}

// full tells whether all that classification learns is asked for.
func (s *settings) full() bool { return s.l7.picked == "full" }

func (s *settings) columns() []feature.Column {
	return feature.Columns(feature.Options{
		Statistics: s.statistics,
		TCP:        s.tcp,
		IP:         s.ip,
		SPLT:       s.splt.n,
		L7:         s.dissections.n > 0,
		L7Full:     s.full(),
		Tunnels:    s.tunnels,
	})
}
