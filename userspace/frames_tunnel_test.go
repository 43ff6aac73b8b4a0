package userspace_test

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/userspace/decode"
)

// tunnelKind wraps an IP packet into one more tunnel.
type tunnelKind struct {
	name string
	id   bpf.TunnelKind
	key  uint32
	wrap func(t *testing.T, ip []byte) []byte
}

// protocolOf and typeOf say what a packet is to the header in front of it.
func protocolOf(ip []byte) uint8 {
	if ip[0]>>4 == 6 {
		return protoIPv6
	}
	return protoIPIP
}

func typeOf(ip []byte) uint16 {
	if ip[0]>>4 == 6 {
		return typeIPv6
	}
	return typeIPv4
}

// key24 is a 24-bit network identifier in its 4 octets.
func key24(key uint32) []byte { return binary.BigEndian.AppendUint32(nil, key<<8) }

var tunnelKinds = []tunnelKind{
	{"IP in IPv4", bpf.WeirTunnelKindTUNNEL_NONE, 0, func(t *testing.T, ip []byte) []byte { return over4(t, protocolOf(ip), ip) }},
	{"IP in IPv6", bpf.WeirTunnelKindTUNNEL_NONE, 0, func(t *testing.T, ip []byte) []byte { return over6(protocolOf(ip), ip) }},
	{"IP in IPv6 behind an extension", bpf.WeirTunnelKindTUNNEL_NONE, 0, func(t *testing.T, ip []byte) []byte {
		return over6(60, append(extensionOf(protocolOf(ip), 8), ip...))
	}},
	{"GRE", bpf.WeirTunnelKindTUNNEL_GRE, 0, func(t *testing.T, ip []byte) []byte {
		return over4(t, protoGRE, append(words(0, typeOf(ip)), ip...))
	}},
	{"GRE with checksum, key and sequence", bpf.WeirTunnelKindTUNNEL_GRE, 0x10002, func(t *testing.T, ip []byte) []byte {
		return over6(protoGRE, append(words(0xb000, typeOf(ip), 0, 0, 1, 2, 0, 3), ip...))
	}},
	{"Ethernet in GRE", bpf.WeirTunnelKindTUNNEL_GRE, 0, func(t *testing.T, ip []byte) []byte {
		return over4(t, protoGRE, append(words(0, typeTEB), etherOf(ip)...))
	}},
	{"VXLAN", bpf.WeirTunnelKindTUNNEL_VXLAN, 5001, func(t *testing.T, ip []byte) []byte {
		return over4(t, protoUDP, udpOf(t, 4789, slices.Concat([]byte{8, 0, 0, 0}, key24(5001), etherOf(ip))))
	}},
	{"GTP-U", bpf.WeirTunnelKindTUNNEL_GTP, 77, func(t *testing.T, ip []byte) []byte {
		header := slices.Concat([]byte{0x30, 255}, words(uint16(len(ip)), 0, 77))
		return over4(t, protoUDP, udpOf(t, 2152, append(header, ip...)))
	}},
	{"Geneve with options", bpf.WeirTunnelKindTUNNEL_GENEVE, 9, func(t *testing.T, ip []byte) []byte {
		return over6(protoUDP, udpOf(t, 6081, slices.Concat([]byte{2, 0}, words(typeOf(ip)), key24(9), make([]byte, 8), ip)))
	}},
	{"Ethernet in Geneve", bpf.WeirTunnelKindTUNNEL_GENEVE, 9, func(t *testing.T, ip []byte) []byte {
		return over4(t, protoUDP, udpOf(t, 6081, slices.Concat([]byte{0, 0}, words(typeTEB), key24(9), etherOf(ip))))
	}},
}

// levelsMax is how many tunnels inside each other are followed.
const levelsMax = 4

// nestedIn is UDP over IPv4 in so many tunnels, kind by kind from the outside.
func nestedIn(t *testing.T, levels int, kinds ...tunnelKind) []byte {
	ip := over4(t, protoUDP, udpOf(t, 53, nil))
	for level := range levels {
		ip = kinds[(levels-1-level)%len(kinds)].wrap(t, ip)
	}
	return etherOf(ip)
}

// outermost is what the inner packet is decoded as: the tunnel that counts is
// the outermost that is one.
func outermost(kinds []tunnelKind, levels int) decodedAs {
	d := decodedAs{sport: 5000, dport: 53, protocol: protoUDP}
	for level := range levels {
		if k := kinds[level%len(kinds)]; k.id != bpf.WeirTunnelKindTUNNEL_NONE {
			d.tunnel, d.tunnelKey = uint8(k.id), k.key
			break
		}
	}
	return d
}

// TestF7TunnelsAreFollowedToFourLevels: of each kind and of all kinds mixed, one
// level to four are decoded; beyond there is a status, and a packet of fifty
// levels costs no more than one of six.
func TestF7TunnelsAreFollowedToFourLevels(t *testing.T) {
	stacks := map[string][]tunnelKind{"all kinds": tunnelKinds, "all kinds backwards": slices.Clone(tunnelKinds)}
	slices.Reverse(stacks["all kinds backwards"])
	for _, k := range tunnelKinds {
		stacks[k.name] = []tunnelKind{k}
	}
	var cases []frameCase
	for name, kinds := range stacks {
		for levels := range levelsMax + 1 {
			cases = append(cases, frameCase{fmt.Sprintf("%d levels of %s", levels, name), nestedIn(t, levels, kinds...), statusOK, outermost(kinds, levels)})
		}
		cases = append(cases, bombs(t, name, kinds)...)
	}
	framesAgree(t, cases)
}

// bombs nest deeper than is followed. What is looked at of each is the same, once
// the sixth header is another of the tunnels'.
func bombs(t *testing.T, name string, kinds []tunnelKind) (cases []frameCase) {
	t.Helper()
	first := 0
	for _, levels := range []int{levelsMax + 1, levelsMax + 2, 20, 50} {
		name := fmt.Sprintf("%d levels of %s", levels, name)
		data := nestedIn(t, levels, kinds...)
		octets, cut := seenUpTo(t, name, data, statusTunnelDepth)
		switch {
		case levels == levelsMax+1:
		case first == 0:
			first = octets
		case octets != first:
			t.Errorf("%s: looked at %d octets, with two levels too many at %d", name, octets, first)
		}
		cases = append(cases, frameCase{name, data, statusTunnelDepth, decodedAs{}}, cut)
	}
	return cases
}

// TestF7TunnelsThatAreNotAskedForStayClosed: but IP in IP, which is none by that
// count.
func TestF7TunnelsThatAreNotAskedForStayClosed(t *testing.T) {
	run := &packets{}
	for i, k := range tunnelKinds {
		data := nestedIn(t, 1, k)
		var p bpf.Packet
		d := decode.Decoder{}
		if status := d.Decode(data, uint32(len(data)), 1, &p); status != statusOK || p.Key.TunnelId != 0 {
			t.Errorf("%s: %s, tunnel %d", k.name, status, p.Key.TunnelId)
		}
		if inside := p.Key.Protocol == protoUDP && p.Key.Port[p.SrcEnd^1] == 53; inside != (k.id == bpf.WeirTunnelKindTUNNEL_NONE) {
			t.Errorf("%s: decoded as %+v", k.name, p.Key)
		}
		captured := capturedFrame(data)
		captured.TimeNs = uint64(i)
		run.List = append(run.List, captured)
	}
	cfg := everything(false)
	cfg.DecodeTunnels = false
	metersAgree(t, t.Name(), 1, cfg, run)
}
