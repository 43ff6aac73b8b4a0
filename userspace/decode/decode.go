// Package decode reads a frame's headers and says what a flow record needs to
// know of it. It is bpf/decode*.h and bpf/key.h in Go, file by file and function
// by function, and is held equal to them by test: whoever changes one changes the
// other.
//
// Decoding is total: every loop has a named bound, every frame ends in a status,
// nothing is allocated.
package decode

import (
	"encoding/binary"

	"github.com/weirflow/weir/bpf"
)

const (
	// Headers of one kind in a row: what real networks use, and then some.
	extensionsMax = 8
	// Headers are followed within the first octets of a frame only, as in the
	// kernel.
	headersMax = 2048
)

const (
	etherTypeIPv4          = 0x0800
	etherTypeARP           = 0x0806
	etherTypeTEB           = 0x6558 // Ethernet inside a tunnel
	etherTypeVLAN          = 0x8100
	etherTypeQinQOld       = 0x9100
	etherTypeQinQ          = 0x88a8
	etherTypeIPv6          = 0x86dd
	etherTypeMPLS          = 0x8847
	etherTypeMPLSMulticast = 0x8848
	etherTypePPPoE         = 0x8864
	// Below this, the field is the length of an 802.3 frame.
	etherTypeMin      = 0x0600
	ethernetLengthMax = 1500
)

const (
	statusOK                 = bpf.WeirDecodeStatusSTATUS_OK
	statusLinkTruncated      = bpf.WeirDecodeStatusSTATUS_LINK_TRUNCATED
	statusLinkType           = bpf.WeirDecodeStatusSTATUS_LINK_TYPE
	statusARP                = bpf.WeirDecodeStatusSTATUS_ARP
	statusLLC                = bpf.WeirDecodeStatusSTATUS_LLC
	statusNotIP              = bpf.WeirDecodeStatusSTATUS_NOT_IP
	statusVLANDepth          = bpf.WeirDecodeStatusSTATUS_VLAN_DEPTH
	statusMPLSDepth          = bpf.WeirDecodeStatusSTATUS_MPLS_DEPTH
	statusExtensionDepth     = bpf.WeirDecodeStatusSTATUS_EXTENSION_DEPTH
	statusIPTruncated        = bpf.WeirDecodeStatusSTATUS_IP_TRUNCATED
	statusIPMalformed        = bpf.WeirDecodeStatusSTATUS_IP_MALFORMED
	statusTransportTruncated = bpf.WeirDecodeStatusSTATUS_TRANSPORT_TRUNCATED
	statusTunnelDepth        = bpf.WeirDecodeStatusSTATUS_TUNNEL_DEPTH
	statusWiFi               = bpf.WeirDecodeStatusSTATUS_WIFI
)

// A Decoder decodes frames. The zero value counts whole frames and looks into
// IP in IP only.
type Decoder struct {
	// Accounting selects which size becomes Packet.Octets.
	Accounting bpf.Accounting
	// DecodeTunnels looks into GRE, GTP-U, CAPWAP, TZSP, L2TP, VXLAN and Geneve.
	DecodeTunnels bool
	// TCPStatistics fills Packet.TcpSeq, TcpWindow and TcpMss.
	TCPStatistics bool
	// IPStatistics fills Packet.Ttl and Tos.
	IPStatistics bool
	// Point becomes Packet.Key.Point.
	Point uint8
}

// Decode fills *p, all but TimeNs, from what was captured of a frame of length
// octets that starts with a header of the given link type (pcap's LINKTYPE_*).
// Where it returns anything but STATUS_OK, the frame is to be ignored for that
// reason and p's content has no meaning.
func (d *Decoder) Decode(data []byte, length, linkType uint32, p *bpf.Packet) bpf.Status {
	*p = bpf.Packet{TimeNs: p.TimeNs, FrameOctets: length}
	w := walk{data: data, p: p, frameOctets: length, decodeTunnels: d.DecodeTunnels}
	status := w.decodeNetwork(linkType)
	if status == statusOK && w.isDeep() {
		status = w.decodeDeep()
	}
	if status == statusOK {
		status = w.decodeTransport()
	}
	if status != statusOK {
		return status
	}
	if d.TCPStatistics && p.TcpFlags != 0 {
		w.decodeTCPStatistics()
	}
	if d.IPStatistics {
		w.decodeIPStatistics()
	}
	if w.n.fragment {
		p.Fragment = 1
	}
	p.Octets = w.accountedOctets(d.Accounting)
	p.Key.Protocol = w.n.protocol
	p.Key.IpVersion = w.n.version
	p.Key.Point = d.Point
	canonical(p, &w.n.src, &w.n.dst)
	return statusOK
}

// A network is what the IP headers said; l4Octets as they claim, captured or
// not.
type network struct {
	src, dst endpoint
	octets   uint32 // IP header and what follows it
	l4Octets uint32 // what follows the IP headers
	protocol uint8
	version  uint8
	fragment bool
}

// A walk is how far decoding is: at off comes what etherType says.
type walk struct {
	data          []byte
	p             *bpf.Packet
	off           uint32
	frameOctets   uint32
	etherType     uint16
	tags          uint8 // VLAN tags seen at all levels
	decodeTunnels bool
	n             network // of the last IP header
}

// header is the next size octets at the cursor plus skip, or nil.
func (w *walk) header(skip, size uint32) []byte {
	off := w.off + skip
	if off > headersMax || uint64(off)+uint64(size) > uint64(len(w.data)) {
		return nil
	}
	return w.data[off : off+size : off+size]
}

// decodeNetwork goes from the link layer to behind the first IP header.
func (w *walk) decodeNetwork(linkType uint32) bpf.Status {
	status := w.decodeLink(linkType)
	if status == statusOK {
		status = w.decodeShims()
	}
	if status == statusOK {
		status = w.decodeIP()
	}
	return status
}

func (w *walk) accountedOctets(mode bpf.Accounting) uint32 {
	switch mode {
	case bpf.WeirAccountingACCOUNTING_IP:
		return w.n.octets
	case bpf.WeirAccountingACCOUNTING_TRANSPORT:
		return w.n.l4Octets
	case bpf.WeirAccountingACCOUNTING_PAYLOAD:
		return w.p.PayloadOctets
	}
	return w.p.FrameOctets
}

func read16(b []byte) uint16 { return binary.BigEndian.Uint16(b) }

func read32(b []byte) uint32 { return binary.BigEndian.Uint32(b) }
