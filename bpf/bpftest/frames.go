package bpftest

import (
	"bytes"
	"encoding/binary"

	"github.com/weirflow/weir/bpf"
)

// Beacon is an 802.11 frame behind a radiotap header: it shows no packet.
func Beacon() []byte { return append([]byte{0, 0, 8, 0, 0, 0, 0, 0, 0x80, 0}, make([]byte, 30)...) }

// IgnoredFrames is an Ethernet frame for each decode status that such a frame
// alone decides: all but "ok", "link_type", "filtered" and "wifi".
func IgnoredFrames() map[bpf.Status][]byte {
	const length, protocol = 40, 17
	ipv4 := []byte{0x45, 0, 0, length, 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2}
	ipInIP := bytes.Clone(ipv4)
	ipInIP[9] = 4
	hopByHop := make([]byte, 40+9*8)
	hopByHop[0], hopByHop[5] = 0x60, 9*8
	return map[bpf.Status][]byte{
		bpf.WeirDecodeStatusSTATUS_LINK_TRUNCATED:      ethernet(0x8100, nil),
		bpf.WeirDecodeStatusSTATUS_ARP:                 ethernet(0x0806, make([]byte, 28)),
		bpf.WeirDecodeStatusSTATUS_LLC:                 ethernet(3, []byte{0x42, 0x42, 3}),
		bpf.WeirDecodeStatusSTATUS_NOT_IP:              ethernet(0x88cc, make([]byte, 46)),
		bpf.WeirDecodeStatusSTATUS_VLAN_DEPTH:          ethernet(0x8100, bytes.Repeat([]byte{0, 1, 0x81, 0}, 5)),
		bpf.WeirDecodeStatusSTATUS_MPLS_DEPTH:          ethernet(0x8847, bytes.Repeat([]byte{0, 1, 0, 64}, 9)),
		bpf.WeirDecodeStatusSTATUS_EXTENSION_DEPTH:     ethernet(0x86dd, hopByHop),
		bpf.WeirDecodeStatusSTATUS_IP_TRUNCATED:        ethernet(0x0800, ipv4[:19]),
		bpf.WeirDecodeStatusSTATUS_IP_MALFORMED:        ethernet(0x0800, append([]byte{0x41}, ipv4[1:]...)),
		bpf.WeirDecodeStatusSTATUS_TRANSPORT_TRUNCATED: ethernet(0x0800, ipv4),
		bpf.WeirDecodeStatusSTATUS_TUNNEL_DEPTH:        ethernet(0x0800, bytes.Repeat(ipInIP, 6)),
	}
}

func ethernet(ethertype uint16, payload []byte) []byte {
	return append(binary.BigEndian.AppendUint16(make([]byte, 12), ethertype), payload...)
}
