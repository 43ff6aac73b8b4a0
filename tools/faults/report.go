package main

import (
	"fmt"
	"io"
	"strings"
)

// Verdicts on a row.
const (
	passed = "pass"
	partly = "part"    // its tests pass, and show less than the row says
	notYet = "not yet" // nothing shows it
	failed = "FAIL"
)

// judge is the verdict on a row and the words for it.
func (r *results) judge(w *row) (verdict, words string) {
	if wrong := r.wrong(w); len(wrong) > 0 {
		return failed, strings.Join(wrong, "; ")
	}
	switch {
	case len(w.tests) == 0 && w.missing == "":
		return failed, "no test shows it, and nothing says why"
	case len(w.tests) == 0:
		return notYet, w.missing
	case w.missing != "":
		return partly, r.measured(w) + "; not yet: " + w.missing
	}
	return passed, r.measured(w)
}

// wrong names the row's tests that did not pass.
func (r *results) wrong(w *row) (names []string) {
	for _, test := range w.tests {
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

// measured is what the row's tests have measured, or that they ran.
func (r *results) measured(w *row) string {
	var words []string
	seconds, silent := 0.0, 0
	for _, test := range w.tests {
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
		verdict, words := r.judge(&rows[i])
		count[verdict]++
		fmt.Fprintf(to, "%-4s%-9s%s: %s\n", rows[i].id, verdict, rows[i].promise, words)
	}
	for i := range rows {
		for _, test := range rows[i].tests {
			if t := r.of(test); t.action != "pass" {
				fmt.Fprintf(to, "=== %s %s\n%s", rows[i].id, test, strings.Join(t.output, ""))
			}
		}
	}
	fmt.Fprintf(to, "not shown by any row: %s\n", elsewhere)
	fmt.Fprintf(to, "%d rows: %d pass, %d part, %d not yet, %d fail\n",
		len(rows), count[passed], count[partly], count[notYet], count[failed])
	return count[failed] == 0
}
