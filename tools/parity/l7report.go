package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
)

// A labelReport is what came of all answers.
type labelReport struct{ results []*labelled }

// share is of the flows of all answers that were compared at a mark.
func (r *labelReport) share(i int) (equal, compared int) {
	for _, l := range r.results {
		if l.equal[i] >= 0 {
			equal += l.equal[i]
			compared += l.compared()
		}
	}
	return equal, compared
}

// met tells whether every mark is; without a flow to compare none is.
func (r *labelReport) met() bool {
	for i, m := range marks {
		if equal, compared := r.share(i); compared == 0 || float64(equal) < m.share*float64(compared) {
			return false
		}
	}
	return true
}

// matched tells whether as many flows are paired as the first mark wants equal, all
// with a whole verdict, which they must be whatever release of nDPI judged them.
func (r *labelReport) matched() bool {
	paired, compared, broken := 0, 0, 0
	for _, l := range r.results {
		paired += l.paired
		compared += l.compared()
		broken += l.broken
	}
	return paired > 0 && broken == 0 && float64(paired) >= marks[0].share*float64(compared)
}

// print writes a line for each answer, what the marks say of all of them, and
// every exception.
func (r *labelReport) print(w io.Writer) {
	fmt.Fprintf(w, "%-44s %9s %9s %6s", "labels: answer", "reference", "explained", "paired")
	for _, m := range marks {
		fmt.Fprintf(w, " %11s", fmt.Sprintf("equal at %d", m.dissections))
	}
	fmt.Fprintln(w)
	for _, l := range r.results {
		l.print(w)
	}
	fmt.Fprintln(w)
	for i, m := range marks {
		equal, compared := r.share(i)
		fmt.Fprintf(w, "%d dissections: %d of %d flows have the reference's nine columns: %s, wanted %.1f %%\n",
			m.dissections, equal, compared, percent(equal, compared), 100*m.share)
	}
	r.printExceptions(w)
}

func percent(n, of int) string {
	if of == 0 {
		return "none to compare"
	}
	return fmt.Sprintf("%.3f %%", 100*float64(n)/float64(of))
}

func (l *labelled) print(w io.Writer) {
	fmt.Fprintf(w, "%-44s %9d %9d %6d", l.name, l.reference, l.explained, l.paired)
	for _, equal := range l.equal {
		if equal < 0 {
			fmt.Fprintf(w, " %11s", "-")
		} else {
			fmt.Fprintf(w, " %11d", equal)
		}
	}
	if l.damage != "" {
		fmt.Fprintf(w, "  (%s)", l.damage)
	}
	fmt.Fprintln(w)
}

func (r *labelReport) printExceptions(w io.Writer) {
	fmt.Fprintln(w)
	n := 0
	for _, l := range r.results {
		slices.SortStableFunc(l.differences, func(a, b labelDifference) int {
			return cmp.Or(cmp.Compare(b.dissections, a.dissections), cmp.Compare(a.flow, b.flow), cmp.Compare(a.column, b.column))
		})
		for _, d := range l.differences {
			n++
			fmt.Fprintf(w, "%s at %d: %s: %s: want %q, got %q [%s]\n", l.name, d.dissections, d.flow, d.column,
				d.want, d.got, cmp.Or(d.rule, "not explained"))
		}
	}
	fmt.Fprintf(w, "%d exceptions\n", n)
}
