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

const (
	extensionHopByHop    = 0
	extensionRouting     = 43
	extensionFragment    = 44
	extensionDestination = 60
	extensionMobility    = 135
)

// ip leaves the cursor behind the IP header.
func (c *cursor) ip(p *bpf.Packet) bpf.Status {
	p.L3Offset = c.off
	if c.ethertype == ethertypeIPv4 {
		return c.ipv4()
	}
	return c.ipv6()
}

func (c *cursor) ipv4() bpf.Status {
	ip := c.header(0, 20)
	if ip == nil {
		return ipTruncated
	}
	size := uint32(ip[0]&0xf) * 4
	total := uint32(read16(ip[2:]))
	// segmentation offload leaves the total length to the hardware
	if total == 0 {
		total = c.frameOctets - c.off
	}
	if ip[0]>>4 != 4 || size < 20 || total < size {
		return ipMalformed
	}
	if c.header(size-1, 1) == nil {
		return ipTruncated
	}
	c.n = network{
		octets:   total,
		l4Octets: total - size,
		protocol: ip[9],
		version:  4,
		fragment: read16(ip[6:])&0x1fff != 0,
		src:      endpoint4(ip[12:]),
		dst:      endpoint4(ip[16:]),
	}
	c.off += size
	return ok
}

func (c *cursor) ipv6() bpf.Status {
	ip := c.header(0, 40)
	if ip == nil {
		return ipTruncated
	}
	if ip[0]>>4 != 6 {
		return ipMalformed
	}
	payload := uint32(read16(ip[4:]))
	// a jumbogram, or segmentation offload
	if payload == 0 && c.frameOctets > c.off+40 {
		payload = c.frameOctets - c.off - 40
	}
	c.n = network{
		octets:   payload + 40,
		l4Octets: payload,
		protocol: ip[6],
		version:  6,
		src:      endpoint6(ip[8:]),
		dst:      endpoint6(ip[24:]),
	}
	c.off += 40
	return ok
}

func isExtension(protocol uint8) bool {
	switch protocol {
	case extensionHopByHop, extensionRouting, extensionFragment, extensionDestination, extensionMobility:
		return true
	}
	return false
}

// extensions walks IPv6's extension headers. A fragment header with an offset
// ends the chain: what follows is the middle of a packet.
func (c *cursor) extensions() bpf.Status {
	for range extensionsMax {
		if !isExtension(c.n.protocol) || c.n.fragment {
			return ok
		}
		ext := c.header(0, 8)
		if ext == nil {
			return ipTruncated
		}
		size := (uint32(ext[1]) + 1) * 8
		if c.n.protocol == extensionFragment {
			size = 8
			c.n.fragment = read16(ext[2:])&0xfff8 != 0
		}
		if size > c.n.l4Octets {
			return ipMalformed
		}
		c.n.protocol = ext[0]
		c.n.l4Octets -= size
		c.off += size
	}
	if isExtension(c.n.protocol) && !c.n.fragment {
		return extensionDepth
	}
	return ok
}
