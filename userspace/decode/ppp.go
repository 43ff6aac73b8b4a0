package decode

// PPP (RFC 1661, 1662), as a link layer and inside of tunnels.

// pppEtherType turns a PPP protocol number into an Ethertype, 0 if it does not
// carry IP.
func pppEtherType(protocol uint16) uint16 {
	switch protocol {
	case 0x0021:
		return etherTypeIPv4
	case 0x0057:
		return etherTypeIPv6
	case 0x0281, 0x0283:
		return etherTypeMPLS
	}
	return 0
}

// pppHeader steps over address and control octets, which may be left out, and the
// protocol number, whose first octet may be if it is zero. It returns how far
// that is, skip included, and the Ethertype, 0 if no IP follows.
func (w *walk) pppHeader(skip uint32) (uint32, uint16) {
	h := w.header(skip, 4)
	if h == nil {
		return skip, 0
	}
	if h[0] == 0xff && h[1] == 0x03 {
		skip += 2
		h = h[2:]
	}
	if h[0]&1 != 0 {
		return skip + 1, pppEtherType(uint16(h[0]))
	}
	return skip + 2, pppEtherType(read16(h))
}
