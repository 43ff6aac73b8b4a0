package main

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/weirflow/weir/userspace"
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
func (c *testCase) labelRule(ctx context.Context, want, got row, agreed bool) rule {
	if c.dissections < c.answered && agreed {
		return fewerDissections
	}
	other := number(want, "src2dst_packets") != number(got, "src2dst_packets") ||
		number(want, "dst2src_packets") != number(got, "dst2src_packets")
	return c.packetRule(ctx, want, got, other)
}

// packetRule explains by what was not shown to both; other says that the flow has
// other packets, which needs a reason itself.
func (c *testCase) packetRule(ctx context.Context, want, got row, other bool) rule {
	switch {
	case other && c.flowRule(want, got) != "":
		return otherPackets
	case c.guarded && c.keptFrom(ctx, got):
		return guarded
	}
	return ""
}

// keptFrom tells whether packets of this very flow were kept from nDPI, by metering
// the capture once more with its samples alone. If that does not work there is no
// reason.
func (c *testCase) keptFrom(ctx context.Context, flow row) bool {
	if needOracle() != nil {
		return false // all labels may differ then, and need no reason
	}
	alone, of := *c, tupleOfRow(flow).key()
	alone.frames, alone.guarded, alone.damage = newFrames(), false, nil
	alone.limit = func(s *userspace.Sample) bool {
		return tupleOfKey(&s.Key).key() == of && (c.limit == nil || c.limit(s))
	}
	_, err := alone.ours(ctx)
	return err == nil && alone.guarded
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
func (c *testCase) readerRule(ctx context.Context, name string, want, got row) rule {
	if name == "requested_server_name" && strings.HasPrefix(fmt.Sprint(want[name]), "SSH-") && got["application_name"] == "SSH" {
		return sshBanner
	}
	return c.packetRule(ctx, want, got, number(want, "bidirectional_packets") != number(got, "bidirectional_packets"))
}
