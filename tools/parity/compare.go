package main

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
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
	result := result{name: filepath.Base(c.answer), reference: len(reference), ours: len(ours), undecoded: undecoded(reference)}
	p := pair(reference, ours, identity)
	for _, want := range p.missing {
		result.add(difference{flow: identity(want), column: "(flow)", want: "here", got: "missing", rule: c.missingRule(want)})
	}
	for _, pair := range p.pairs {
		result.paired++
		c.columns(&result, identity(pair[0]), pair[0], pair[1])
	}
	for _, o := range p.extra {
		result.add(difference{flow: identity(o), column: "(flow)", want: "none", got: "here", rule: c.extraRule(o)})
	}
	r.results = append(r.results, result)
	return nil
}

// undecoded tells whether the reference looked into a tunnel that weir does not
// decode yet: CAPWAP or TZSP.
func undecoded(reference []row) bool {
	for _, r := range reference {
		if id := number(r, "tunnel_id"); id == 2 || id == 3 {
			return true
		}
	}
	return false
}

// columns compares what both have.
func (c *testCase) columns(r *result, id string, want, got row) {
	equal := true
	for name, w := range want {
		g, ours := got[name]
		if name == "id" || !ours || same(name, w, g) {
			continue
		}
		equal = false
		r.add(difference{flow: id, column: name, want: fmt.Sprint(w), got: fmt.Sprint(g), rule: c.columnRule(name, w, g, got)})
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
	return math.Abs(want-got) <= tolerance
}
