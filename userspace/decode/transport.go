package decode

import "github.com/weirflow/weir/bpf"

const (
	protocolICMP    = 1
	protocolIPIP    = 4
	protocolTCP     = 6
	protocolUDP     = 17
	protocolDCCP    = 33
	protocolIPv6    = 41
	protocolGRE     = 47
	protocolICMPv6  = 58
	protocolSCTP    = 132
	protocolUDPLite = 136
)

// decodeTransport reads ports, flags and the size of the payload. A packet too
// short for its transport header by its own word, and a later fragment, are
// metered under ports 0.
func (w *walk) decodeTransport() bpf.Status {
	w.n.src.port = 0
	w.n.dst.port = 0
	w.p.PayloadOctets = w.n.l4Octets
	if w.n.fragment {
		return statusOK
	}
	switch w.n.protocol {
	case protocolTCP:
		return w.decodeTCP()
	case protocolUDP:
		w.p.PayloadOctets = less(w.n.l4Octets, 8)
		return w.decodePorts(8)
	case protocolUDPLite:
		return w.decodePorts(8)
	case protocolSCTP, protocolDCCP:
		return w.decodePorts(12)
	case protocolICMP, protocolICMPv6:
		return w.decodeICMP()
	}
	return statusOK
}

// less is a - b, not below 0.
func less(a, b uint32) uint32 { return max(a, b) - b }

func (w *walk) decodeTCP() bpf.Status {
	w.p.PayloadOctets = 0
	if w.n.l4Octets < 20 {
		return statusOK
	}
	tcp := w.header(0, 20)
	if tcp == nil {
		return statusTransportTruncated
	}
	w.n.src.port = read16(tcp)
	w.n.dst.port = read16(tcp[2:])
	w.p.TcpFlags = tcp[13]
	w.p.PayloadOctets = less(w.n.l4Octets, uint32(tcp[12]>>4)*4)
	return statusOK
}

// decodePorts reads the ports in the first 4 of size octets.
func (w *walk) decodePorts(size uint32) bpf.Status {
	if w.n.l4Octets < size {
		return statusOK
	}
	h := w.header(0, size)
	if h == nil {
		return statusTransportTruncated
	}
	w.n.src.port = read16(h)
	w.n.dst.port = read16(h[2:])
	return statusOK
}

func (w *walk) decodeICMP() bpf.Status {
	w.p.PayloadOctets = 0
	if w.n.l4Octets < 8 {
		return statusOK
	}
	icmp := w.header(0, 8)
	if icmp == nil {
		return statusTransportTruncated
	}
	w.p.IcmpType = icmp[0]
	w.p.IcmpCode = icmp[1]
	w.p.PayloadOctets = w.n.l4Octets - 8
	return statusOK
}
