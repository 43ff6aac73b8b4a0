package userspace

import (
	"time"

	"github.com/weirflow/weir/bpf"
)

// This file is bpf/record.h in Go, held equal to it by test: whoever changes one
// changes the other.

// rules is the part of the configuration that records are kept by.
type rules struct {
	idleNs        uint64
	activeNs      uint64
	graceNs       uint64 // of ended TCP connections; 0: they do not end
	statistics    bool
	tcpStatistics bool
	ipStatistics  bool
	splt          uint64
}

func newRules(c *Config) rules {
	u := rules{
		idleNs:        uint64(c.IdleTimeout),
		activeNs:      uint64(c.ActiveTimeout),
		statistics:    c.Statistics,
		tcpStatistics: c.TCPStatistics,
		ipStatistics:  c.IPStatistics,
		splt:          uint64(c.SPLT),
	}
	if c.TCPEnd {
		u.graceNs = uint64(bpf.TCPGrace)
	}
	return u
}

// reached compares by the sign of the difference: an older packet never expires
// anything.
func reached(now, since, timeout uint64) bool { return int64(now-since) >= int64(timeout) }

// ended says whether the record is of a TCP connection that has come to its end.
func (u *rules) ended(r *bpf.Record) bool {
	return u.graceNs > 0 && r.TcpEnd&tcpEndReached != 0
}

// over says why the record would have to be closed at nowNs even without a
// packet: idle, or a TCP connection past its end and the grace after it. Where
// both are so, what came first is the reason, whenever somebody looks.
func (u *rules) over(r *bpf.Record, nowNs uint64) bpf.EndReason {
	lastNs := LastNs(r)
	switch {
	case u.ended(r) && reached(nowNs, r.EndedNs, u.graceNs) && reached(lastNs, r.EndedNs, u.graceNs-u.idleNs):
		return bpf.WeirFlowEndReasonEND_OF_FLOW
	case reached(nowNs, lastNs, u.idleNs):
		return bpf.WeirFlowEndReasonEND_IDLE
	}
	return bpf.WeirFlowEndReasonEND_NONE
}

// expired says why the packet may not go into the record any more; END_NONE if it
// may. Idle is tested before active, as the reference does. A connection past its
// end is not split.
func (u *rules) expired(r *bpf.Record, p *bpf.Packet) bpf.EndReason {
	if reason := u.over(r, p.TimeNs); reason != bpf.WeirFlowEndReasonEND_NONE {
		return reason
	}
	split := reached(p.TimeNs, FirstNs(r), u.activeNs)
	switch {
	case u.ended(r) && (split || tcpReopens(r, p)):
		return bpf.WeirFlowEndReasonEND_OF_FLOW
	case split:
		return bpf.WeirFlowEndReasonEND_ACTIVE
	}
	return bpf.WeirFlowEndReasonEND_NONE
}

func recordPackets(r *bpf.Record) uint64 { return r.Dir[0].Packets + r.Dir[1].Packets }

// recordCount is what the record adds to the ledger.
func recordCount(r *bpf.Record) Count {
	return Count{recordPackets(r), r.Dir[0].Octets + r.Dir[1].Octets}
}

// recordOpen starts a new flow, whose direction is that of its first packet.
func recordOpen(r *bpf.Record, p *bpf.Packet, flowID uint64) {
	*r = bpf.Record{
		Key:      p.Key,
		FlowId:   flowID,
		SrcEnd:   p.SrcEnd,
		IcmpType: p.IcmpType,
		IcmpCode: p.IcmpCode,
		Mac:      p.Mac,

		OuterAddr:      p.OuterAddr,
		OuterIpVersion: p.OuterIpVersion,
		TunnelKey:      p.TunnelKey,
	}
}

// recordContinue starts the next part of a flow that its active timeout has
// split: who it is stays, what was counted goes.
func recordContinue(r *bpf.Record) {
	*r = bpf.Record{
		Key:      r.Key,
		FlowId:   r.FlowId,
		Part:     r.Part + 1,
		SrcEnd:   r.SrcEnd,
		IcmpType: r.IcmpType,
		IcmpCode: r.IcmpCode,
		Mac:      r.Mac,

		OuterAddr:       r.OuterAddr,
		OuterIpVersion:  r.OuterIpVersion,
		TunnelKey:       r.TunnelKey,
		TcpEnd:          r.TcpEnd,
		Handshake:       r.Handshake,
		SynAckDirection: r.SynAckDirection,
		EndedNs:         r.EndedNs,
		SynNs:           r.SynNs,
		SynAckNs:        r.SynAckNs,
		AckNs:           r.AckNs,
		Tcp:             [2]bpf.TCPDirection{clearTCP(r.Tcp[0]), clearTCP(r.Tcp[1])},
	}
}

// update accounts the packet, and says whether it is older than the flow's
// latest.
func (u *rules) update(r *bpf.Record, p *bpf.Packet) bool {
	direction := (p.SrcEnd ^ r.SrcEnd) & 1
	nowUs := p.TimeNs / uint64(time.Microsecond)
	number := recordPackets(r)
	regression := p.TimeNs < LastNs(r)
	var gap uint64
	if number > 0 {
		gap = gapSince(max(r.Dir[0].LastUs, r.Dir[1].LastUs), nowUs)
		if u.statistics {
			r.IatUs += gap
			r.IatSq += gap * gap
			gapRange(&r.IatMinUs, &r.IatMaxUs, gap, number == 1)
		}
	}
	if number < u.splt {
		r.SpltSize[number] = p.Octets
		r.SpltIatUs[number] = uint32(gap)
		r.SpltDirection |= uint32(direction) << number
	}
	r.Fragments += uint64(p.Fragment)
	if regression {
		r.Regressions++
	}
	u.updateDirection(&r.Dir[direction], p, nowUs)
	if u.ipStatistics {
		updateIP(&r.Ip[direction], p, r.Dir[direction].Packets == 1)
	}
	if p.TcpFlags != 0 {
		u.updateTCP(r, p, direction)
	}
	return regression
}

// updateIP is told whether the packet is the direction's first.
func updateIP(d *bpf.IPDirection, p *bpf.Packet, first bool) {
	if first {
		*d = bpf.IPDirection{TtlMin: p.Ttl, TtlMax: p.Ttl, TosMin: p.Tos, TosMax: p.Tos}
		return
	}
	d.TtlMin, d.TtlMax = min(d.TtlMin, p.Ttl), max(d.TtlMax, p.Ttl)
	d.TosMin, d.TosMax = min(d.TosMin, p.Tos), max(d.TosMax, p.Tos)
}

// gapSince is 0 for a packet older than its predecessor.
func gapSince(lastUs, nowUs uint64) uint64 { return max(nowUs, lastUs) - lastUs }

// gapRange compares before it cuts to 32 bits, as C does.
func gapRange(least, most *uint32, gap uint64, first bool) {
	if gap > uint64(*most) {
		*most = uint32(gap)
	}
	if first || gap < uint64(*least) {
		*least = uint32(gap)
	}
}

func (u *rules) updateDirection(d *bpf.Direction, p *bpf.Packet, nowUs uint64) {
	if d.Packets == 0 {
		d.FirstNs = p.TimeNs
	} else {
		d.FirstNs = min(d.FirstNs, p.TimeNs)
		if u.statistics {
			gap := gapSince(d.LastUs, nowUs)
			d.IatUs += gap
			d.IatSq += gap * gap
			gapRange(&d.IatMinUs, &d.IatMaxUs, gap, d.Packets == 1)
		}
	}
	d.Packets++
	d.Octets += uint64(p.Octets)
	d.LastNs = max(d.LastNs, p.TimeNs)
	d.LastUs = max(d.LastUs, nowUs)
	if u.statistics {
		updateSizes(d, p)
	}
}

// updateSizes is for a packet that is counted already.
func updateSizes(d *bpf.Direction, p *bpf.Packet) {
	d.SizeSq += uint64(p.Octets) * uint64(p.Octets)
	d.SizeMax = max(d.SizeMax, p.Octets)
	if d.Packets == 1 || p.Octets < d.SizeMin {
		d.SizeMin = p.Octets
	}
	if p.TcpFlags == 0 {
		return
	}
	for bit := range d.Flags {
		d.Flags[bit] += uint64(p.TcpFlags >> bit & 1)
	}
}
