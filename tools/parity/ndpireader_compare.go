package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/weirflow/weir/tools/captures"
	"github.com/weirflow/weir/userspace"
	"github.com/weirflow/weir/userspace/pcapfile"
)

// readerColumns are what ndpiReader's output holds of the nine.
var readerColumns = []string{
	"application_name", "application_confidence", "application_category_name",
	"requested_server_name", "client_fingerprint", "server_fingerprint",
}

// ndpiReader inspects a flow up to the packet with which it has had more than
// these.
const (
	readerTCP = 80
	readerUDP = 24
)

// readerPaired is the share of ndpiReader's flows that weir must have. Of these
// all columns must be equal.
const readerPaired = 0.999

// A readerResult is what came of one capture.
type readerResult struct {
	name        string
	theirs      int
	ours        int
	paired      int
	equal       int
	missing     int // by a rule
	excused     int // of the paired, those that differ by a rule
	broken      int // of the paired, those without a whole verdict
	differences []difference
	extra       map[rule]int // flows that only weir has
	failed      int          // 1: weir came to no end of it
	why         string       // there is nothing to compare, or no more
}

// runReader compares every capture below the folders. With another nDPI than the
// answers' only what is paired with what means anything.
func runReader(ctx context.Context, folders []string, tunnels bool) (*readerReport, error) {
	if err := needReader(ctx); err != nil {
		return nil, err
	}
	paths, err := captures.Below(folders...)
	if err != nil {
		return nil, err
	}
	r := &readerReport{tunnels: tunnels}
	for _, path := range paths {
		result, err := compareReader(ctx, path, tunnels)
		if err != nil {
			return nil, fmt.Errorf("compare %s: %w", path, err)
		}
		r.results = append(r.results, result)
	}
	return r, nil
}

func printReader(ctx context.Context, folders []string) (good bool, err error) {
	if err := needOracle(); err != nil {
		return false, err
	}
	good = true
	for _, tunnels := range []bool{false, true} {
		r, err := runReader(ctx, folders, tunnels)
		if err != nil {
			return false, err
		}
		r.print(os.Stdout)
		good = good && r.met()
	}
	return good, nil
}

// readerCase meters as ndpiReader does: one flow for each conversation, inspected
// up to its limits.
func readerCase(capture string, tunnels bool) *testCase {
	c := &testCase{capture: capture, config: userspace.DefaultConfig(), frames: newFrames(), dissections: readerTCP + 1}
	c.config.IdleTimeout, c.config.ActiveTimeout = math.MaxInt64/2, math.MaxInt64/2
	c.config.DecodeTunnels = tunnels
	c.limit = func(s *userspace.Sample) bool { return s.Protocol != 17 || s.Number <= readerUDP }
	return c
}

// readerPatience is for one side of a capture, and as much more for each 300 MB.
const readerPatience = 5 * time.Minute

func patienceFor(capture string) time.Duration {
	info, err := os.Stat(capture)
	if err != nil {
		return readerPatience
	}
	return readerPatience + time.Duration(info.Size()/1e6)*time.Second
}

// readerOurs meters a capture. One that is none, or cannot be read, has no flows; where
// weir comes to no end for another reason it has failed. Neither is a reason not
// to compare the others.
func (r *readerResult) readerOurs(ctx context.Context, c *testCase) (rows []row, err error) {
	within, cancel := context.WithTimeout(ctx, patienceFor(c.capture))
	defer cancel()
	rows, err = c.ours(within)
	var unread *pcapfile.Error
	switch {
	case err == nil:
		return rows, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case !errors.As(err, &unread) && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission):
		r.failed = 1
	}
	r.why = "weir: " + err.Error()
	return nil, nil
}

func compareReader(ctx context.Context, capture string, tunnels bool) (*readerResult, error) {
	r := &readerResult{name: captureName(capture), extra: map[rule]int{}}
	if ext := filepath.Ext(capture); ext == ".gz" || ext == ".zst" {
		r.why = "compressed"
		return r, nil
	}
	within, cancel := context.WithTimeout(ctx, patienceFor(capture))
	defer cancel()
	theirs, why, err := readerRows(within, capture, tunnels)
	if err != nil {
		return nil, err
	}
	c := readerCase(capture, tunnels)
	ours, err := r.readerOurs(ctx, c)
	if err != nil {
		return nil, err
	}
	if c.crashes > 0 && len(theirs) > 0 { // it need not, with these packets
		r.failed, r.why = 1, fmt.Sprintf("weir: nDPI crashed %d times", c.crashes)
	}
	r.theirs, r.ours, r.why = len(theirs), len(ours), cmp.Or(r.why, why)
	p := pair(theirs, ours, undirectedPackets, undirected)
	for _, want := range p.missing {
		r.lacks(want, c.readerMissing(want), c.frames.became(want))
	}
	for _, pair := range p.pairs {
		r.compare(ctx, c, pair[0], pair[1])
	}
	for _, o := range p.extra {
		r.extra[c.flowRule(o)]++
	}
	return r, nil
}

// captureName tells captures of one name apart by their folder.
func captureName(path string) string {
	return filepath.Join(filepath.Base(filepath.Dir(path)), filepath.Base(path))
}

func (r *readerResult) lacks(want row, rule rule, became string) {
	if rule != "" {
		r.missing++
	}
	r.differences = append(r.differences, difference{flow: conversation(want), column: "(flow)", want: "here", got: "missing", rule: rule, became: became})
}

// undirected is a conversation whichever way, as ndpiReader turns some round, and
// without the ports that it does not read.
func undirected(r row) string {
	a, b := fmt.Sprint(r["src_ip"], " ", r["src_port"]), fmt.Sprint(r["dst_ip"], " ", r["dst_port"])
	if protocol := number(r, "protocol"); protocol != 6 && protocol != 17 {
		a, b = fmt.Sprint(r["src_ip"]), fmt.Sprint(r["dst_ip"])
	}
	if a > b {
		a, b = b, a
	}
	return fmt.Sprint(a, " ", b, " ", r["protocol"], " ", r["vlan_id"])
}

// undirectedPackets tells apart flows of one conversation, as a damaged capture
// may have.
func undirectedPackets(r row) string {
	return fmt.Sprint(undirected(r), " ", r["bidirectional_packets"])
}

func (r *readerResult) compare(ctx context.Context, c *testCase, want, got row) {
	r.paired++
	if !whole(got) {
		r.broken++
	}
	equal, explained := true, true
	for _, name := range readerColumns {
		if want[name] == got[name] {
			continue
		}
		d := difference{
			flow: conversation(want), column: name, want: fmt.Sprint(want[name]), got: fmt.Sprint(got[name]), rule: c.readerRule(ctx, name, want, got),
		}
		equal, explained = false, explained && d.rule != ""
		r.differences = append(r.differences, d)
	}
	switch {
	case equal:
		r.equal++
	case explained:
		r.excused++
	}
}
