package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Verdicts on a row.
const (
	passed = "pass"
	partly = "part"    // what shows it passes, and is less than the row says
	notYet = "not yet" // nothing shows it
	failed = "FAIL"
)

// judge is the verdict on a row and the words for it.
func (r *results) judge(w *row) (verdict, words string) {
	if wrong := r.wrong(w); len(wrong) > 0 {
		return failed, strings.Join(wrong, "; ")
	}
	shown := w.shownBy()
	switch {
	case len(shown) == 0 && w.missing == "":
		return failed, "nothing shows it, and nothing says why"
	case len(shown) == 0:
		return notYet, w.missing
	}
	verdict, words = passed, r.measured(w)
	if w.missing != "" {
		verdict, words = partly, words+"; not yet: "+w.missing
	}
	if w.cannot != "" {
		words += "; cannot be shown here: " + w.cannot
	}
	return verdict, words
}

// shownBy names the row's tests and commands.
func (w *row) shownBy() (names []string) {
	names = append(names, w.tests...)
	for _, c := range w.commands {
		names = append(names, c.name)
	}
	return names
}

// wrong names what of the row did not pass.
func (r *results) wrong(w *row) (names []string) {
	for _, test := range w.shownBy() {
		switch action := r.of(test).action; action {
		case "pass":
		case "":
			names = append(names, test+" did not run to its end")
		default:
			names = append(names, test+": "+action)
		}
	}
	return names
}

// measured is what was for the row, or that its tests ran.
func (r *results) measured(w *row) string {
	var words []string
	seconds, silent := 0.0, 0
	for _, test := range w.shownBy() {
		t := r.of(test)
		words = append(words, t.measured...)
		seconds += t.elapsed
		if len(t.measured) == 0 {
			silent++
		}
	}
	if silent > 0 {
		s := fmt.Sprintf("%d tests", silent)
		if silent == 1 {
			s = "1 test"
		}
		if len(words) > 0 {
			s += " more"
		}
		words = append(words, s)
	}
	return fmt.Sprintf("%s (%.1f s)", strings.Join(words, "; "), seconds)
}

// report prints a line for each row, then what the failed tests said, then how
// many rows there are of each kind. It tells whether none failed.
func report(to io.Writer, rows []row, r *results) bool {
	count := map[string]int{}
	for i := range rows {
		count[r.line(to, &rows[i])]++
	}
	for i := range rows {
		for _, test := range rows[i].shownBy() {
			if t := r.of(test); t.action != "pass" {
				fmt.Fprintf(to, "=== %s %s\n%s", rows[i].id, test, strings.Join(t.output, ""))
			}
		}
	}
	fmt.Fprintf(to, "cannot be shown here: %s\n", elsewhere)
	fmt.Fprintf(to, "%d rows: %d pass, %d part, %d not yet, %d fail\n",
		len(rows), count[passed], count[partly], count[notYet], count[failed])
	return count[failed] == 0
}

// line prints a row's, and returns its verdict.
func (r *results) line(to io.Writer, w *row) string {
	verdict, words := r.judge(w)
	fmt.Fprintf(to, "%-4s%-9s%s: %s\n", w.id, verdict, w.promise, words)
	return verdict
}

// reportForemost prints the lines of those rows once more, in their order.
func reportForemost(to io.Writer, rows []row, r *results) {
	fmt.Fprintln(to, "at full strength:")
	for _, id := range foremost() {
		if i := slices.IndexFunc(rows, func(w row) bool { return w.id == id }); i >= 0 {
			r.line(to, &rows[i])
		}
	}
}
