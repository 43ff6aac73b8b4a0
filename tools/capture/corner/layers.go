package main

import (
	"encoding/binary"
	"net"
	"slices"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// Ethertypes and protocols under the names of their registries.
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

	protoICMP   = 1
	protoIPIP   = 4
	protoTCP    = 6
	protoUDP    = 17
	protoDCCP   = 33
	protoIPv6   = 41
	protoGRE    = 47
	protoICMPv6 = 58
	protoSCTP   = 132
	protoLite   = 136
)

const (
	syn = 1 << 1
	ack = 1 << 4
)

var (
	macA = net.HardwareAddr{2, 0, 0, 0, 0, 0xa}
	macB = net.HardwareAddr{2, 0, 0, 0, 0, 0xb}
	a4   = net.IP{192, 0, 2, 1}
	b4   = net.IP{192, 0, 2, 2}
	a6   = net.ParseIP("2001:db8::1")
	b6   = net.ParseIP("2001:db8::2")
)

// serialize is gopacket's, with lengths and checksums computed. The layers are
// all made here, so that an error is one of this program.
func serialize(payload []byte, l ...gopacket.SerializableLayer) []byte {
	b := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(b, options, append(l, gopacket.Payload(payload))...); err != nil {
		panic(err) // a mistake in this program; the test runs all of it
	}
	return slices.Clone(b.Bytes())
}

// eth puts a frame around a payload, from A to B. It is not padded.
func eth(ethertype uint16, payload []byte) []byte {
	return serialize(payload, &rawEthernet{ethertype})
}

// rawEthernet keeps types below 0x600, which gopacket takes for its own use.
type rawEthernet struct{ ethertype uint16 }

func (e *rawEthernet) LayerType() gopacket.LayerType { return layers.LayerTypeEthernet }

func (e *rawEthernet) SerializeTo(b gopacket.SerializeBuffer, _ gopacket.SerializeOptions) error {
	h, err := b.PrependBytes(14)
	if err != nil {
		return err
	}
	copy(h, macB)
	copy(h[6:], macA)
	binary.BigEndian.PutUint16(h[12:], e.ethertype)
	return nil
}

// tag is the 4 octets after the Ethertype of a VLAN tag.
func tag(id, ethertype uint16, payload []byte) []byte {
	return append(words(id, ethertype), payload...)
}

// words is 16-bit words in network order.
func words(w ...uint16) (b []byte) {
	for _, v := range w {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	return b
}

func join(parts ...[]byte) []byte { return slices.Concat(parts...) }

func zeros(n int) []byte { return make([]byte, n) }

// patched is b with some octets replaced.
func patched(b []byte, offset int, with ...byte) []byte {
	c := slices.Clone(b)
	copy(c[offset:], with)
	return c
}

func header4(src, dst net.IP, protocol byte) *layers.IPv4 {
	return &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocol(protocol), SrcIP: src, DstIP: dst}
}

func header6(src, dst net.IP, protocol byte) *layers.IPv6 {
	return &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocol(protocol), SrcIP: src, DstIP: dst}
}

// ip4 and ip6 are packets from A to B.
func ip4(protocol byte, payload []byte) []byte { return serialize(payload, header4(a4, b4, protocol)) }
func ip6(protocol byte, payload []byte) []byte {
	// Not by gopacket, which reads meaning into the next header.
	h := join([]byte{0x60, 0, 0, 0}, words(uint16(len(payload))), []byte{protocol, 64}, a6, b6)
	return append(h, payload...)
}

// An end is an address and a port.
type end struct {
	ip   net.IP
	port uint16
}

// transport builds an IP packet with TCP (flags of the flag byte) or UDP.
func transport(protocol byte, src, dst end, flags byte, payload []byte) []byte {
	var network gopacket.NetworkLayer = header4(src.ip, dst.ip, protocol)
	if src.ip.To4() == nil {
		network = header6(src.ip, dst.ip, protocol)
	}
	if protocol == protoUDP {
		udp := &layers.UDP{SrcPort: layers.UDPPort(src.port), DstPort: layers.UDPPort(dst.port)}
		_ = udp.SetNetworkLayerForChecksum(network)
		return serialize(payload, network.(gopacket.SerializableLayer), udp)
	}
	tcp := &layers.TCP{SrcPort: layers.TCPPort(src.port), DstPort: layers.TCPPort(dst.port), Window: 64240,
		FIN: flags&1 != 0, SYN: flags&2 != 0, RST: flags&4 != 0, PSH: flags&8 != 0,
		ACK: flags&16 != 0, URG: flags&32 != 0, ECE: flags&64 != 0, CWR: flags&128 != 0}
	_ = tcp.SetNetworkLayerForChecksum(network)
	return serialize(payload, network.(gopacket.SerializableLayer), tcp)
}

// The usual packets from A to B and back.
func tcp4(flags byte, payload []byte) []byte {
	return transport(protoTCP, end{a4, 40000}, end{b4, 80}, flags, payload)
}
func tcp4Back(flags byte, payload []byte) []byte {
	return transport(protoTCP, end{b4, 80}, end{a4, 40000}, flags, payload)
}
func tcp6(flags byte, payload []byte) []byte {
	return transport(protoTCP, end{a6, 40000}, end{b6, 80}, flags, payload)
}
func udp4(port uint16, payload []byte) []byte {
	return transport(protoUDP, end{a4, 50000}, end{b4, port}, 0, payload)
}
func udp6(port uint16, payload []byte) []byte {
	return transport(protoUDP, end{a6, 50000}, end{b6, port}, 0, payload)
}

// segment is the transport part of an IP packet from tcp4, udp4 and the like.
func segment(ip []byte) []byte {
	if ip[0]>>4 == 6 {
		return ip[40:]
	}
	return ip[20:]
}

// etherIP is the frame of an IP packet, IPv4 or IPv6.
func etherIP(ip []byte) []byte {
	if ip[0]>>4 == 6 {
		return eth(typeIPv6, ip)
	}
	return eth(typeIPv4, ip)
}

func etherIPs(packets ...[]byte) (frames [][]byte) {
	for _, p := range packets {
		frames = append(frames, etherIP(p))
	}
	return frames
}
