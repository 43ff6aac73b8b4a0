package main

import (
	"fmt"
	"strings"
)

// Rules for labels; docs/parity.md has the text of each. They count against the
// marks all the same: a rule is a reason, not an excuse.
const (
	otherPackets      rule = "the flow has other packets"
	fewerDissections  rule = "fewer packets are inspected"
	noAcknowledgement rule = "an answer without an acknowledgement before it has its content type"
	sshBanner         rule = "ndpiReader prints the client's banner as SSH's host"
)

// labelRule explains a label that differs; agreed says that it does not at the
// answer's own number of dissections.
func (c *testCase) labelRule(name string, want, got row, agreed bool) rule {
	switch {
	case c.dissections < c.answered && agreed:
		return fewerDissections
	case number(want, "src2dst_packets") != number(got, "src2dst_packets"),
		number(want, "dst2src_packets") != number(got, "dst2src_packets"):
		return otherPackets
	case name == "content_type" && want[name] == "" && strings.Contains(fmt.Sprint(want["application_name"]), "HTTP"):
		return noAcknowledgement
	}
	return ""
}

// readerRule explains what ndpiReader prints other than the library's answer.
func readerRule(name string, want, got row) rule {
	if number(want, "bidirectional_packets") != number(got, "bidirectional_packets") {
		return otherPackets
	}
	if name == "requested_server_name" && strings.HasPrefix(fmt.Sprint(want[name]), "SSH-") && got["application_name"] == "SSH" {
		return sshBanner
	}
	return ""
}
