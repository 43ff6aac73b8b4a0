package main

import (
	"slices"
	"testing"

	"github.com/weirflow/weir/tools/captures"
)

// A readerException is a flow of ndpiReader's, in a capture of testdata or
// ../shared/captures, that weir does not have, or a column of it that differs.
type readerException struct {
	capture, flow, column string
	rule                  rule
}

// readerExceptions are all of them, whether tunnels are looked into or not; those
// of readerTunnelExceptions where they are.
var (
	readerExceptions = []readerException{
		{"cases/nonip.pcap", "10.0.0.1:1>10.0.0.2:2/17 vlan 0", "(flow)", ethertype},
		{"nfstream/ssh.pcap", "172.16.238.1:58395>172.16.238.168:22/6 vlan 0", "requested_server_name", sshBanner},
		{"built-ipv4-bad-headers/ipv4-bad-headers.pcap", "192.0.2.1:16384>192.0.2.2:50/6 vlan 0", "(flow)", malformed},
		{"built-ipv4-bad-headers/ipv4-bad-headers.pcap", "192.0.2.1:49152>192.0.2.2:514/6 vlan 0", "(flow)", malformed},
		{"built-ipv6-extensions/ipv6-extensions.pcap", "0.0.0.0:0>0.0.0.0:0/1 vlan 0", "(flow)", malformed},
		{"built-link-types/ipv4.pcap", "2001:db8::1:50000>2001:db8::2:53/17 vlan 0", "(flow)", ethertype},
		{"built-link-types/ipv6.pcap", "192.0.2.1:50000>192.0.2.2:53/17 vlan 0", "(flow)", malformed},
		{"built-vlan-tags/vlan-tags.pcap", "192.0.2.1:40000>192.0.2.2:80/6 vlan 105", "(flow)", malformed},
		{"ssh/ssh.pcap", "192.0.2.1:36994>192.0.2.2:22/6 vlan 0", "requested_server_name", sshBanner},
	}
	readerTunnelExceptions = []readerException{
		{"cases/gtp.pcap", "2001:db8::1:2152>2001:db8::2:2152/17 vlan 0", "(flow)", tunnels},
		{"cases/gtp.pcap", "10.0.0.1:0>10.0.0.2:0/4 vlan 0", "(flow)", tunnels},
		{"cases/ipip.pcap", "10.0.0.1:0>10.0.0.2:0/47 vlan 0", "(flow)", tunnels},
		{"cases/ipip.pcap", "10.0.0.1:40000>10.0.0.2:4789/17 vlan 0", "(flow)", tunnels},
		{"built-capwap/capwap.pcap", "2001:db8::1:50000>2001:db8::2:5247/17 vlan 0", "(flow)", tunnels},
		{"built-capwap/capwap.pcap", "192.0.2.1:50000>192.0.2.2:5247/17 vlan 0", "application_confidence", otherPackets},
		{"built-erspan/erspan.pcap", "2001:db8::1:0>2001:db8::2:0/47 vlan 0", "(flow)", tunnels},
		{"built-geneve/geneve.pcap", "2001:db8::1:50000>2001:db8::2:6081/17 vlan 0", "(flow)", tunnels},
		{"built-gre/gre.pcap", "2001:db8::1:0>2001:db8::2:0/47 vlan 0", "(flow)", tunnels},
		{"built-gtp-u/gtp-u.pcap", "2001:db8::1:50000>2001:db8::2:2152/17 vlan 0", "(flow)", tunnels},
		{"built-l2tp/l2tp.pcap", "2001:db8::1:50000>2001:db8::2:1701/17 vlan 0", "(flow)", tunnels},
		{"built-nested-tunnels/nested-tunnels.pcap", "192.0.2.1:0>192.0.2.2:0/47 vlan 0", "(flow)", tunnels},
		{"built-nested-tunnels/nested-tunnels.pcap", "2001:db8::1:50000>2001:db8::2:2152/17 vlan 0", "(flow)", tunnels},
		{"built-nested-tunnels/nested-tunnels.pcap", "192.0.2.1:50000>192.0.2.2:4789/17 vlan 0", "(flow)", tunnels},
		{"built-nested-tunnels/nested-tunnels.pcap", "192.0.2.1:50000>192.0.2.2:1701/17 vlan 0", "(flow)", tunnels},
		{"built-nested-tunnels/nested-tunnels.pcap", "192.0.2.1:50000>192.0.2.2:6081/17 vlan 0", "(flow)", malformed},
		{"built-pptp/pptp.pcap", "2001:db8::1:0>2001:db8::2:0/47 vlan 0", "(flow)", tunnels},
		{"built-tzsp/tzsp.pcap", "2001:db8::1:50000>2001:db8::2:37008/17 vlan 0", "(flow)", tunnels},
		{"built-vxlan/vxlan.pcap", "2001:db8::1:50000>2001:db8::2:4789/17 vlan 0", "(flow)", tunnels},
	}
)

// wantExceptions wants a report's exceptions to be those that are known, in the
// captures of testdata and in those that have known ones. In others a rule is
// enough.
func wantExceptions(t *testing.T, r *readerReport) {
	t.Helper()
	known := readerExceptions
	if r.tunnels {
		known = slices.Concat(known, readerTunnelExceptions)
	}
	ours, err := captures.Below(projectCaptures)
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, path := range ours {
		listed[captureName(path)] = true
	}
	found := map[readerException]int{}
	for _, c := range r.results {
		for _, d := range c.differences {
			found[readerException{c.name, d.flow, d.column, d.rule}]++
		}
	}
	for _, e := range known {
		listed[e.capture] = true
		if !slices.ContainsFunc(r.results, func(c *readerResult) bool { return c.name == e.capture }) {
			continue
		}
		if found[e]--; found[e] < 0 {
			t.Errorf("tunnels %v: %+v is no exception any more", r.tunnels, e)
		}
	}
	for e, n := range found {
		if n > 0 && listed[e.capture] {
			t.Errorf("tunnels %v: %+v is an exception that nobody knows of", r.tunnels, e)
		}
	}
}
