package decode

import "github.com/weirflow/weir/bpf"

// Link layers set etherType and step over the link header.

func (w *walk) decodeLink(linkType uint32) bpf.Status {
	switch bpf.LinkType(linkType) {
	case bpf.WeirLinkTypeLINK_ETHERNET:
		return w.decodeEthernet()
	case bpf.WeirLinkTypeLINK_RAW, bpf.WeirLinkTypeLINK_RAW_BSD:
		return w.decodeRaw()
	case bpf.WeirLinkTypeLINK_IPV4:
		w.etherType = etherTypeIPv4
		return statusOK
	case bpf.WeirLinkTypeLINK_IPV6:
		w.etherType = etherTypeIPv6
		return statusOK
	case bpf.WeirLinkTypeLINK_NULL, bpf.WeirLinkTypeLINK_LOOP:
		return w.decodeNull()
	case bpf.WeirLinkTypeLINK_SLL:
		return w.decodeCooked(16, 14)
	case bpf.WeirLinkTypeLINK_SLL2:
		return w.decodeCooked(20, 0)
	case bpf.WeirLinkTypeLINK_PPP, bpf.WeirLinkTypeLINK_PPP_SERIAL, bpf.WeirLinkTypeLINK_C_HDLC:
		return w.decodePPP()
	case bpf.WeirLinkTypeLINK_RADIOTAP:
		return w.decodeRadiotap()
	}
	return statusLinkType
}

func (w *walk) decodeEthernet() bpf.Status {
	eth := w.header(0, 14)
	if eth == nil {
		return statusLinkTruncated
	}
	w.p.Mac[1] = [6]byte(eth)
	w.p.Mac[0] = [6]byte(eth[6:])
	w.etherType = read16(eth[12:])
	w.off += 14
	return statusOK
}

// decodeRaw is for bare IP: the version nibble says which.
func (w *walk) decodeRaw() bpf.Status {
	ip := w.header(0, 1)
	if ip == nil {
		return statusLinkTruncated
	}
	switch ip[0] >> 4 {
	case 4:
		w.etherType = etherTypeIPv4
	case 6:
		w.etherType = etherTypeIPv6
	default:
		return statusNotIP
	}
	return statusOK
}

// decodeNull is for BSD loopback: an address family in the byte order of
// whoever captured. The families of IPv6 are those of the BSDs, macOS and Linux.
func (w *walk) decodeNull() bpf.Status {
	h := w.header(0, 4)
	if h == nil {
		return statusLinkTruncated
	}
	family := read32(h)
	if family > 0xffff {
		family = family>>24 | family>>8&0xff00
	}
	w.off += 4
	switch family {
	case 2:
		w.etherType = etherTypeIPv4
	case 10, 24, 28, 30:
		w.etherType = etherTypeIPv6
	default:
		return statusNotIP
	}
	return statusOK
}

// decodeCooked is for Linux's "any" device: a header of size octets, whose
// Ethertype is found at.
func (w *walk) decodeCooked(size, at uint32) bpf.Status {
	h := w.header(0, size)
	if h == nil {
		return statusLinkTruncated
	}
	w.etherType = read16(h[at:])
	w.off += size
	return statusOK
}

// decodePPP is for PPP, or Cisco HDLC, which capture files mix under each other's
// link type.
func (w *walk) decodePPP() bpf.Status {
	h := w.header(0, 4)
	if h == nil {
		return statusLinkTruncated
	}
	size := uint32(4)
	if h[0] == 0x0f || h[0] == 0x8f {
		w.etherType = read16(h[2:])
		if w.etherType < etherTypeMin {
			w.etherType = 0
		}
	} else {
		size, w.etherType = w.pppHeader(0)
	}
	w.off += size
	if w.etherType == 0 {
		return statusNotIP
	}
	return statusOK
}

// Reads tells whether frames of a link type are read, pcap's LINKTYPE_*; those of
// others are ignored as link_type.
func Reads(linkType uint32) bool {
	return (&walk{p: &bpf.Packet{}}).decodeLink(linkType) != statusLinkType
}
