package decode

import "github.com/weirflow/weir/bpf"

// What may stand between link and network: tags, labels, sessions.

const (
	vlanTagsMax   = 4
	vlanTagOctets = 4
	mplsLabelsMax = 8
)

func isVLAN(etherType uint16) bool {
	return etherType == etherTypeVLAN || etherType == etherTypeQinQ || etherType == etherTypeQinQOld
}

// decodeVLANs steps over tags. The first is the outermost; every further one
// becomes the innermost.
func (w *walk) decodeVLANs() bpf.Status {
	for isVLAN(w.etherType) {
		if w.tags >= vlanTagsMax {
			return statusVLANDepth
		}
		tag := w.header(0, 4)
		if tag == nil {
			return statusLinkTruncated
		}
		if w.tags == 1 {
			w.p.Key.VlanOuterId = w.p.Key.VlanId
		}
		w.p.Key.VlanId = read16(tag) & 0xfff
		w.tags++
		w.etherType = read16(tag[2:])
		w.off += 4
	}
	return statusOK
}

// decodeMPLS steps over labels to the bottom of the stack; then comes IP by its
// version nibble.
func (w *walk) decodeMPLS() bpf.Status {
	for range mplsLabelsMax {
		label := w.header(0, 4)
		if label == nil {
			return statusLinkTruncated
		}
		w.off += 4
		if label[2]&1 != 0 {
			return w.decodeRaw()
		}
	}
	return statusMPLSDepth
}

func (w *walk) decodePPPoE() bpf.Status {
	h := w.header(0, 8)
	if h == nil {
		return statusLinkTruncated
	}
	w.etherType = pppEtherType(read16(h[6:]))
	w.off += 8
	if w.etherType == 0 {
		return statusNotIP
	}
	return statusOK
}

// decodeLLC is for 802.3: only SNAP says what it carries.
func (w *walk) decodeLLC() bpf.Status {
	h := w.header(0, 8)
	if h == nil || h[0] != 0xaa && h[1] != 0xaa {
		return statusLLC
	}
	w.etherType = read16(h[6:])
	w.off += 8
	if w.etherType < etherTypeMin {
		return statusLLC
	}
	return statusOK
}

func isIP(etherType uint16) bool { return etherType == etherTypeIPv4 || etherType == etherTypeIPv6 }

// decodeShims goes from the link header to an IP header at the cursor.
func (w *walk) decodeShims() bpf.Status {
	if isIP(w.etherType) {
		return statusOK
	}
	status := w.decodeVLANs()
	if status == statusOK && w.etherType <= ethernetLengthMax {
		status = w.decodeLLC()
	}
	if status == statusOK && w.etherType == etherTypePPPoE {
		status = w.decodePPPoE()
	}
	if status == statusOK && (w.etherType == etherTypeMPLS || w.etherType == etherTypeMPLSMulticast) {
		status = w.decodeMPLS()
	}
	switch {
	case status != statusOK || isIP(w.etherType):
		return status
	case w.etherType == etherTypeARP:
		return statusARP
	}
	return statusNotIP
}
