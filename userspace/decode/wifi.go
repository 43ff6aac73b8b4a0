package decode

import "github.com/weirflow/weir/bpf"

// IEEE 802.11 data frames, as a link layer behind radiotap and inside of tunnels.

const (
	// The first octet of frame control: version 0, type data; the others by bit.
	wifiTypeMask = 0x0f
	wifiData     = 0x08
	wifiNull     = 0x40
	wifiQoS      = 0x80
	// The second octet.
	wifiBothDS    = 0x03
	wifiProtected = 0x40
	wifiOrder     = 0x80
	// Of sequence control, and of QoS control.
	wifiFragmentMask = 0x0f
	wifiAMSDU        = 0x80
	// Up to the sequence control, the last 2; the second and the third address.
	wifiOctets    = 24
	wifiSequence  = 22
	wifiAddresses = 10
	llcSNAPOctets = 8
	llcSNAP       = 0xaa
)

const (
	radiotapPresentTSFT  = 0x01
	radiotapPresentFlags = 0x02
	radiotapPresentMore  = 0x80
	radiotapDataPad      = 0x20
	radiotapBadFCS       = 0x40
	// Words that say what is present: one for each antenna, and one more.
	radiotapWordsMax = 8
)

// A wifiLayout is how the headers are laid out, beyond what the frame itself
// says.
type wifiLayout struct {
	swapped bool // fields of 16 bits may have their octets swapped
	padded  bool // the header is padded to a multiple of 4 octets
}

// wifiHeaders steps over the headers of a data frame, LLC and SNAP included, and
// returns how far that is, skip included. What is encrypted, aggregated, or the
// middle of a frame does not show its packet.
func (w *walk) wifiHeaders(layout wifiLayout, skip uint32) (_ uint32, etherType uint16, status bpf.Status) {
	h := w.header(skip, 2)
	if h == nil {
		return skip, 0, statusLinkTruncated
	}
	control, flags, swap := h[0], h[1], 0
	if layout.swapped && control&wifiTypeMask != wifiData {
		control, flags, swap = h[1], h[0], 1
	}
	if control&(wifiTypeMask|wifiNull) != wifiData || flags&wifiProtected != 0 {
		return skip, 0, statusWiFi
	}
	h = w.header(skip, wifiOctets)
	switch {
	case h == nil:
		return skip, 0, statusLinkTruncated
	case h[wifiSequence+swap]&wifiFragmentMask != 0:
		return skip, 0, statusWiFi
	}
	size := uint32(wifiOctets)
	if flags&wifiBothDS == wifiBothDS {
		size += 6
	}
	if control&wifiQoS != 0 {
		h = w.header(skip+size, 2)
		switch {
		case h == nil:
			return skip, 0, statusLinkTruncated
		case h[swap]&wifiAMSDU != 0:
			return skip, 0, statusWiFi
		case flags&wifiOrder != 0:
			size += 4 // HT control
		}
		size += 2
	}
	if layout.padded {
		size = (size + 3) &^ 3
	}
	return w.llcSNAP(skip + size)
}

// llcSNAP steps over LLC and SNAP.
func (w *walk) llcSNAP(skip uint32) (_ uint32, etherType uint16, status bpf.Status) {
	h := w.header(skip, llcSNAPOctets)
	switch {
	case h == nil:
		return skip, 0, statusLinkTruncated
	case h[0] != llcSNAP || h[1] != llcSNAP:
		return skip, 0, statusLLC
	}
	return skip + llcSNAPOctets, read16(h[6:]), statusOK
}

// wifiMACs takes the transmitter for the source and the third address for the
// destination, whatever the direction, as nfstream does. skip is to the frame.
func (w *walk) wifiMACs(skip uint32) {
	if h := w.header(skip+wifiAddresses, 12); h != nil {
		w.p.Mac = [2][6]uint8{[6]uint8(h), [6]uint8(h[6:])}
	}
}

// radiotapFlags is the octet of flags of a radiotap header (radiotap.org), 0
// without one: it is behind the words of what is present, and a time of 8 octets,
// aligned.
func (w *walk) radiotapFlags(length uint32) uint8 {
	h := w.header(4, 4)
	if h == nil {
		return 0
	}
	at, first, more := uint32(8), h[0], h[3]
	for i := 1; i < radiotapWordsMax && more&radiotapPresentMore != 0; i++ {
		h = w.header(at, 4)
		if h == nil {
			return 0
		}
		more = h[3]
		at += 4
	}
	if first&radiotapPresentFlags == 0 || more&radiotapPresentMore != 0 {
		return 0
	}
	if first&radiotapPresentTSFT != 0 {
		at = (at+7)&^7 + 8
	}
	h = w.header(at, 1)
	if h == nil || at >= length {
		return 0
	}
	return h[0]
}

func (w *walk) decodeRadiotap() bpf.Status {
	h := w.header(0, 8)
	if h == nil {
		return statusLinkTruncated
	}
	length := uint32(h[2]) | uint32(h[3])<<8
	if h[0] != 0 || length < 8 {
		return statusWiFi
	}
	flags := w.radiotapFlags(length)
	if flags&radiotapBadFCS != 0 {
		return statusWiFi
	}
	size, etherType, status := w.wifiHeaders(wifiLayout{padded: flags&radiotapDataPad != 0}, length)
	if status != statusOK {
		return status
	}
	w.wifiMACs(length)
	w.etherType = etherType
	w.off += size
	if etherType < etherTypeMin {
		return statusLLC
	}
	return statusOK
}
