package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
)

type difference struct {
	flow      string
	column    string
	want, got string
	rule      rule
	// became is what weir makes of the frames of a flow that it lacks.
	became string
}

// A result is what came of one answer.
type result struct {
	name                           string
	reference, ours, paired, equal int
	differences                    []difference
}

func (r *result) add(d difference) { r.differences = append(r.differences, d) }

func (r *result) defects() (n int) {
	for _, d := range r.differences {
		if d.rule == "" {
			n++
		}
	}
	return n
}

type report struct{ results []result }

func (r *report) defects() (n int) {
	for i := range r.results {
		n += r.results[i].defects()
	}
	return n
}

// print writes a line for each answer, then the differences by rule, then those
// without one.
func (r *report) print(w io.Writer, verbose bool) {
	fmt.Fprintf(w, "%-44s %9s %6s %7s %6s %9s %7s\n", "answer", "reference", "weir", "paired", "equal", "explained", "defects")
	var sum result
	rules := map[rule]int{}
	for i := range r.results {
		c := &r.results[i]
		c.printLine(w)
		sum.reference += c.reference
		sum.ours += c.ours
		sum.paired += c.paired
		sum.equal += c.equal
		sum.differences = append(sum.differences, c.differences...)
		for _, d := range c.differences {
			rules[d.rule]++
		}
	}
	sum.name = "all"
	sum.printLine(w)
	fmt.Fprintln(w)
	for _, name := range slices.SortedFunc(maps.Keys(rules), func(a, b rule) int { return cmp.Compare(rules[b], rules[a]) }) {
		fmt.Fprintf(w, "%6d  %s\n", rules[name], cmp.Or(name, "DEFECTS"))
	}
	for _, c := range r.results {
		for _, d := range c.differences {
			if d.rule == "" || verbose {
				fmt.Fprintf(w, "%s: %s: %s: want %s, got %s [%s]\n", c.name, d.flow, d.column, d.want, d.got, cmp.Or(d.rule, "DEFECT"))
			}
		}
	}
}

func (r *result) printLine(w io.Writer) {
	defects := r.defects()
	fmt.Fprintf(w, "%-44s %9d %6d %7d %6d %9d %7d\n", r.name, r.reference, r.ours, r.paired, r.equal, len(r.differences)-defects, defects)
}
