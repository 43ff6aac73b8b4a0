package decode

// Tunnels over UDP, known by their ports. The cursor stands at the UDP header.

const (
	portL2TP   = 1701
	portGTPU   = 2152
	portVXLAN  = 4789
	portCAPWAP = 5247
	portGeneve = 6081
	portTZSP   = 37008
)

const udpOctets = 8

// tunnelVXLAN is for VXLAN (RFC 7348).
func (w *walk) tunnelVXLAN(in *inner) bool {
	h := w.header(udpOctets, 8)
	if h == nil || h[0]&0x08 == 0 {
		return false
	}
	*in = inner{kind: tunnelVXLAN, key: read32(h[4:]) >> 8, skip: udpOctets + 8, frame: innerEthernet}
	return true
}

// tunnelGeneve is for Geneve (RFC 8926); options in units of 4 octets.
func (w *walk) tunnelGeneve(in *inner) bool {
	h := w.header(udpOctets, 8)
	if h == nil || h[0]>>6 != 0 {
		return false
	}
	*in = inner{kind: tunnelGeneve, key: read32(h[4:]) >> 8, skip: udpOctets + 8 + uint32(h[0]&0x3f)*4, etherType: read16(h[2:])}
	if in.etherType == etherTypeTEB {
		in.frame = innerEthernet
	}
	return true
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

// tunnelGTPU is for GTP-U (3GPP TS 29.281): T-PDUs of version 1.
func (w *walk) tunnelGTPU(in *inner) bool {
	h := w.header(udpOctets, 8)
	if h == nil || h[0]>>5 != 1 || h[0]&0x10 == 0 || h[1] != 0xff {
		return false
	}
	*in = inner{kind: tunnelGTP, key: read32(h[4:]), twoKeys: true, skip: udpOctets + 8}
	next := uint8(0)
	if h[0]&7 != 0 {
		field := w.header(in.skip, 4)
		if field == nil {
			return false
		}
		if h[0]&4 != 0 {
			next = field[3]
		}
		in.skip += 4
	}
	var ok bool
	in.skip, ok = w.gtpuExtensions(in.skip, next)
	field := w.header(in.skip, 1)
	if !ok || field == nil {
		return false
	}
	in.etherType = etherTypeIPv6
	if field[0]>>4 == 4 {
		in.etherType = etherTypeIPv4
	}
	return true
}

// tunnelCAPWAP is for CAPWAP data (RFC 5415 section 4.3): 802.3 or 802.11 frames.
// Not DTLS, not keep-alives, and of fragments the first. Cisco's access points
// swap the octets of frame, sequence and QoS control.
func (w *walk) tunnelCAPWAP(in *inner) bool {
	h := w.header(udpOctets, 8)
	if h == nil || h[0] != 0 || h[3]&0x08 != 0 {
		return false
	}
	if h[3]&0x80 != 0 && read16(h[6:])>>3 != 0 {
		return false
	}
	size := uint32(h[1]>>3) * 4
	if size < 8 {
		return false
	}
	*in = inner{kind: tunnelCAPWAP, skip: udpOctets + size, frame: innerEthernet}
	if h[2]&1 == 0 {
		return true
	}
	in.frame = innerWiFiSwapped
	return h[2]>>1&0x1f == 1 // a frame as the binding has it: 1 is 802.11
}

const (
	tzspEthernet = 1
	tzspWiFi     = 18
	tzspPadding  = 0
	tzspEnd      = 1
	tzspTagsMax  = 16
)

// tzspTags steps over the tags, to behind the one that ends them; ok is false if
// none does.
func (w *walk) tzspTags(size uint32) (_ uint32, ok bool) {
	for range tzspTagsMax {
		tag := w.header(size, 1)
		if tag == nil {
			return size, false
		}
		size++
		switch tag[0] {
		case tzspEnd:
			return size, true
		case tzspPadding:
			continue
		}
		tag = w.header(size, 1)
		if tag == nil {
			return size, false
		}
		size += 1 + uint32(tag[0])
	}
	return size, false
}

// tunnelTZSP is for TZSP, version 1: frames received or to be sent.
func (w *walk) tunnelTZSP(in *inner) (ok bool) {
	h := w.header(udpOctets, 4)
	if h == nil || h[0] != 1 || h[1] > 1 {
		return false
	}
	in.kind = tunnelTZSP
	switch read16(h[2:]) {
	case tzspEthernet:
		in.frame = innerEthernet
	case tzspWiFi:
		in.frame = innerWiFi
	default:
		return false
	}
	in.skip, ok = w.tzspTags(udpOctets + 4)
	return ok
}

const (
	l2tpControl  = 0x8000
	l2tpLength   = 0x4000
	l2tpSequence = 0x0800
	l2tpOffset   = 0x0200
)

// tunnelL2TP is for L2TP version 2 (RFC 2661 section 3.1): data messages, which
// carry PPP. Tunnel and session are numbered by the receiver.
func (w *walk) tunnelL2TP(in *inner) bool {
	h := w.header(udpOctets, 2)
	if h == nil {
		return false
	}
	flags := read16(h)
	if flags&l2tpControl != 0 || flags&0xf != 2 {
		return false
	}
	in.skip = udpOctets + 2
	if flags&l2tpLength != 0 {
		in.skip += 2
	}
	h = w.header(in.skip, 4)
	if h == nil {
		return false
	}
	in.key = read32(h)
	in.skip += 4
	if flags&l2tpSequence != 0 {
		in.skip += 4
	}
	if flags&l2tpOffset != 0 {
		h = w.header(in.skip, 2)
		if h == nil {
			return false
		}
		in.skip += 2 + uint32(read16(h))
	}
	in.kind, in.twoKeys, in.frame = tunnelL2TP, true, innerPPP
	return true
}

func isTunnelPort(port uint16) bool {
	switch port {
	case portL2TP, portGTPU, portVXLAN, portCAPWAP, portGeneve, portTZSP:
		return true
	}
	return false
}

// tunnelUDP goes by the port. To VXLAN and Geneve it is the destination's; the
// others answer from it.
func (w *walk) tunnelUDP(in *inner) bool {
	udp := w.header(0, udpOctets)
	if udp == nil || w.n.l4Octets < udpOctets {
		return false
	}
	src, dst := read16(udp), read16(udp[2:])
	switch {
	case dst == portVXLAN:
		return w.tunnelVXLAN(in)
	case dst == portGeneve:
		return w.tunnelGeneve(in)
	case dst == portGTPU || src == portGTPU:
		return w.tunnelGTPU(in)
	case dst == portCAPWAP || src == portCAPWAP:
		return w.tunnelCAPWAP(in)
	case dst == portTZSP || src == portTZSP:
		return w.tunnelTZSP(in)
	case dst == portL2TP || src == portL2TP:
		return w.tunnelL2TP(in)
	}
	return false
}
