package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/weirflow/weir/dpi"
)

// A mark is the share of flows that must have the reference's nine columns when
// nDPI is shown a number of each flow's packets.
type mark struct {
	dissections int
	share       float64
}

// marks begin with the reference's own number of dissections; the others are
// held against the same answers.
var marks = []mark{{dpi.DefaultDissections, 0.999}, {8, 0.997}}

// oracle is the release of nDPI that the answers come from. Labels of another
// release differ for reasons of its own.
const oracle = "4.2"

var errNoOracle = errors.New("labels are not compared: the answers are those of nDPI " + oracle)

// needOracle tells whether there is an nDPI to compare with the answers.
func needOracle() error {
	switch v := dpi.Version(); {
	case !dpi.Available():
		return fmt.Errorf("%w, and this build holds no nDPI (no cgo, or -tags nodpi)", errNoOracle)
	case v != oracle && !strings.HasPrefix(v, oracle+"."):
		return fmt.Errorf("%w, and the library linked here is %s", errNoOracle, v)
	}
	return nil
}

// labels are the nine columns.
var labels = map[string]bool{
	"application_name": true, "application_category_name": true, "application_is_guessed": true,
	"application_confidence": true, "requested_server_name": true, "client_fingerprint": true,
	"server_fingerprint": true, "user_agent": true, "content_type": true,
}

// whole tells whether a flow's labels are a verdict, of whatever release.
func whole(r row) bool {
	return r["application_name"] != "" && r["application_category_name"] != "" &&
		number(r, "application_confidence") <= 9 && number(r, "application_is_guessed") <= 1
}

// A labelled is what came of the labels of one answer, by mark.
type labelled struct {
	name      string
	reference int // flows of the answer
	explained int // of these, those that weir does not have by a rule
	paired    int
	broken    int   // of the paired, those without a whole verdict, and crashes of nDPI
	equal     []int // of the paired, in all nine columns; -1: not compared
	// differences are those of labels, and flows that are missing; with the
	// mark that they are of.
	differences []labelDifference
	damage      string
}

type labelDifference struct {
	difference
	dissections int
}

// compared is the flows that a share is of: all but those that weir, for a reason
// that has nothing to do with labels, makes no such flow of.
func (l *labelled) compared() int { return l.reference - l.explained }

// compareLabels compares the labels of one answer at each mark.
func compareLabels(ctx context.Context, answer string) (*labelled, error) {
	l := &labelled{name: filepath.Base(answer)}
	agreed := map[string]bool{} // flows that are equal at the answer's own dissections
	for i, m := range marks {
		c, err := newCase(answer)
		if err != nil {
			return nil, err
		}
		c.config.Statistics, c.config.SPLT = false, 0
		switch c.dissections = m.dissections; {
		case i == 0:
			c.dissections = c.answered
		case c.answered != marks[0].dissections:
			l.equal = append(l.equal, -1)
			continue
		}
		if err := c.labels(ctx, l, agreed, i == 0); err != nil {
			return nil, fmt.Errorf("with %d dissections: %w", c.dissections, err)
		}
	}
	return l, nil
}

// labels adds what comes of one number of dissections, first that of the answer.
func (c *testCase) labels(ctx context.Context, l *labelled, agreed map[string]bool, first bool) error {
	reference, err := c.reference()
	if err != nil {
		return err
	}
	ours, err := c.ours(ctx)
	if err != nil && !errors.As(err, &c.damage) {
		return err
	}
	// Times that weir clamps to its range are no reason not to compare labels.
	p := pair(reference, ours, identity, conversation)
	if first {
		l.reference, l.paired = len(reference), len(p.pairs)
		if c.damage != nil {
			l.damage = c.damage.Error()
		}
		for _, want := range p.missing {
			l.missing(c, want)
		}
	}
	equal := 0
	l.broken += int(c.crashes)
	for _, pair := range p.pairs {
		if !whole(pair[1]) {
			l.broken++
		}
		differences := c.labelDifferences(ctx, pair[0], pair[1], agreed)
		if len(differences) == 0 {
			agreed[identity(pair[0])] = true
			equal++
		}
		l.differences = append(l.differences, differences...)
	}
	l.equal = append(l.equal, equal)
	return nil
}

func (l *labelled) missing(c *testCase, want row) {
	rule := c.flowRule(want)
	if rule != "" {
		l.explained++
	}
	l.differences = append(l.differences, labelDifference{
		difference{flow: identity(want), column: "(flow)", want: "here", got: "missing", rule: rule}, c.dissections,
	})
}

func (c *testCase) labelDifferences(ctx context.Context, want, got row, agreed map[string]bool) (list []labelDifference) {
	id := identity(want)
	for name := range labels {
		w, asked := want[name]
		if g := got[name]; asked && w != g {
			list = append(list, labelDifference{difference{
				flow: id, column: name, want: fmt.Sprint(w), got: fmt.Sprint(g),
				rule: c.labelRule(ctx, want, got, agreed[id]),
			}, c.dissections})
		}
	}
	return list
}
