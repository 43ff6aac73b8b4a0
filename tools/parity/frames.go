package main

import (
	"math"
	"net/netip"
	"time"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/userspace"
	"github.com/weirflow/weir/userspace/decode"
)

// A frame is one packet of the capture, as both read it.
type frame struct {
	number    int // in the capture, from 1
	timeMs    uint64
	clampedMs uint64 // as the reference has it: no earlier than any packet before
	size      rule   // why the sizes differ
	reading   rule   // why anything else does
	theirs    reading
	metered   bool
	status    bpf.Status // where it is not
	ours      tuple
	octets    uint32
}

// frames are those of a capture that flows are made of, by tuple.
type frames struct {
	decoder  decode.Decoder
	latestMs uint64 // of the packets that the reference has metered
	number   int    // of the last
	theirs   map[tuple][]*frame
	ours     map[tuple][]*frame
}

func newFrames() frames {
	return frames{theirs: map[tuple][]*frame{}, ours: map[tuple][]*frame{}}
}

// watching hands packets through and takes note of how they are read.
type watching struct {
	userspace.PacketSource
	frames *frames
}

func (w *watching) ReadPacket(p *userspace.CapturedPacket) error {
	if err := w.PacketSource.ReadPacket(p); err != nil {
		return err
	}
	w.frames.add(p)
	return nil
}

// add takes note of a packet, and returns what of it and weir's size.
func (f *frames) add(p *userspace.CapturedPacket) (*frame, uint32) {
	var packet bpf.Packet
	status := f.decoder.Decode(p.Data, p.Length, p.LinkType, &packet)
	f.number++
	r := &frame{number: f.number, status: status, timeMs: p.TimeNs / 1e6, theirs: read(p, f.decoder.DecodeTunnels, f.decoder.Accounting), metered: status == bpf.WeirDecodeStatusSTATUS_OK}
	r.clampedMs = max(r.timeMs, f.latestMs)
	if r.metered {
		r.ours = tupleOfPacket(&packet)
		f.ours[r.ours.key()] = append(f.ours[r.ours.key()], r)
	}
	if r.theirs.metered {
		f.latestMs = r.clampedMs
		f.theirs[r.theirs.tuple.key()] = append(f.theirs[r.theirs.tuple.key()], r)
	}
	r.octets = packet.Octets
	d := disagreement{p, &packet, status, &r.theirs, f.decoder.Accounting}
	r.reading, r.size = d.reading(r), d.size()
	return r, packet.Octets
}

// key is what flows of either side are looked up by: ndpiReader does not tell
// tunnels.
func (t tuple) key() tuple {
	t.tunnel = 0
	return t
}

// tupleOfPacket is of what weir has decoded.
func tupleOfPacket(p *bpf.Packet) tuple { return tupleOfKey(&p.Key) }

// tupleOfKey is of a flow of weir's.
func tupleOfKey(k *bpf.Key) tuple {
	var ends [2]netip.AddrPort
	for i := range ends {
		size := 16
		if k.IpVersion == 4 {
			size = 4
		}
		addr, _ := netip.AddrFromSlice(k.Addr[i][:size])
		ends[i] = netip.AddrPortFrom(addr, k.Port[i])
	}
	return tupleOf(ends[0], ends[1], k.Protocol, k.VlanId, k.TunnelId)
}

// tupleOfRow is of a flow, of either side.
func tupleOfRow(r row) tuple {
	end := func(name string) netip.AddrPort {
		text, _ := r[name+"_ip"].(string)
		addr, _ := netip.ParseAddr(text)
		return netip.AddrPortFrom(addr, uint16(number(r, name+"_port")))
	}
	return tupleOf(end("src"), end("dst"), uint8(number(r, "protocol")), uint16(number(r, "vlan_id")), uint8(number(r, "tunnel_id")))
}

// A span is a time, from first to last in ms.
type span struct{ first, last uint64 }

// spanOf is that of a flow; of one that tells no times, all.
func spanOf(r row) span {
	s := span{uint64(number(r, "bidirectional_first_seen_ms")), uint64(number(r, "bidirectional_last_seen_ms"))}
	if s.last == 0 {
		s.last = math.MaxUint64
	}
	return s
}

func (s span) has(f *frame) bool {
	return s.first <= f.timeMs && f.timeMs <= s.last || s.first <= f.clampedMs && f.clampedMs <= s.last
}

// of are the frames that either side reads as a tuple, in a time.
func (f *frames) of(t tuple, s span) (list []*frame) {
	for _, side := range []map[tuple][]*frame{f.theirs, f.ours} {
		for _, x := range side[t.key()] {
			if s.has(x) {
				list = append(list, x)
			}
		}
	}
	return list
}

// around widens a flow's time to what has no gap of the idle timeout in it: where
// one of its parts ends depends on the part before.
func (f *frames) around(t tuple, s span, idle time.Duration) span {
	for {
		wider := span{s.first - min(s.first, uint64(idle.Milliseconds())), s.last}
		if s.last < math.MaxUint64-uint64(idle.Milliseconds()) {
			wider.last += uint64(idle.Milliseconds())
		}
		next := s
		for _, x := range f.of(t, wider) {
			next = span{min(next.first, x.timeMs), max(next.last, x.clampedMs)}
		}
		if next == s {
			return wider
		}
		s = next
	}
}

// A disagreement is one packet, as both sides read it.
type disagreement struct {
	captured   *userspace.CapturedPacket
	packet     *bpf.Packet
	status     bpf.Status
	theirs     *reading
	accounting bpf.Accounting
}

// reading names the rule by which the two read another packet, or none, in the
// same frame.
func (d *disagreement) reading(f *frame) rule {
	switch {
	case !f.metered && !d.theirs.metered:
		return ""
	case !f.metered:
		return d.onlyTheirs()
	case !d.theirs.metered:
		return d.onlyOurs()
	case f.ours == d.theirs.tuple:
		return ""
	}
	return d.other(f)
}

// onlyOurs is for a frame that the reference ignores: read says why.
func (d *disagreement) onlyOurs() rule {
	plain := d.captured.LinkType == 1 && d.packet.OuterIpVersion == 0 && !d.moreLink()
	if plain && d.theirs.ignored == linkLayers {
		return ""
	}
	return d.theirs.ignored
}

// onlyTheirs is for a frame that weir ignores: the status says why, but not of one
// that an Ethertype announces as IP.
func (d *disagreement) onlyTheirs() rule {
	switch d.status {
	case bpf.WeirDecodeStatusSTATUS_WIFI:
		return ethertype
	case bpf.WeirDecodeStatusSTATUS_NOT_IP, bpf.WeirDecodeStatusSTATUS_ARP, bpf.WeirDecodeStatusSTATUS_LLC:
		if d.theirs.named {
			return ""
		}
		return ethertype
	case bpf.WeirDecodeStatusSTATUS_LINK_TYPE:
		return ""
	case bpf.WeirDecodeStatusSTATUS_LINK_TRUNCATED, bpf.WeirDecodeStatusSTATUS_IP_TRUNCATED, bpf.WeirDecodeStatusSTATUS_TRANSPORT_TRUNCATED:
		if d.soundHere() {
			return ""
		}
	case bpf.WeirDecodeStatusSTATUS_IP_MALFORMED:
		switch {
		case d.packet.L3Offset < uint32(len(d.captured.Data)) && !d.versionHolds():
			return ethertype
		case d.soundHere():
			return ""
		}
	}
	return malformed
}

// soundHere tells whether the headers that weir takes for none are whole, and IP by
// an Ethertype.
func (d *disagreement) soundHere() bool {
	return d.theirs.named && d.theirs.sized && d.theirs.sound && int(d.packet.L3Offset) == d.theirs.at
}

// versionHolds tells whether the first nibble is what is read as version by the
// reference.
func (d *disagreement) versionHolds() bool {
	v6 := d.theirs.tuple.ends[0].Addr().Is6()
	return (d.captured.Data[d.packet.L3Offset]>>4 == 6) == v6 && v6 == (d.packet.Key.IpVersion == 6)
}

// moreLink tells whether there is more to the link layer than the reference looks
// for: other tags than 0x8100, PPP's address and control, 802.11 other than with
// QoS.
func (d *disagreement) moreLink() bool {
	p, data := d.packet, d.captured.Data
	switch d.captured.LinkType {
	case 1, 113:
		at := map[uint32]int{1: 12, 113: 14}[d.captured.LinkType]
		for ; at+2 <= int(p.L3Offset); at += 2 {
			if t := uint16(data[at])<<8 | uint16(data[at+1]); t == 0x88a8 || t == 0x9100 {
				return true
			}
		}
		return false
	case 9, 50, 104, 127:
		return true
	}
	return false
}

// other is for a frame that both meter, in flows of their own.
func (d *disagreement) other(f *frame) rule {
	p, theirs := d.packet, d.theirs.tuple
	elsewhere := int(p.L3Offset) != d.theirs.at
	switch {
	case p.Fragment != 0:
		return laterFragments
	case p.OuterIpVersion == 0 && (theirs.tunnel == tunnelGTP || theirs.tunnel == tunnelCAPWAP):
		return ethertype
	case p.Key.TunnelId != theirs.tunnel || p.OuterIpVersion != 0 && elsewhere:
		return tunnels
	case d.moreLink() && elsewhere:
		return linkLayers
	case portsToo[p.Key.Protocol] && p.Key.Protocol == theirs.protocol:
		return morePorts
	case elsewhere && (d.unwraps() || f.ours.ends[0].Addr().Is4() != theirs.ends[0].Addr().Is4()):
		return ethertype
	case d.noLength():
		return segmentation
	}
	return ""
}

// unwraps tells whether the reference takes what the packet carries for another
// packet, whatever it is.
func (d *disagreement) unwraps() bool {
	return d.packet.Key.Protocol == protoIPIP || d.packet.Key.Protocol == protoIPv6
}

// noLength tells whether an IPv6 header says that nothing follows.
func (d *disagreement) noLength() bool {
	length := d.captured.Data[d.packet.L3Offset+4:]
	return d.packet.Key.IpVersion == 6 && length[0]|length[1] == 0
}

// portsToo are the protocols whose ports the reference does not read.
var portsToo = map[uint8]bool{33: true, 132: true, 136: true}

// size names the rule by which the packet's size is another.
func (d *disagreement) size() rule {
	p := d.packet
	size := p.Octets
	switch {
	case d.status != bpf.WeirDecodeStatusSTATUS_OK || !d.theirs.metered || size == uint32(d.theirs.size):
		return ""
	case d.accounting == bpf.WeirAccountingACCOUNTING_IP && p.Key.IpVersion == 6 && size == uint32(d.theirs.size)+40:
		return ipv6Octets
	case d.accounting >= bpf.WeirAccountingACCOUNTING_TRANSPORT && d.theirs.size == 0 && !d.theirs.sized:
		return otherProtocols
	case size > 0xffff && uint16(size) == d.theirs.size:
		return wrappedSize
	case d.noLength():
		return segmentation
	case d.unwraps() && int(p.L3Offset) != d.theirs.at:
		return ethertype
	}
	return ""
}
