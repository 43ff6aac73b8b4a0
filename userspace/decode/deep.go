package decode

import "github.com/weirflow/weir/bpf"

// What most packets do not have: extension headers and tunnels.

const tunnelLevelsMax = 4

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

// decodeDeep goes from behind the first IP header down to behind the last. The
// round after the last level is there to see that it holds no further tunnel.
func (w *walk) decodeDeep() bpf.Status {
	for range tunnelLevelsMax + 1 {
		var in inner
		status := statusOK
		if w.n.version == 6 {
			status = w.decodeExtensions()
		}
		if status != statusOK || !w.tunnelFind(&in) || !w.tunnelEnter(&in) {
			return status
		}
		if status = w.decodeInner(); status != statusOK {
			return status
		}
	}
	return statusTunnelDepth
}

// decodeInner goes from what a tunnel carries to behind its IP header.
func (w *walk) decodeInner() bpf.Status {
	status := statusOK
	if w.etherType == etherTypeTEB {
		status = w.decodeEthernet()
	}
	if status == statusOK {
		status = w.decodeShims()
	}
	if status == statusOK {
		status = w.decodeIP()
	}
	return status
}
