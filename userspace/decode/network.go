package decode

import "github.com/weirflow/weir/bpf"

// The network layer leaves the cursor behind the IP headers.

const (
	extensionHopByHop    = 0
	extensionRouting     = 43
	extensionFragment    = 44
	extensionDestination = 60
	extensionMobility    = 135
)

func (w *walk) decodeIP() bpf.Status {
	w.p.L3Offset = w.off
	if w.etherType == etherTypeIPv4 {
		return w.decodeIPv4()
	}
	return w.decodeIPv6()
}

func (w *walk) decodeIPv4() bpf.Status {
	ip := w.header(0, 20)
	if ip == nil {
		return statusIPTruncated
	}
	size := uint32(ip[0]&0xf) * 4
	total := uint32(read16(ip[2:]))
	// segmentation offload leaves the total length to the hardware
	if total == 0 {
		total = w.frameOctets - w.off
	}
	if ip[0]>>4 != 4 || size < 20 || total < size {
		return statusIPMalformed
	}
	if w.header(size-1, 1) == nil {
		return statusIPTruncated
	}
	w.n.octets = total
	w.n.l4Octets = total - size
	w.n.fragment = read16(ip[6:])&0x1fff != 0
	w.n.protocol = ip[9]
	w.n.version = 4
	w.n.src.set4(ip[12:])
	w.n.dst.set4(ip[16:])
	w.off += size
	return statusOK
}

func (w *walk) decodeIPv6() bpf.Status {
	ip := w.header(0, 40)
	if ip == nil {
		return statusIPTruncated
	}
	if ip[0]>>4 != 6 {
		return statusIPMalformed
	}
	payload := uint32(read16(ip[4:]))
	// a jumbogram, or segmentation offload
	if payload == 0 && w.frameOctets > w.off+40 {
		payload = w.frameOctets - w.off - 40
	}
	w.n.octets = payload + 40
	w.n.l4Octets = payload
	w.n.fragment = false
	w.n.protocol = ip[6]
	w.n.version = 6
	w.n.src.set6(ip[8:])
	w.n.dst.set6(ip[24:])
	w.off += 40
	return statusOK
}

func isExtension(protocol uint8) bool {
	switch protocol {
	case extensionHopByHop, extensionRouting, extensionFragment, extensionDestination, extensionMobility:
		return true
	}
	return false
}

// decodeExtensions steps over IPv6 extension headers. A fragment header with an
// offset ends the chain: what follows is the middle of a packet.
func (w *walk) decodeExtensions() bpf.Status {
	for range extensionsMax {
		if !isExtension(w.n.protocol) || w.n.fragment {
			return statusOK
		}
		ext := w.header(0, 8)
		if ext == nil {
			return statusIPTruncated
		}
		size := (uint32(ext[1]) + 1) * 8
		if w.n.protocol == extensionFragment {
			size = 8
			w.n.fragment = read16(ext[2:])&0xfff8 != 0
		}
		if size > w.n.l4Octets {
			return statusIPMalformed
		}
		w.n.protocol = ext[0]
		w.n.l4Octets -= size
		w.off += size
	}
	if isExtension(w.n.protocol) && !w.n.fragment {
		return statusExtensionDepth
	}
	return statusOK
}
