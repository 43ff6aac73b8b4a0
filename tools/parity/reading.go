package main

import (
	"encoding/binary"
	"net/netip"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/userspace"
)

// What the reference makes of a frame, by the description of its decoding: link
// layer, encapsulations, tunnels, sizes. It is here so that a difference can be
// laid to the very frames that the two read differently.

// A tuple is what a flow is known by, whichever way its packets go.
type tuple struct {
	ends     [2]netip.AddrPort // in order
	protocol uint8
	vlan     uint16
	tunnel   uint8
}

func tupleOf(a, b netip.AddrPort, protocol uint8, vlan uint16, tunnel uint8) tuple {
	if b.Compare(a) < 0 {
		a, b = b, a
	}
	return tuple{[2]netip.AddrPort{a, b}, protocol, vlan, tunnel}
}

// A reading is a frame as the reference reads it.
type reading struct {
	metered bool
	tuple   tuple
	source  netip.AddrPort
	at      int    // where the IP header is that the tuple was taken from
	size    uint16 // in the accounting mode
	named   bool   // IP of that version, by an Ethertype
	sound   bool   // its headers agree with each other, and were captured
	sized   bool   // it is of a protocol whose sizes above IP are taken
	// ignored is the rule by which weir may meter the frame all the same.
	ignored rule
}

const (
	etherIPv4   = 0x0800
	etherIPv6   = 0x86dd
	etherVLAN   = 0x8100
	etherMPLS   = 0x8847
	etherMPLS2  = 0x8848
	etherPPPoE  = 0x8864
	protoIPIP   = 4
	protoTCP    = 6
	protoUDP    = 17
	protoIPv6   = 41
	protoICMP   = 1
	protoICMPv6 = 58

	tunnelGTP    = 1
	tunnelCAPWAP = 2
	tunnelTZSP   = 3
)

// A reader walks one frame. What one header leaves set, the next one finds.
type reader struct {
	data       []byte
	length     uint32
	link       uint32
	tunnels    bool
	accounting bpf.Accounting

	off      int // of the IP header
	type_    uint16
	vlan     uint16
	protocol uint8
	fragment uint16
	tunnel   uint8
	v6       bool
	inside   bool // of IP in IP
	guessed  bool // type_ was in no header
	why      rule // the frame is ignored
}

// read tells what the reference makes of a packet.
func read(p *userspace.CapturedPacket, decodeTunnels bool, accounting bpf.Accounting) reading {
	r := &reader{data: p.Data, length: p.Length, link: p.LinkType, tunnels: decodeTunnels, accounting: accounting}
	next := stepIgnore
	if r.linkLayer(0) {
		next = stepFrame
	}
	for next != stepPacket && next != stepIgnore {
		if next == stepFrame && !r.shims() {
			next = stepIgnore
			break
		}
		next = r.network()
	}
	if next == stepPacket {
		if out, ok := r.packet(); ok {
			return out
		}
	}
	if r.tunnel != 0 || r.inside && r.why == linkLayers {
		r.why = tunnels
	}
	return reading{ignored: r.why}
}

// ignore notes why.
func (r *reader) ignore(why rule) bool {
	r.why = why
	return false
}

// u8 and u16 read what was captured, 0 beyond it.
func (r *reader) u8(at int) byte {
	if at < 0 || at >= len(r.data) {
		return 0
	}
	return r.data[at]
}

func (r *reader) u16(at int) uint16 { return uint16(r.u8(at))<<8 | uint16(r.u8(at+1)) }

// linkLayer steps over a link header at the offset. Every frame is to have 28
// octets.
func (r *reader) linkLayer(at int) bool {
	if len(r.data) < at+28 {
		return r.ignore(shortFrames)
	}
	switch r.link {
	case 0:
		r.off, r.type_, r.guessed = at+4, etherIPv6, true
		if binary.BigEndian.Uint32(r.data[at:]) == 2 {
			r.type_ = etherIPv4
		}
	case 1:
		return r.ethernet(at)
	case 50:
		r.off, r.type_ = at+4, r.u16(at+2)
	case 9, 104:
		r.off, r.type_ = at+2, r.u16(at)
		if r.u8(0) == 0x0f || r.u8(0) == 0x8f {
			r.off, r.type_ = at+4, r.u16(at+2)
		}
	case 12, 101:
		r.off = at
		switch r.u8(at) >> 4 {
		case 4:
			r.type_ = etherIPv4
		case 6:
			r.type_ = etherIPv6
		}
	case 113:
		r.off, r.type_ = at+16, r.u16(at+14)
	case 127:
		r.guessed = true // as for where the type is
		return r.radiotap(at)
	case 228:
		r.off, r.type_ = at, etherIPv4
	case 229:
		r.off, r.type_ = at, etherIPv6
	default:
		return r.ignore(linkLayers)
	}
	return true
}

// ethernet takes SNAP's type with its octets swapped; spanning tree is ignored.
func (r *reader) ethernet(at int) bool {
	r.off = at + 14
	t := r.u16(at + 12)
	if t >= 1536 {
		r.type_ = t
	}
	if t == 0 || t > 1500 {
		return true
	}
	switch dsap, ssap := r.u8(r.off), r.u8(r.off+1); {
	case dsap == 0xaa || ssap == 0xaa:
		r.type_ = r.u16(r.off+6)>>8 | r.u16(r.off+6)<<8
		r.off += 8
	case dsap == 0x42 || ssap == 0x42:
		return r.ignore(linkLayers)
	}
	return true
}

// radiotap takes the octet at 16 for flags, whatever is present, and every data
// frame for one with QoS.
func (r *reader) radiotap(at int) bool {
	length := int(r.u8(at+2)) | int(r.u8(at+3))<<8
	if r.u8(at+16)&0x50 == 0x50 || len(r.data) < at+length+24 {
		return r.ignore(linkLayers)
	}
	control, flags := r.u8(at+length), r.u8(at+length+1)
	if control>>2&3 != 2 {
		return r.ignore(linkLayers)
	}
	header := 0
	if ds := flags & 3; ds == 1 || ds == 2 {
		header = 26
	}
	llc := at + length + header
	if len(r.data) < llc+8 {
		return r.ignore(linkLayers)
	}
	if r.u8(llc) == 0xaa {
		r.type_ = r.u16(llc + 6)
	}
	r.off = llc + 8
	return true
}

// shims steps over tags of 0x8100, MPLS labels and PPPoE.
func (r *reader) shims() bool {
	for {
		switch r.type_ {
		case etherVLAN:
			if r.off+4 >= len(r.data) {
				return r.ignore(shortFrames)
			}
			for first := true; first || r.type_ == etherVLAN && r.off+4 < len(r.data); first = false {
				r.vlan = r.u16(r.off) & 0xfff
				r.type_ = r.u16(r.off + 2)
				r.off += 4
			}
			if r.type_ == etherVLAN { // no room for another tag
				return r.ignore(shortFrames)
			}
		case etherMPLS, etherMPLS2:
			if r.off+4 >= len(r.data) {
				return r.ignore(shortFrames)
			}
			bottom := r.u8(r.off+2)&1 != 0
			r.type_, r.guessed = etherIPv4, true
			for r.off += 4; !bottom && r.off+4 < len(r.data); r.off += 4 {
				bottom = r.u8(r.off+2)&1 != 0
			}
		case etherPPPoE:
			r.type_, r.guessed = etherIPv4, true
			r.off += 8
		default:
			return true
		}
	}
}

// A step is what comes after an IP header.
type step int

const (
	stepPacket step = iota // this is the packet
	stepAgain              // another IP header at off
	stepFrame              // another frame, at whose IP header or tag off is
	stepIgnore
)

// network reads an IP header, the version by its first nibble. Fragments and the
// tunnels of IPv4 are looked at under IPv4's Ethertype only.
func (r *reader) network() step {
	if len(r.data) < r.off+20 {
		return r.stop(linkLayers)
	}
	if r.type_ == etherIPv4 {
		r.fragment, r.protocol = r.u16(r.off+6), r.u8(r.off+9)
	}
	switch r.u8(r.off) >> 4 {
	case 4:
		r.v6 = false
		size := int(r.u8(r.off)&0xf) * 4
		if p := r.u8(r.off + 9); (p == protoIPv6 || p == protoIPIP) && size > 0 {
			r.off, r.inside = r.off+size, true
			return stepAgain
		}
		if r.fragment&0x1fff != 0 {
			return r.stop(laterFragments)
		}
		return r.udp(size)
	case 6:
		r.v6 = true
		if len(r.data) < r.off+40 || len(r.data) < r.off+40+int(r.u16(r.off+4)) {
			return r.stop(truncatedIPv6)
		}
		l4, length, protocol, ok := r.extensions()
		if !ok {
			return stepIgnore
		}
		r.protocol = protocol
		if protocol == protoIPv6 || protocol == protoIPIP {
			r.off, r.inside = l4, true
			return stepAgain
		}
		return r.udp(length)
	}
	return r.stop(linkLayers)
}

// stop notes why the frame is ignored.
func (r *reader) stop(why rule) step {
	r.ignore(why)
	return stepIgnore
}

// extensions steps over IPv6 extension headers: where the transport header is,
// how long what is there, and its protocol. Later fragments, no next header and
// what does not fit are ignored.
func (r *reader) extensions() (at, length int, protocol uint8, ok bool) {
	at, length, protocol = r.off+40, int(r.u16(r.off+4)), r.u8(r.off+6)
	for {
		switch protocol {
		case 0, 43, 60, 135:
			size := int(r.u8(at+1))*8 + 8
			if length < 2 || length < size || len(r.data) < at+size {
				return at, length, protocol, r.ignore(truncatedIPv6)
			}
			protocol = r.u8(at)
			at, length = at+size, length-size
		case 44:
			if length < 8 || r.u16(at+2)>>3 != 0 {
				return at, length, protocol, r.ignore(laterFragments)
			}
			protocol = r.u8(at)
			at, length = at+8, length-8
		case 59:
			return at, length, protocol, r.ignore(noNextHeader)
		default:
			return at, length, protocol, true
		}
	}
}

// udp looks into tunnels: behind IPv4's header, or as far behind IPv6's offset as
// its payload is long, which is nowhere.
func (r *reader) udp(skip int) step {
	if !r.tunnels || r.protocol != protoUDP {
		return stepPacket
	}
	at := r.off + skip
	if len(r.data) < at+8 {
		return r.stop(shortFrames)
	}
	ports := [2]uint16{r.u16(at), r.u16(at + 2)}
	has := func(port uint16) bool { return ports[0] == port || ports[1] == port }
	switch at += 8; {
	case has(2152) && at+8 < len(r.data):
		return r.gtp(at)
	case has(37008):
		return r.tzsp(at)
	case has(5247):
		return r.capwap(at)
	}
	return stepPacket
}

func (r *reader) gtp(at int) step {
	flags := r.u8(at)
	if flags>>5 != 1 || r.u8(at+1) != 0xff {
		return stepPacket
	}
	at += 8
	if flags&7 != 0 {
		at += 4
	}
	for more := flags&4 != 0; more && at < len(r.data); more = r.u8(at-1) != 0 {
		size := int(r.u8(at)) * 4
		at += size
		if size == 0 || at >= len(r.data) {
			return stepPacket
		}
	}
	if at >= len(r.data) {
		return stepPacket
	}
	r.tunnel, r.off = tunnelGTP, at
	r.v6 = r.u8(at)>>4 == 6
	if !r.v6 && r.u8(at)>>4 != 4 || r.v6 && len(r.data) < at+40 || len(r.data) < at+20 {
		return stepIgnore // in a tunnel
	}
	return stepPacket
}

// tzsp names the tunnel whatever is inside, and steps over one tag only, by the
// length in it without its head.
func (r *reader) tzsp(at int) step {
	r.tunnel = tunnelTZSP
	if len(r.data) < at+4 {
		return stepIgnore
	}
	if r.u8(at) != 1 || r.u8(at+1) != 0 || r.u16(at+2) != 1 || at+4 >= len(r.data) {
		return stepPacket
	}
	at += 4
	size := 1
	if r.u8(at) > 1 {
		if at+1 >= len(r.data) {
			return stepIgnore
		}
		size = int(r.u8(at + 1))
	}
	if at += size; at >= len(r.data) || !r.linkLayer(at) {
		return stepIgnore
	}
	return stepFrame
}

// capwap takes all that has a CAPWAP header for an 802.11 data frame of 24 octets.
func (r *reader) capwap(at int) step {
	if at+1 >= len(r.data) || r.u8(at)&0xf != 0 {
		return stepPacket
	}
	at += int(r.u8(at+1)&0xf8) / 2
	if at+32 >= len(r.data) {
		return stepPacket
	}
	r.type_, r.off, r.tunnel = r.u16(at+30), at+32, tunnelCAPWAP
	return stepAgain
}

// packet takes the flow's tuple and the size from the last IP header.
func (r *reader) packet() (out reading, ok bool) {
	at, length, protocol, ok := r.transport()
	if !ok {
		return out, false
	}
	out.metered, out.at = true, r.off
	out.named = r.type_ == map[bool]uint16{false: etherIPv4, true: etherIPv6}[r.v6] && !r.guessed && r.tunnel == 0 && !r.inside
	var ports [2]uint16
	if protocol == protoTCP && length >= 20 || protocol == protoUDP && length >= 8 {
		ports = [2]uint16{r.u16(at), r.u16(at + 2)}
	}
	src, dst := r.addresses()
	out.source = netip.AddrPortFrom(src, ports[0])
	out.tuple = tupleOf(out.source, netip.AddrPortFrom(dst, ports[1]), protocol, r.vlan, r.tunnel)
	out.sound = at-r.off >= 20 && at-r.off+length <= len(r.data)-r.off && (r.v6 || at-r.off+length == int(r.u16(r.off+2)))
	out.size, out.sized = r.size(at, length, protocol)
	return out, true
}

func (r *reader) transport() (at, length int, protocol uint8, ok bool) {
	present := len(r.data) - r.off
	if r.v6 {
		if present < 40+int(r.u16(r.off+4)) {
			return 0, 0, 0, r.ignore(truncatedIPv6)
		}
		return r.extensions()
	}
	header, total := int(r.u8(r.off)&0xf)*4, int(r.u16(r.off+2))
	length = int(uint16(total - header))
	switch {
	case present >= 20 && header <= present && header+length <= max(total, present):
		return r.off + header, length, r.u8(r.off + 9), true
	case total == 0:
		return 0, 0, 0, r.ignore(segmentation)
	}
	return 0, 0, 0, r.ignore(malformed)
}

func (r *reader) addresses() (src, dst netip.Addr) {
	if r.v6 {
		src, _ = netip.AddrFromSlice(r.data[r.off+8 : r.off+24])
		dst, _ = netip.AddrFromSlice(r.data[r.off+24 : r.off+40])
		return src, dst
	}
	src, _ = netip.AddrFromSlice(r.data[r.off+12 : r.off+16])
	dst, _ = netip.AddrFromSlice(r.data[r.off+16 : r.off+20])
	return src, dst
}

// size is in 16 bits, without IPv6's header, and nothing above IP but of four
// protocols, of which it is when known.
func (r *reader) size(at, length int, protocol uint8) (octets uint16, known bool) {
	header := map[uint8]int{protoTCP: 20, protoUDP: 8, protoICMP: 0, protoICMPv6: 0}
	least, known := header[protocol]
	known = known && length >= least
	switch r.accounting {
	case bpf.WeirAccountingACCOUNTING_LINK:
		return uint16(r.length), known
	case bpf.WeirAccountingACCOUNTING_IP:
		if r.v6 {
			return r.u16(r.off + 4), known
		}
		return r.u16(r.off + 2), known
	case bpf.WeirAccountingACCOUNTING_TRANSPORT:
		if known {
			return uint16(length), known
		}
	case bpf.WeirAccountingACCOUNTING_PAYLOAD:
		switch {
		case known && protocol == protoTCP:
			return uint16(max(0, length-int(r.u8(at+12)>>4)*4)), known
		case known:
			return uint16(max(0, length-8)), known
		}
	}
	return 0, known
}
