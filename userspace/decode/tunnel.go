package decode

import "github.com/weirflow/weir/bpf"

// Tunnels: on success the cursor stands at the inner frame or packet.

const (
	portGTPU   = 2152
	portVXLAN  = 4789
	portGeneve = 6081
)

const (
	tunnelNone   = uint8(bpf.WeirTunnelKindTUNNEL_NONE)
	tunnelGTP    = uint8(bpf.WeirTunnelKindTUNNEL_GTP)
	tunnelVXLAN  = uint8(bpf.WeirTunnelKindTUNNEL_VXLAN)
	tunnelGRE    = uint8(bpf.WeirTunnelKindTUNNEL_GRE)
	tunnelGeneve = uint8(bpf.WeirTunnelKindTUNNEL_GENEVE)
)

// isDeep says whether more than one IP header and a transport header is to be
// read. Most packets have no more, and pay for nothing else.
func (w *walk) isDeep() bool {
	switch {
	case w.n.version == 6 && isExtension(w.n.protocol):
		return true
	case w.n.protocol == protocolIPIP || w.n.protocol == protocolIPv6:
		return true
	case !w.decodeTunnels:
		return false
	case w.n.protocol == protocolGRE:
		return true
	case w.n.protocol != protocolUDP:
		return false
	}
	udp := w.header(0, 4)
	return udp != nil && (isTunnelPort(read16(udp)) || isTunnelPort(read16(udp[2:])))
}

// decodeDeep goes down to the last IP header. The last level is there to see
// that it holds no further tunnel.
func (w *walk) decodeDeep() bpf.Status {
	for range tunnelLevelsMax + 1 {
		if down, status := w.descend(); !down {
			return status
		}
	}
	return statusTunnelDepth
}

// descend steps over the extensions of an IP header, then to the next IP header
// if there is a tunnel: down says so.
func (w *walk) descend() (down bool, status bpf.Status) {
	if w.n.version == 6 {
		status = w.decodeExtensions()
	}
	if status != statusOK || !w.decodeTunnel() {
		return false, status
	}
	if w.etherType == etherTypeTEB {
		status = w.decodeEthernet()
	}
	if status == statusOK {
		status = w.decodeShims()
	}
	if status == statusOK {
		status = w.decodeIP()
	}
	return status == statusOK, status
}

// decodeTunnel says whether the packet carries another that is to be metered
// instead. IP in IP always is, and is no tunnel by nfstream's count.
func (w *walk) decodeTunnel() bool {
	if w.n.fragment {
		return false
	}
	switch w.n.protocol {
	case protocolIPIP:
		return w.tunnelEnter(0, etherTypeIPv4, tunnelNone, 0)
	case protocolIPv6:
		return w.tunnelEnter(0, etherTypeIPv6, tunnelNone, 0)
	case protocolGRE:
		return w.decodeTunnels && w.tunnelGRE()
	case protocolUDP:
		return w.decodeTunnels && w.tunnelUDP()
	}
	return false
}

// tunnelEnter enters what a tunnel header of size octets says that it carries;
// false if that is not there.
func (w *walk) tunnelEnter(size uint32, etherType uint16, kind uint8, key uint32) bool {
	if etherType == etherTypeTEB {
		if !w.peekEthernet(size) {
			return false
		}
	} else if !w.peekIP(size, etherType) {
		return false
	}
	w.off += size
	w.etherType = etherType
	if kind != tunnelNone && w.p.Key.TunnelId == tunnelNone {
		w.p.Key.TunnelId = kind
		w.p.Key.TunnelKey = key
	}
	return true
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

// peekEthernet is the same for an inner Ethernet frame, with tags or without.
func (w *walk) peekEthernet(skip uint32) bool {
	eth := w.header(skip, 14)
	if eth == nil {
		return false
	}
	etherType := read16(eth[12:])
	return isVLAN(etherType) || w.peekIP(skip+14, etherType)
}

// tunnelGRE is for GRE version 0 (RFC 2784, 2890): checksum, key and sequence
// are optional.
func (w *walk) tunnelGRE() bool {
	gre := w.header(0, 4)
	if gre == nil || gre[1]&7 != 0 || gre[0]&0x40 != 0 {
		return false
	}
	size, key := uint32(4), uint32(0)
	if gre[0]&0x80 != 0 {
		size += 4
	}
	if gre[0]&0x20 != 0 {
		field := w.header(size, 4)
		if field == nil {
			return false
		}
		key = read32(field)
		size += 4
	}
	if gre[0]&0x10 != 0 {
		size += 4
	}
	return w.tunnelEnter(size, read16(gre[2:]), tunnelGRE, key)
}

func isTunnelPort(port uint16) bool {
	return port == portVXLAN || port == portGeneve || port == portGTPU
}

func (w *walk) tunnelUDP() bool {
	udp := w.header(0, 8)
	if udp == nil || w.n.l4Octets < 8 {
		return false
	}
	src, dst := read16(udp), read16(udp[2:])
	switch {
	case dst == portVXLAN:
		return w.tunnelVXLAN()
	case dst == portGeneve:
		return w.tunnelGeneve()
	case dst == portGTPU || src == portGTPU:
		return w.tunnelGTPU()
	}
	return false
}

// tunnelVXLAN is for VXLAN (RFC 7348) behind its UDP header.
func (w *walk) tunnelVXLAN() bool {
	h := w.header(8, 8)
	if h == nil || h[0]&0x08 == 0 {
		return false
	}
	return w.tunnelEnter(16, etherTypeTEB, tunnelVXLAN, read32(h[4:])>>8)
}

// tunnelGeneve is for Geneve (RFC 8926) behind its UDP header; options in units
// of 4 octets.
func (w *walk) tunnelGeneve() bool {
	h := w.header(8, 8)
	if h == nil || h[0]>>6 != 0 {
		return false
	}
	size := 16 + uint32(h[0]&0x3f)*4
	return w.tunnelEnter(size, read16(h[2:]), tunnelGeneve, read32(h[4:])>>8)
}

// tunnelGTPU is for GTP-U (3GPP TS 29.281) behind its UDP header: T-PDUs of
// version 1.
func (w *walk) tunnelGTPU() bool {
	h := w.header(8, 8)
	if h == nil || h[0]>>5 != 1 || h[0]&0x10 == 0 || h[1] != 0xff {
		return false
	}
	size, next := uint32(16), uint8(0)
	if h[0]&7 != 0 {
		field := w.header(size, 4)
		if field == nil {
			return false
		}
		if h[0]&4 != 0 {
			next = field[3]
		}
		size += 4
	}
	size, ok := w.gtpuExtensions(size, next)
	field := w.header(size, 1)
	if !ok || field == nil {
		return false
	}
	etherType := uint16(etherTypeIPv6)
	if field[0]>>4 == 4 {
		etherType = etherTypeIPv4
	}
	return w.tunnelEnter(size, etherType, tunnelGTP, read32(h[4:]))
}

// gtpuExtensions steps over up to extensionsMax extension headers, in units of 4
// octets, the last octet of each saying what comes next. ok is false if there
// are more, or one is broken.
func (w *walk) gtpuExtensions(size uint32, next uint8) (_ uint32, ok bool) {
	for range extensionsMax {
		if next == 0 {
			break
		}
		field := w.header(size, 1)
		if field == nil || field[0] == 0 {
			return size, false
		}
		length := uint32(field[0]) * 4
		field = w.header(size+length-1, 1)
		if field == nil {
			return size, false
		}
		next = field[0]
		size += length
	}
	return size, next == 0
}
