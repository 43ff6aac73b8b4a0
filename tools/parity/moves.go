package main

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

// A difference is explained by frames that the two sides read otherwise only where
// these can have moved it: a packet that one side has in the flow and the other has
// not, or has under another tunnel.

// otherwise are the frames of both flows' times that the two read otherwise.
func (c *testCase) otherwise(flows ...row) (list []*frame) {
	for _, r := range flows {
		for _, f := range c.frames.of(tupleOfRow(r), spanOf(r)) {
			if f.reading != "" && !slices.Contains(list, f) {
				list = append(list, f)
			}
		}
	}
	return list
}

// movedBy names the rule of the frames that have moved a column, if they can have.
func movedBy(list []*frame, name string, want, got row) rule {
	if len(list) == 0 {
		return ""
	}
	scope, what, _ := strings.Cut(name, "_")
	by := math.Abs(number(want, name) - number(got, name))
	switch {
	case name == "tunnel_id":
		return ruleOf(list, func(f *frame) bool { return f.metered && f.theirs.metered && f.ours.tunnel != f.theirs.tuple.tunnel })
	case strings.HasSuffix(name, "_mac"), strings.HasSuffix(name, "_oui"):
		return cmp.Or(atTime(list, want, "bidirectional_first_seen_ms"), atTime(list, got, "bidirectional_first_seen_ms"))
	case what == "duration_ms":
		return cmp.Or(movedBy(list, scope+"_first_seen_ms", want, got), movedBy(list, scope+"_last_seen_ms", want, got))
	case strings.HasSuffix(name, "_seen_ms"):
		return cmp.Or(atTime(list, want, name), atTime(list, got, name))
	case strings.HasSuffix(name, "_packets"):
		if by > float64(len(list)) {
			return ""
		}
	case strings.HasSuffix(name, "_bytes"):
		if by > octetsOf(list) {
			return ""
		}
	case !strings.Contains(name, "_ps") && !strings.Contains(name, "piat") && !strings.HasPrefix(name, "splt_"):
		return "" // of all packets of a flow, or of none
	}
	return list[0].reading
}

// ruleOf is the rule of the first frame that is so.
func ruleOf(list []*frame, is func(*frame) bool) rule {
	if i := slices.IndexFunc(list, is); i >= 0 {
		return list[i].reading
	}
	return ""
}

// atTime is the rule of a frame that came at the time that a column has.
func atTime(list []*frame, r row, name string) rule {
	at := uint64(number(r, name))
	return ruleOf(list, func(f *frame) bool { return f.timeMs == at || f.clampedMs == at })
}

// octetsOf are those of frames, to either side.
func octetsOf(list []*frame) (octets float64) {
	for _, f := range list {
		octets += float64(max(f.octets, uint32(f.theirs.size)))
	}
	return octets
}

// resized is by how many octets frames are of another size to either side.
func resized(list []*frame) (octets float64) {
	for _, f := range list {
		if f.size != "" {
			octets += math.Abs(float64(f.octets) - float64(f.theirs.size))
		}
	}
	return octets
}

// cutElsewhere tells whether a timeout has parted two flows at other packets.
func cutElsewhere(want, got row) bool { return spanOf(want) != spanOf(got) }
