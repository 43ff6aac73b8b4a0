package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
)

// A readerReport is what came of all captures.
type readerReport struct {
	tunnels bool
	results []*readerResult
}

func (r *readerReport) sum() (sum readerResult) {
	sum.name = "all"
	for _, c := range r.results {
		sum.theirs += c.theirs
		sum.ours += c.ours
		sum.paired += c.paired
		sum.equal += c.equal
		sum.missing += c.missing
		sum.excused += c.excused
		sum.broken += c.broken
		sum.failed += c.failed
	}
	return sum
}

// met tells whether both marks are; without a flow to compare they are not.
func (r *readerReport) met() bool {
	sum := r.sum()
	return r.matched() && sum.equal+sum.excused == sum.paired
}

// matched tells whether enough flows are paired, all with a whole verdict, which
// they must be whatever release of nDPI judged them, and weir came to every
// capture's end.
func (r *readerReport) matched() bool {
	sum := r.sum()
	return sum.paired > 0 && sum.broken == 0 && sum.failed == 0 && float64(sum.paired) >= readerPaired*float64(sum.theirs-sum.missing)
}

// print writes a line for each capture, what the marks say of all of them, and
// every exception.
func (r *readerReport) print(w io.Writer) {
	title := "tunnels off: capture"
	if r.tunnels {
		title = "tunnels on: capture"
	}
	fmt.Fprintf(w, "%-44s %10s %7s %7s %7s\n", title, readerName, "weir", "paired", "equal")
	for _, c := range r.results {
		c.print(w)
	}
	sum := r.sum()
	sum.print(w)
	fmt.Fprintf(w, "\n%d of %d flows of %s are paired: %s; without the %d that weir leaves out by a rule %s, wanted %.1f %%\n",
		sum.paired, sum.theirs, readerName, percent(sum.paired, sum.theirs), sum.missing,
		percent(sum.paired, sum.theirs-sum.missing), 100*readerPaired)
	fmt.Fprintf(w, "%d of the paired are equal: %s, %d differ by a rule, %d without one, wanted 0\n\n", sum.equal,
		percent(sum.equal, sum.paired), sum.excused, sum.paired-sum.equal-sum.excused)
	for _, c := range r.results {
		c.printExceptions(w)
	}
	fmt.Fprintln(w)
}

func (r *readerResult) print(w io.Writer) {
	fmt.Fprintf(w, "%-44s %10d %7d %7d %7d", r.name, r.theirs, r.ours, r.paired, r.equal)
	if r.why != "" {
		fmt.Fprintf(w, "  (%s)", r.why)
	}
	fmt.Fprintln(w)
}

func (r *readerResult) printExceptions(w io.Writer) {
	for _, d := range r.differences {
		fmt.Fprintf(w, "%s: %s: %s: want %q, got %q [%s]", r.name, d.flow, d.column, d.want, d.got, cmp.Or(d.rule, "not explained"))
		if d.became != "" {
			fmt.Fprintf(w, ": %s", d.became)
		}
		fmt.Fprintln(w)
	}
	for _, rule := range slices.Sorted(maps.Keys(r.extra)) {
		fmt.Fprintf(w, "%s: %d flows that only weir has [%s]\n", r.name, r.extra[rule], cmp.Or(rule, "not read by "+readerName))
	}
}
