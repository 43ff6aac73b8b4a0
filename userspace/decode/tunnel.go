package decode

import (
	"encoding/binary"

	"github.com/weirflow/weir/bpf"
)

// Tunnels: what IP packets carry besides a transport header.

const (
	tunnelNone   = uint8(bpf.WeirTunnelKindTUNNEL_NONE)
	tunnelGTP    = uint8(bpf.WeirTunnelKindTUNNEL_GTP)
	tunnelCAPWAP = uint8(bpf.WeirTunnelKindTUNNEL_CAPWAP)
	tunnelTZSP   = uint8(bpf.WeirTunnelKindTUNNEL_TZSP)
	tunnelL2TP   = uint8(bpf.WeirTunnelKindTUNNEL_L2TP)
	tunnelVXLAN  = uint8(bpf.WeirTunnelKindTUNNEL_VXLAN)
	tunnelGRE    = uint8(bpf.WeirTunnelKindTUNNEL_GRE)
	tunnelGeneve = uint8(bpf.WeirTunnelKindTUNNEL_GENEVE)
)

// An innerFrame is how that begins which a tunnel carries.
type innerFrame uint8

const (
	innerPacket innerFrame = iota // with what the Ethertype says
	innerEthernet
	innerPPP
	innerWiFi
	innerWiFiSwapped // fields of 16 bits may have their octets swapped
)

// An inner is what a tunnel's header says.
type inner struct {
	skip      uint32 // from the cursor to what is inside
	key       uint32
	etherType uint16 // of an innerPacket
	kind      uint8
	frame     innerFrame
	twoKeys   bool // one for each direction: no part of a flow's key
}

// peekIP says whether a whole IP header of the given Ethertype, sound at first
// sight, is at the cursor plus skip. Tunnels are recognised by port or protocol,
// so that anything may be inside; what is not IP stays a packet of the outer
// flow.
func (w *walk) peekIP(skip uint32, etherType uint16) bool {
	switch etherType {
	case etherTypeIPv4:
		ip := w.header(skip, 20)
		return ip != nil && ip[0]>>4 == 4 && ip[0]&0xf >= 5
	case etherTypeIPv6:
		ip := w.header(skip, 40)
		return ip != nil && ip[0]>>4 == 6
	}
	return false
}

// peekEthernet is the same for an inner Ethernet frame, behind its tags. More tags
// than are followed are for decodeVLANs to refuse.
func (w *walk) peekEthernet(skip uint32) bool {
	h := w.header(skip, 14)
	if h == nil {
		return false
	}
	etherType := read16(h[12:])
	skip += 14
	for i := 0; i < vlanTagsMax && isVLAN(etherType); i++ {
		h = w.header(skip, vlanTagOctets)
		if h == nil {
			return false
		}
		etherType = read16(h[2:])
		skip += vlanTagOctets
	}
	return isVLAN(etherType) || w.peekIP(skip, etherType)
}

// unwrap steps over PPP or 802.11, down to what an Ethertype tells; false if none
// does.
func (w *walk) unwrap(in *inner) bool {
	switch in.frame {
	case innerPPP:
		in.skip, in.etherType = w.pppHeader(in.skip)
		return in.etherType != 0
	case innerWiFi, innerWiFiSwapped:
		var status bpf.Status
		in.skip, in.etherType, status = w.wifiHeaders(wifiLayout{swapped: in.frame == innerWiFiSwapped}, in.skip)
		return status == statusOK
	}
	return true
}

// tunnelNote makes the outermost tunnel the packet's.
func (w *walk) tunnelNote(in *inner) {
	if w.p.OuterIpVersion == 0 {
		w.p.OuterIpVersion = w.n.version
		for end, e := range []*endpoint{&w.n.src, &w.n.dst} {
			binary.LittleEndian.PutUint64(w.p.OuterAddr[end][:8], e.word[0])
			binary.LittleEndian.PutUint64(w.p.OuterAddr[end][8:], e.word[1])
		}
	}
	if in.kind == tunnelNone || w.p.Key.TunnelId != tunnelNone {
		return
	}
	w.p.Key.TunnelId = in.kind
	if !in.twoKeys {
		w.p.Key.TunnelKey = in.key
	}
	w.p.TunnelKey = in.key
}

// tunnelEnter enters what a tunnel's header says that it carries; false if that
// is not there. Then the cursor stands at an Ethernet frame, or at an IP header.
func (w *walk) tunnelEnter(in *inner) bool {
	frame := in.skip
	if !w.unwrap(in) {
		return false
	}
	if in.frame == innerEthernet {
		if !w.peekEthernet(in.skip) {
			return false
		}
		in.etherType = etherTypeTEB
	} else if !w.peekIP(in.skip, in.etherType) {
		return false
	}
	if in.frame == innerWiFi || in.frame == innerWiFiSwapped {
		w.wifiMACs(frame)
	}
	w.off += in.skip
	w.etherType = in.etherType
	w.tunnelNote(in)
	return true
}

const (
	greChecksum    = 0x80
	greRouting     = 0x40
	greKey         = 0x20
	greSequence    = 0x10
	greAcknowledge = 0x80 // of version 1, in the second octet
	grePPP         = 0x880b
	greERSPAN      = 0x88be
	greERSPANIII   = 0x22eb
)

// tunnelERSPAN is for ERSPAN (draft-foschiano-erspan): type I is an Ethernet
// frame and nothing else, II has a header of 8 octets, III one of 12 and maybe 8
// of the platform.
func (w *walk) tunnelERSPAN(in *inner, version uint8) bool {
	size := uint32(12)
	if version == 2 {
		size = 8
	}
	h := w.header(in.skip, size)
	if h == nil || h[0]>>4 != version-1 {
		return false
	}
	in.key = uint32(read16(h[2:]) & 0x3ff)
	in.skip += size
	if version == 2 {
		return true
	}
	if h[11]&1 != 0 {
		in.skip += 8
	}
	return h[10]&0x7c == 0 // the frame type: 0 is Ethernet
}

// tunnelGRE0 is for GRE version 0 (RFC 2784, 2890): checksum, key and sequence
// are optional.
func (w *walk) tunnelGRE0(gre []byte, in *inner) bool {
	in.skip = 4
	if gre[0]&greChecksum != 0 {
		in.skip += 4
	}
	if gre[0]&greKey != 0 {
		field := w.header(in.skip, 4)
		if field == nil {
			return false
		}
		in.key = read32(field)
		in.skip += 4
	}
	if gre[0]&greSequence != 0 {
		in.skip += 4
	}
	in.etherType = read16(gre[2:])
	switch in.etherType {
	case etherTypeTEB:
		in.frame = innerEthernet
	case greERSPAN:
		in.frame = innerEthernet
		return gre[0]&greSequence == 0 || w.tunnelERSPAN(in, 2)
	case greERSPANIII:
		in.frame = innerEthernet
		return w.tunnelERSPAN(in, 3)
	}
	return true
}

// tunnelPPTP is for GRE version 1 (RFC 2637, PPTP): PPP, where there is a sequence
// number. The key is the call's, of the receiver.
func (w *walk) tunnelPPTP(gre []byte, in *inner) bool {
	call := w.header(4, 4)
	if call == nil || read16(gre[2:]) != grePPP || gre[0]&greKey == 0 || gre[0]&greSequence == 0 {
		return false
	}
	in.key = uint32(read16(call[2:]))
	in.twoKeys = true
	in.skip = 12
	if gre[1]&greAcknowledge != 0 {
		in.skip += 4
	}
	in.frame = innerPPP
	return true
}

func (w *walk) tunnelGRE(in *inner) bool {
	gre := w.header(0, 4)
	if gre == nil || gre[0]&greRouting != 0 {
		return false
	}
	in.kind = tunnelGRE
	switch gre[1] & 7 {
	case 0:
		return w.tunnelGRE0(gre, in)
	case 1:
		return w.tunnelPPTP(gre, in)
	}
	return false
}

// tunnelFind tells whether the packet carries another, and how, by the word of its
// headers. IP in IP always is looked into, and is no tunnel by nfstream's count.
func (w *walk) tunnelFind(in *inner) bool {
	if w.n.fragment {
		return false
	}
	switch w.n.protocol {
	case protocolIPIP:
		in.etherType = etherTypeIPv4
		return true
	case protocolIPv6:
		in.etherType = etherTypeIPv6
		return true
	case protocolGRE:
		return w.decodeTunnels && w.tunnelGRE(in)
	case protocolUDP:
		return w.decodeTunnels && w.tunnelUDP(in)
	}
	return false
}
