package main

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
)

func (c *testCase) compare(ctx context.Context, r *report) error {
	reference, err := c.reference()
	if err != nil {
		return err
	}
	ours, err := c.ours(ctx)
	if err != nil {
		return err
	}
	result := result{name: filepath.Base(c.answer), reference: len(reference), ours: len(ours)}
	p := pair(reference, ours, identity, eitherWay)
	p.joinOverlapping()
	for _, want := range p.missing {
		result.add(difference{flow: identity(want), column: "(flow)", want: "here", got: "missing", rule: c.flowRule(want)})
	}
	for _, pair := range p.pairs {
		result.paired++
		want, got := pair[0], pair[1]
		if conversation(want) != conversation(got) {
			result.add(difference{flow: identity(want), column: "(direction)", want: "this", got: "the other", rule: c.directionRule(want, got)})
			want = turned(want)
		}
		c.columns(&result, identity(got), want, got)
	}
	for _, o := range p.extra {
		result.add(difference{flow: identity(o), column: "(flow)", want: "none", got: "here", rule: c.flowRule(o)})
	}
	r.results = append(r.results, result)
	return nil
}

// eitherWay is the identity of a flow without its direction.
func eitherWay(r row) string {
	return fmt.Sprintf("%v at %.0f", tupleOfRow(r), r["bidirectional_first_seen_ms"])
}

// joinOverlapping joins what is left of one tuple at one time: a side may read
// the flow's first packet otherwise.
func (p *pairing) joinOverlapping() {
	missing := p.missing
	p.missing = nil
	for _, want := range missing {
		i := slices.IndexFunc(p.extra, func(got row) bool {
			return tupleOfRow(want) == tupleOfRow(got) &&
				number(want, "bidirectional_first_seen_ms") <= number(got, "bidirectional_last_seen_ms") &&
				number(got, "bidirectional_first_seen_ms") <= number(want, "bidirectional_last_seen_ms")
		})
		if i < 0 {
			p.missing = append(p.missing, want)
			continue
		}
		p.pairs = append(p.pairs, [2]row{want, p.extra[i]})
		p.extra = slices.Delete(p.extra, i, i+1)
	}
}

// turned is a flow of the reference the other way round.
func turned(r row) row {
	t := row{}
	for name, v := range r {
		t[turnedName(name)] = v
	}
	if list, ok := r["splt_direction"].([]float64); ok {
		other := make([]float64, len(list))
		for i, v := range list {
			other[i] = v
			if v >= 0 {
				other[i] = 1 - v
			}
		}
		t["splt_direction"] = other
	}
	return t
}

// turnedName is what a column is called from the other end.
func turnedName(name string) string {
	for _, swap := range [][2]string{{"src2dst_", "dst2src_"}, {"src_", "dst_"}} {
		for i, prefix := range swap {
			if rest, ok := strings.CutPrefix(name, prefix); ok {
				return swap[1-i] + rest
			}
		}
	}
	return name
}

// columns compares every column of the reference but labels, which are compared
// on their own.
func (c *testCase) columns(r *result, id string, want, got row) {
	equal := true
	for name, w := range want {
		g := got[name]
		if name == "id" || labels[name] || same(name, w, g) {
			continue
		}
		equal = false
		r.add(difference{flow: id, column: name, want: fmt.Sprint(w), got: fmt.Sprint(g), rule: c.columnRule(name, want, got)})
	}
	if equal {
		r.equal++
	}
}

// relative is how far two ways to compute the same mean may differ.
const relative = 1e-9

// same compares under the tolerances of the fields' definition: means and
// deviations to 1e-9, gaps within the millisecond that the reference truncates
// to.
func same(name string, want, got any) bool {
	switch w := want.(type) {
	case []float64:
		g, ok := got.([]float64)
		if !ok || len(w) != len(g) {
			return false
		}
		for i := range w {
			if !sameNumber(name, w[i], g[i]) {
				return false
			}
		}
		return true
	case float64:
		g, ok := got.(float64)
		return ok && sameNumber(name, w, g)
	}
	return want == got
}

func sameNumber(name string, want, got float64) bool {
	tolerance := relative * math.Max(math.Abs(want), math.Abs(got))
	if strings.Contains(name, "piat_ms") {
		tolerance = 1
	}
	// What is negative is no gap but the end of a list: -1 is not a gap of 0.
	return math.Abs(want-got) <= tolerance && (want < 0) == (got < 0)
}
