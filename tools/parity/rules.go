package main

import (
	"cmp"
	"math"
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
// another time.
func (c *testCase) flowRule(flows ...row) rule { return c.frameRule(true, flows...) }

// frameRule explains a difference of flows by a frame that went into them and
// that the other side reads differently. If there is none, one may have moved an
// end that a timeout makes. timed says that the difference is of times.
func (c *testCase) frameRule(timed bool, flows ...row) rule {
	var within, around []*frame
	for _, r := range flows {
		t, s := tupleOfRow(r), spanOf(r)
		if number(r, "bidirectional_last_seen_ms") >= math.Floor(timeMaxMs) {
			return timesOutOfRange
		}
		within = append(within, c.frames.of(t, s)...)
		around = append(around, c.frames.of(t, c.frames.around(t, s, c.config.IdleTimeout))...)
	}
	return cmp.Or(readOtherwise(within), readOtherwise(around), c.backwards(timed, around))
}

func readOtherwise(list []*frame) rule {
	for _, f := range list {
		if f.reading != "" {
			return f.reading
		}
	}
	return ""
}

// backwards explains by a packet whose time the reference moves. That changes
// times, and what is in a flow only where a timeout may have cut it elsewhere.
func (c *testCase) backwards(timed bool, list []*frame) rule {
	moved, first, last := false, uint64(math.MaxUint64), uint64(0)
	for _, f := range list {
		moved = moved || f.clampedMs != f.timeMs
		first, last = min(first, f.timeMs), max(last, f.clampedMs)
	}
	cut := uint64(min(c.config.IdleTimeout, c.config.ActiveTimeout).Milliseconds())
	if moved && (timed || last-first >= cut) {
		return timesBackwards
	}
	return ""
}

// directionRule explains a flow whose source is the other's destination.
func (c *testCase) directionRule(want, got row) rule {
	if number(got, "flow_part") > 0 {
		return splitDirection
	}
	return c.frameRule(false, want, got)
}

// sized tells whether a column comes of packet sizes.
func sized(name string) bool {
	return strings.HasSuffix(name, "_ps") || strings.HasSuffix(name, "_bytes")
}

// columnRule explains a column that differs in a flow that both have.
func (c *testCase) columnRule(name string, want, got row) rule {
	w, g := number(want, name), number(got, name)
	if sized(name) {
		for _, r := range []row{want, got} {
			for _, f := range c.frames.of(tupleOfRow(r), spanOf(r)) {
				if f.size != "" {
					return f.size
				}
			}
		}
	}
	if strings.Contains(name, "stddev_piat_ms") && math.Abs(w-g) <= deviationTolerance(name, got) {
		return gapDeviation
	}
	return c.frameRule(strings.Contains(name, "_ms"), want, got)
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
