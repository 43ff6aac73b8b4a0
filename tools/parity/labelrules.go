package main

import (
	"fmt"
	"net/netip"
	"strings"
)

// Rules for labels; docs/parity.md has the text of each. They count against the
// marks all the same: a rule is a reason, not an excuse.
const (
	otherPackets     rule = "the flow has other packets"
	fewerDissections rule = "fewer packets are inspected"
	guarded          rule = "a packet that could lead nDPI astray is kept from it"
	addressText      rule = "ndpiReader prints an IPv6 address that is none"
	sshBanner        rule = "ndpiReader prints the client's banner as SSH's host"
)

// labelRule explains a label that differs; agreed says that it does not at the
// answer's own number of dissections.
func (c *testCase) labelRule(want, got row, agreed bool) rule {
	switch {
	case c.dissections < c.answered && agreed:
		return fewerDissections
	case number(want, "src2dst_packets") != number(got, "src2dst_packets"),
		number(want, "dst2src_packets") != number(got, "dst2src_packets"):
		return otherPackets
	case c.guarded:
		return guarded
	}
	return ""
}

// readerMissing explains a flow that only ndpiReader has.
func (c *testCase) readerMissing(want row) rule {
	for _, end := range []string{"src_ip", "dst_ip"} {
		if _, err := netip.ParseAddr(fmt.Sprint(want[end])); err != nil {
			return addressText
		}
	}
	return c.flowRule(want)
}

// readerRule explains what ndpiReader prints other than the library's answer.
func (c *testCase) readerRule(name string, want, got row) rule {
	if name == "requested_server_name" && strings.HasPrefix(fmt.Sprint(want[name]), "SSH-") && got["application_name"] == "SSH" {
		return sshBanner
	}
	if number(want, "bidirectional_packets") != number(got, "bidirectional_packets") {
		return otherPackets
	}
	if c.guarded {
		return guarded
	}
	return ""
}
