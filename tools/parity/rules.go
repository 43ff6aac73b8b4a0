package main

import (
	"math"
	"strings"

	"github.com/weirflow/weir/bpf"
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
	gapDeviation    rule = "deviation of gaps that are not truncated"
)

func number(r row, name string) float64 {
	n, _ := r[name].(float64)
	return n
}

// The earliest second that nanoseconds in 63 bits cannot hold, and where weir
// clamps such a time to, in ms.
const timeMaxMs = math.MaxInt64 / 1e6

// tunnelPorts are those of the outer flows that tunnels leave no packets in.
var tunnelPorts = map[float64]bool{2152: true, 4789: true, 6081: true}

func carriesTunnel(r row) bool {
	switch number(r, "protocol") {
	case 4, 41, 47:
		return true
	case 17:
		return tunnelPorts[number(r, "src_port")] || tunnelPorts[number(r, "dst_port")]
	}
	return false
}

// extraRule explains a flow that only weir has.
func (c *testCase) extraRule(got row) rule {
	switch {
	case number(got, "bidirectional_last_seen_ms") >= math.Floor(timeMaxMs):
		return timesOutOfRange
	case number(got, "fragments") > 0:
		return laterFragments
	case number(got, "tunnel_id") > 0:
		return tunnels
	case c.linkTypes[linkSLL2] || number(got, "vlan_outer_id") > 0:
		return linkLayers
	case c.regressed:
		return timesBackwards
	case c.shortest < leastFrame:
		return shortFrames
	case c.cut && number(got, "ip_version") == 6:
		return truncatedIPv6
	}
	return ""
}

// missingRule explains a flow that only the reference has.
func (c *testCase) missingRule(want row) rule {
	switch {
	case number(want, "bidirectional_last_seen_ms") > timeMaxMs:
		return timesOutOfRange
	case carriesTunnel(want) && c.config.DecodeTunnels:
		return tunnels
	case c.regressed:
		return timesBackwards
	case c.unknownTypes && number(want, "tunnel_id") == 0:
		return ethertype
	case number(want, "bidirectional_packets") <= float64(c.malformed):
		return malformed
	}
	return ""
}

// sized tells whether a column comes of packet sizes.
func sized(name string) bool {
	return strings.HasSuffix(name, "_ps") || strings.HasSuffix(name, "_bytes")
}

// columnRule explains a column that differs in a flow that both have.
func (c *testCase) columnRule(name string, want, got any, flow row) rule {
	w, _ := want.(float64)
	g, _ := got.(float64)
	switch {
	case number(flow, "fragments") > 0:
		return laterFragments
	case sized(name) && c.config.Accounting == bpf.WeirAccountingACCOUNTING_IP && number(flow, "ip_version") == 6:
		return ipv6Octets
	case sized(name) && c.config.Accounting >= bpf.WeirAccountingACCOUNTING_TRANSPORT && isZero(want):
		return otherProtocols
	case sized(name) && number(flow, "bidirectional_max_ps") > math.MaxUint16:
		return wrappedSize
	case strings.Contains(name, "stddev_piat_ms") && math.Abs(w-g) <= deviationTolerance(name, flow):
		return gapDeviation
	case c.regressed:
		return timesBackwards
	case number(flow, "tunnel_id") > 0:
		return tunnels
	case c.shortest < leastFrame:
		return shortFrames
	}
	return ""
}

// isZero tells whether all that the reference has is nothing.
func isZero(v any) bool {
	if list, ok := v.([]float64); ok {
		return len(list) > 0 && list[0] == 0
	}
	return v == 0.0
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
