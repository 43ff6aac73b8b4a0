package main

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

// A rule names why weir differs from the reference on purpose; docs/parity.md
// has the text of each. The empty rule is none: a defect.
type rule string

const (
	laterFragments  rule = "later fragments are metered"
	ethertype       rule = "the Ethertype decides, not the first nibble"
	tunnels         rule = "more tunnels and outer headers are decoded"
	shortFrames     rule = "whole headers are enough, however short the frame"
	linkLayers      rule = "more link layers are understood"
	truncatedIPv6   rule = "truncated IPv6 is metered"
	wrappedSize     rule = "sizes are not cut to 16 bits"
	ipv6Octets      rule = "IPv6 octets include the header"
	otherProtocols  rule = "other protocols have transport octets"
	timesBackwards  rule = "time runs backwards within a flow only"
	timesOutOfRange rule = "times beyond the year 2262 are clamped"
	malformed       rule = "malformed headers make no flow"
	segmentation    rule = "a total length of 0 is the frame's"
	noNextHeader    rule = "IPv6 without a next header is metered"
	morePorts       rule = "SCTP, DCCP and UDP-Lite have ports"
	splitDirection  rule = "a flow keeps its direction over active splits"
	gapDeviation    rule = "deviation of gaps that are not truncated"
)

func number(r row, name string) float64 {
	n, _ := r[name].(float64)
	return n
}

// The earliest time that nanoseconds in 63 bits cannot hold, and where weir
// clamps such a time to, in ms.
const timeMaxMs = math.MaxInt64 / 1e6

// flowRule explains a flow that only one side has, or that the two have at
// another time: by a frame that went into it and that the other side reads
// differently, or one that may have moved an end that a timeout makes.
func (c *testCase) flowRule(flows ...row) rule {
	if outOfRange(flows...) {
		return timesOutOfRange
	}
	around := c.around(flows...)
	return cmp.Or(readOtherwise(c.otherwise(flows...)), readOtherwise(around), c.backwards(around))
}

// frameRule explains a column of a flow that both have by the frames that can have
// moved it. If there is none, and the flow has other ends, one before or behind it may
// have moved these.
func (c *testCase) frameRule(name string, want, got row) rule {
	if outOfRange(want, got) {
		return timesOutOfRange
	}
	around, elsewhere := c.around(want, got), rule("")
	if cutElsewhere(want, got) {
		elsewhere = readOtherwise(around)
	}
	return cmp.Or(movedBy(c.otherwise(want, got), name, want, got), elsewhere, c.backwardsColumn(name, want, got, around))
}

func outOfRange(flows ...row) bool {
	return slices.ContainsFunc(flows, func(r row) bool { return number(r, "bidirectional_last_seen_ms") >= math.Floor(timeMaxMs) })
}

// around are the frames of flows, and those between which and them no timeout lies.
func (c *testCase) around(flows ...row) (list []*frame) {
	for _, r := range flows {
		t := tupleOfRow(r)
		list = append(list, c.frames.of(t, c.frames.around(t, spanOf(r), c.config.IdleTimeout))...)
	}
	return list
}

func readOtherwise(list []*frame) rule {
	for _, f := range list {
		if f.reading != "" {
			return f.reading
		}
	}
	return ""
}

// directionRule explains a flow whose source is the other's destination.
func (c *testCase) directionRule(want, got row) rule {
	if number(got, "flow_part") > 0 {
		return splitDirection
	}
	// The first packet says who is the source.
	return c.frameRule("src_mac", want, got)
}

// sized tells whether a column comes of packet sizes.
func sized(name string) bool {
	return strings.HasSuffix(name, "_ps") || strings.HasSuffix(name, "_bytes")
}

// sizeRule explains a column of sizes by frames that are of another size to either
// side; sums of octets by no more than that.
func (c *testCase) sizeRule(name string, want, got row) rule {
	if !sized(name) {
		return ""
	}
	by := math.Abs(number(want, name) - number(got, name))
	for _, r := range []row{want, got} {
		frames := c.frames.of(tupleOfRow(r), spanOf(r))
		i := slices.IndexFunc(frames, func(f *frame) bool { return f.size != "" })
		if i >= 0 && (!strings.HasSuffix(name, "_bytes") || by <= resized(frames)) {
			return frames[i].size
		}
	}
	return ""
}

// columnRule explains a column that differs in a flow that both have.
func (c *testCase) columnRule(name string, want, got row) rule {
	if rule := c.sizeRule(name, want, got); rule != "" {
		return rule
	}
	w, g := number(want, name), number(got, name)
	if strings.Contains(name, "stddev_piat_ms") && math.Abs(w-g) <= deviationTolerance(name, got) {
		return gapDeviation
	}
	return c.frameRule(name, want, got)
}

// deviationTolerance bounds what truncating each gap to milliseconds can do to
// the sample deviation of n gaps: an error of up to 1 ms in each.
func deviationTolerance(name string, flow row) float64 {
	scope, _, _ := strings.Cut(name, "_")
	n := number(flow, scope+"_packets") - 1
	if n < 2 {
		return 0
	}
	return math.Sqrt(n / (n - 1))
}
