package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"
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
	clientsJA3       rule = "ndpiReader goes by the client's JA3, not by the protocol"
	halfAddresses    rule = "ndpiReader tells flows of IPv6 apart by half of their addresses"
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
	if goesByJA3(name, want, got) {
		return clientsJA3
	}
	other := number(want, "bidirectional_packets") != number(got, "bidirectional_packets")
	if other && c.frames.shareHalves(tupleOfRow(got).key()) {
		return halfAddresses
	}
	return c.packetRule(ctx, want, got, other)
}

// goesByJA3 tells whether a fingerprint is printed by one side alone because ndpiReader
// looks for those of TLS in TLS, in QUIC, and in whatever else the client's is there.
func goesByJA3(name string, want, got row) bool {
	if name != "client_fingerprint" && name != "server_fingerprint" {
		return false
	}
	label := strings.Split(fmt.Sprint(got["application_name"]), ".")
	of := func(names ...string) bool {
		return slices.ContainsFunc(label, func(name string) bool { return slices.Contains(names, name) })
	}
	switch {
	case of("TLS", "QUIC", "SSH", "DHCP"):
		return false
	case of("DTLS", "SMTPS", "IMAPS", "POPS"):
		return want[name] == "" && got["client_fingerprint"] == ""
	}
	return got[name] == "" && want["client_fingerprint"] != ""
}

// shareHalves tells whether there is another flow of IPv6 that ndpiReader takes for the
// same: of an address it knows the sum of the last two words.
func (f *frames) shareHalves(t tuple) bool {
	of := func(t tuple) (sums [2]uint32) {
		for i, end := range t.ends {
			words := end.Addr().As16()
			sums[i] = binary.NativeEndian.Uint32(words[8:]) + binary.NativeEndian.Uint32(words[12:])
		}
		return sums
	}
	return t.ends[0].Addr().Is6() && slices.ContainsFunc(slices.Collect(maps.Keys(f.ours)), func(o tuple) bool {
		if o == t || o.protocol != t.protocol || o.vlan != t.vlan || !o.ends[0].Addr().Is6() {
			return false
		}
		a, b, p, q := of(t), of(o), [2]uint16{t.ends[0].Port(), t.ends[1].Port()}, [2]uint16{o.ends[0].Port(), o.ends[1].Port()}
		return a == b && p == q || a == [2]uint32{b[1], b[0]} && p == [2]uint16{q[1], q[0]}
	})
}
