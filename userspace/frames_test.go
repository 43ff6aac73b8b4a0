package userspace_test

import (
	"encoding/binary"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/bpftest"
	"github.com/weirflow/weir/userspace"
	"github.com/weirflow/weir/userspace/decode"
)

// Frames for group F of the faults: each is decoded as it says, and alike in
// both homes, which keep the same records of all of them.

const (
	statusOK                 = bpf.WeirDecodeStatusSTATUS_OK
	statusLinkTruncated      = bpf.WeirDecodeStatusSTATUS_LINK_TRUNCATED
	statusARP                = bpf.WeirDecodeStatusSTATUS_ARP
	statusLLC                = bpf.WeirDecodeStatusSTATUS_LLC
	statusNotIP              = bpf.WeirDecodeStatusSTATUS_NOT_IP
	statusVLANDepth          = bpf.WeirDecodeStatusSTATUS_VLAN_DEPTH
	statusMPLSDepth          = bpf.WeirDecodeStatusSTATUS_MPLS_DEPTH
	statusExtensionDepth     = bpf.WeirDecodeStatusSTATUS_EXTENSION_DEPTH
	statusIPTruncated        = bpf.WeirDecodeStatusSTATUS_IP_TRUNCATED
	statusIPMalformed        = bpf.WeirDecodeStatusSTATUS_IP_MALFORMED
	statusTransportTruncated = bpf.WeirDecodeStatusSTATUS_TRANSPORT_TRUNCATED
	statusTunnelDepth        = bpf.WeirDecodeStatusSTATUS_TUNNEL_DEPTH
)

// frameCase is an Ethernet frame and what it is to be decoded as.
type frameCase struct {
	name   string
	data   []byte
	status bpf.Status
	want   decodedAs // where the status is OK
}

// decodedAs is what a case looks at of a packet.
type decodedAs struct {
	sport, dport uint16
	protocol     uint8
	fragment     uint8
	flags        uint8
	tunnel       uint8
	tunnelKey    uint32
	vlan, outer  uint16
	payload      uint32
}

func decodedFrom(p *bpf.Packet) decodedAs {
	return decodedAs{
		sport: p.Key.Port[p.SrcEnd], dport: p.Key.Port[p.SrcEnd^1], protocol: p.Key.Protocol, fragment: p.Fragment, flags: p.TcpFlags,
		tunnel: p.Key.TunnelId, tunnelKey: p.TunnelKey, vlan: p.Key.VlanId, outer: p.Key.VlanOuterId, payload: p.PayloadOctets,
	}
}

// framesAgree holds each frame to what it is to be, then the two homes to each
// other: decoder by decoder, and meter by meter, whose ledgers close. It returns
// the records.
func framesAgree(t *testing.T, cases []frameCase) []bpf.Record {
	t.Helper()
	run := &packets{}
	d := decode.Decoder{DecodeTunnels: true, TCPStatistics: true, IPStatistics: true}
	for i, c := range cases {
		var p bpf.Packet
		status := d.Decode(c.data, uint32(len(c.data)), 1, &p)
		if status != c.status {
			t.Errorf("%s: %s, want %s", c.name, status, c.status)
		} else if got := decodedFrom(&p); status == statusOK && got != c.want {
			t.Errorf("%s: got  %+v\nwant %+v", c.name, got, c.want)
		}
		if len(c.data) < bpftest.MinFrame {
			continue // the kernel runs no such frame
		}
		run.List = append(run.List, userspace.CapturedPacket{Data: c.data, Length: uint32(len(c.data)), LinkType: 1, TimeNs: uint64(time.Duration(i) * time.Millisecond)})
	}
	decodersAgree(t, 1, bpf.WeirAccountingACCOUNTING_LINK, run)
	records := metersAgree(t, t.Name(), 1, everything(false), run)
	t.Logf("measured: %d frames are decoded as they should be, alike in both homes; %d flows", len(cases), len(records))
	return records
}

// seenUpTo is how much of a frame must be there to end in the status: whatever
// comes behind was not looked at. cut is the frame that ends there, for the
// kernel to be held to the same.
func seenUpTo(t *testing.T, name string, data []byte, status bpf.Status) (octets int, cut frameCase) {
	t.Helper()
	d := decode.Decoder{DecodeTunnels: true}
	for n := range len(data) + 1 {
		var p bpf.Packet
		if d.Decode(data[:n], uint32(len(data)), 1, &p) == status {
			return n, frameCase{name: name + ", cut", data: data[:n:n], status: status}
		}
	}
	t.Fatalf("%s: never %s", name, status)
	return 0, frameCase{}
}

// Ethertypes and protocols by their registries.
const (
	typeIPv4  = 0x0800
	typeARP   = 0x0806
	typeTEB   = 0x6558
	typeVLAN  = 0x8100
	typeIPv6  = 0x86dd
	typeMPLS  = 0x8847
	typePPPoE = 0x8864
	typeQinQ  = 0x88a8
	typeQinQ1 = 0x9100

	protoICMP = 1
	protoIPIP = 4
	protoTCP  = 6
	protoUDP  = 17
	protoIPv6 = 41
	protoGRE  = 47
	protoESP  = 50
	protoAH   = 51
)

// serialized puts headers around a payload, lengths computed.
func serialized(t *testing.T, payload []byte, headers ...gopacket.SerializableLayer) []byte {
	t.Helper()
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true}, append(headers, gopacket.Payload(payload))...); err != nil {
		t.Fatal(err)
	}
	return slices.Clone(b.Bytes())
}

// ether is an Ethernet frame as it is: gopacket pads it.
func ether(ethertype uint16, payload []byte) []byte {
	b := []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1}
	return append(binary.BigEndian.AppendUint16(b, ethertype), payload...)
}

// etherOf is the frame of an IP packet.
func etherOf(ip []byte) []byte {
	if ip[0]>>4 == 6 {
		return ether(typeIPv6, ip)
	}
	return ether(typeIPv4, ip)
}

var (
	source4, destination4 = net.IP{192, 0, 2, 1}, net.IP{192, 0, 2, 2}
	source6, destination6 = net.ParseIP("2001:db8::1"), net.ParseIP("2001:db8::2")
)

func over4(t *testing.T, protocol uint8, payload []byte) []byte {
	return serialized(t, payload, &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocol(protocol), SrcIP: source4, DstIP: destination4})
}

// over6 is by hand: gopacket reads meaning into the next header.
func over6(next uint8, payload []byte) []byte {
	b := []byte{0x60, 0, 0, 0, byte(len(payload) >> 8), byte(len(payload)), next, 64}
	return slices.Concat(b, source6, destination6, payload)
}

// udpOf is a UDP header from port 5000 and its payload.
func udpOf(t *testing.T, dport uint16, payload []byte) []byte {
	return serialized(t, payload, &layers.UDP{SrcPort: 5000, DstPort: layers.UDPPort(dport)})
}

// tcpOf is a TCP segment from port 5000 to port 80 with the flag byte.
func tcpOf(flags uint8, options, payload []byte) []byte {
	b := make([]byte, 20, 60)
	binary.BigEndian.PutUint16(b, 5000)
	binary.BigEndian.PutUint16(b[2:], 80)
	b[12], b[13] = byte(5+len(options)/4)<<4, flags
	return slices.Concat(b, options, payload)
}

// patched is b with some octets replaced.
func patched(b []byte, offset int, with ...byte) []byte {
	b = slices.Clone(b)
	copy(b[offset:], with)
	return b
}

// words is 16-bit words in network order.
func words(w ...uint16) (b []byte) {
	for _, v := range w {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	return b
}

// capturedFrame is an Ethernet frame at the beginning of time.
func capturedFrame(data []byte) userspace.CapturedPacket {
	return userspace.CapturedPacket{Data: data, Length: uint32(len(data)), LinkType: 1}
}
