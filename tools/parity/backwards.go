package main

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

// The reference moves a packet that is older than one before it to the latest time
// that it has seen, of whatever flow.

func (f *frame) moved() bool { return f.clampedMs != f.timeMs }

// backwards explains a flow that only one side has by a packet that is moved.
func (c *testCase) backwards(list []*frame) rule {
	if slices.ContainsFunc(list, (*frame).moved) {
		return timesBackwards
	}
	return ""
}

// backwardsColumn explains a column. A packet that is moved changes times, and what
// is in a flow only where a timeout may have cut it elsewhere.
func (c *testCase) backwardsColumn(name string, want, got row, list []*frame) rule {
	scope, what, _ := strings.Cut(name, "_")
	switch {
	case !slices.ContainsFunc(list, (*frame).moved):
		return ""
	case c.mayCut(list), strings.Contains(name, "piat_ms"):
		return timesBackwards
	case what == "duration_ms":
		return cmp.Or(movedTo(scope+"_first_seen_ms", want, got, list), movedTo(scope+"_last_seen_ms", want, got, list))
	case strings.HasSuffix(what, "_seen_ms"):
		return movedTo(name, want, got, list)
	}
	return ""
}

// mayCut tells whether a timeout lies between the first and the last of frames, as
// either side has their times.
func (c *testCase) mayCut(list []*frame) bool {
	first, last := uint64(math.MaxUint64), uint64(0)
	for _, f := range list {
		first, last = min(first, f.timeMs), max(last, f.clampedMs)
	}
	return last-first >= uint64(min(c.config.IdleTimeout, c.config.ActiveTimeout).Milliseconds())
}

// movedTo explains a time of a flow: if it is another, the packet that it is the time
// of is moved, on one side at least.
func movedTo(name string, want, got row, list []*frame) rule {
	w, g := uint64(number(want, name)), uint64(number(got, name))
	if w != g && slices.ContainsFunc(list, func(f *frame) bool { return f.moved() && (f.clampedMs == w || f.timeMs == g) }) {
		return timesBackwards
	}
	return ""
}
