package feature

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"

	"github.com/weirflow/weir/bpf"
)

// This file is Community ID version 1 with seed 0
// (github.com/corelight/community-id-spec): one text for the same conversation in
// Zeek, Suricata, Wireshark and here.

const (
	protocolICMP   = 1
	protocolTCP    = 6
	protocolUDP    = 17
	protocolICMPv6 = 58
	protocolSCTP   = 132
)

// icmpReplies and icmpv6Replies are the ICMP types that belong together: request
// and answer are one conversation. A type that is not here is one-way.
var (
	icmpReplies   = map[uint8]uint8{0: 8, 8: 0, 9: 10, 10: 9, 13: 14, 14: 13, 15: 16, 16: 15, 17: 18, 18: 17}
	icmpv6Replies = map[uint8]uint8{128: 129, 129: 128, 130: 131, 131: 130, 133: 134, 134: 133, 135: 136, 136: 135, 139: 140, 140: 139, 144: 145, 145: 144}
)

// A communityEnd is one end of a conversation.
type communityEnd struct {
	addr []byte
	port uint16
}

func (a communityEnd) after(b communityEnd) bool {
	order := bytes.Compare(a.addr, b.addr)
	return order > 0 || order == 0 && a.port > b.port
}

// appendCommunityID appends the flow's id.
func appendCommunityID(dst []byte, r *Row) []byte {
	k := &r.Record.Key
	from, to := communityEnds(&r.Record)
	ports, oneWay := true, false
	switch k.Protocol {
	case protocolTCP, protocolUDP, protocolSCTP:
	case protocolICMP:
		oneWay = icmpPorts(&from, &to, &r.Record, icmpReplies)
	case protocolICMPv6:
		oneWay = icmpPorts(&from, &to, &r.Record, icmpv6Replies)
	default:
		ports = false
		from.port, to.port = 0, 0
	}
	if !oneWay && from.after(to) {
		from, to = to, from
	}
	// seed, two addresses, protocol and padding, two ports
	var buffer [2 + 2*16 + 2 + 4]byte
	input := append(append(buffer[:2], from.addr...), to.addr...)
	input = append(input, k.Protocol, 0)
	if ports {
		input = binary.BigEndian.AppendUint16(input, from.port)
		input = binary.BigEndian.AppendUint16(input, to.port)
	}
	sum := sha1.Sum(input)
	return base64.StdEncoding.AppendEncode(append(dst, "1:"...), sum[:])
}

// communityEnds are source and destination of the flow's first packet.
func communityEnds(r *bpf.Record) (src, dst communityEnd) {
	size := 16
	if r.Key.IpVersion == 4 {
		size = 4
	}
	s := r.SrcEnd & 1
	return communityEnd{r.Key.Addr[s][:size], r.Key.Port[s]}, communityEnd{r.Key.Addr[s^1][:size], r.Key.Port[s^1]}
}

// icmpPorts puts type and answering type, or type and code of a one-way message,
// in the place of ports.
func icmpPorts(src, dst *communityEnd, r *bpf.Record, replies map[uint8]uint8) (oneWay bool) {
	reply, known := replies[r.IcmpType]
	if !known {
		reply = r.IcmpCode
	}
	src.port, dst.port = uint16(r.IcmpType), uint16(reply)
	return !known
}
