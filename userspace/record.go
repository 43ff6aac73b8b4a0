package userspace

import "github.com/weirflow/weir/bpf"

// This file is bpf/record.h in Go. The two are held equal by test.

// rules is the part of the configuration that records are kept by.
type rules struct {
	idleNs     uint64
	activeNs   uint64
	statistics bool
	splt       uint64
	samples    uint8
}

func newRules(c *Config) rules {
	return rules{
		idleNs:     uint64(c.IdleTimeout),
		activeNs:   uint64(c.ActiveTimeout),
		statistics: c.Statistics,
		splt:       uint64(c.SPLT),
		samples:    uint8(c.Samples),
	}
}

// reached compares by the sign of the difference: an older packet never expires
// anything.
func reached(now, since, timeout uint64) bool { return int64(now-since) >= int64(timeout) }

// expired tells why a packet at nowNs may not go into the record any more;
// END_NONE if it may. Idle is tested before active, as the reference does.
func (u *rules) expired(r *bpf.Record, nowNs uint64) bpf.EndReason {
	switch {
	case reached(nowNs, LastNs(r), u.idleNs):
		return bpf.WeirFlowEndReasonEND_IDLE
	case reached(nowNs, FirstNs(r), u.activeNs):
		return bpf.WeirFlowEndReasonEND_ACTIVE
	}
	return bpf.WeirFlowEndReasonEND_NONE
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
	}
}

func recordPackets(r *bpf.Record) uint64 { return r.Dir[0].Packets + r.Dir[1].Packets }

// update accounts the packet, and tells whether it is older than the flow's
// latest.
func (u *rules) update(r *bpf.Record, p *bpf.Packet) bool {
	direction := (p.SrcEnd ^ r.SrcEnd) & 1
	nowUs := p.TimeNs / 1000
	number := recordPackets(r)
	regression := p.TimeNs < LastNs(r)
	var gap uint64
	if number > 0 {
		gap = gapAfter(nowUs, max(r.Dir[0].LastUs, r.Dir[1].LastUs))
		if u.statistics {
			r.IatUs += gap
			r.IatSq += gap * gap
			minMax(&r.IatMinUs, &r.IatMaxUs, uint32(gap), number == 1)
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
	return regression
}

func gapAfter(nowUs, lastUs uint64) uint64 {
	if nowUs > lastUs {
		return nowUs - lastUs
	}
	return 0
}

func minMax(least, most *uint32, v uint32, first bool) {
	if first || v < *least {
		*least = v
	}
	if v > *most {
		*most = v
	}
}

func (u *rules) updateDirection(d *bpf.Direction, p *bpf.Packet, nowUs uint64) {
	if d.Packets == 0 {
		d.FirstNs = p.TimeNs
	} else {
		d.FirstNs = min(d.FirstNs, p.TimeNs)
		if u.statistics {
			gap := gapAfter(nowUs, d.LastUs)
			d.IatUs += gap
			d.IatSq += gap * gap
			minMax(&d.IatMinUs, &d.IatMaxUs, uint32(gap), d.Packets == 1)
		}
	}
	d.Packets++
	d.Octets += uint64(p.Octets)
	d.LastNs = max(d.LastNs, p.TimeNs)
	d.LastUs = max(d.LastUs, nowUs)
	if !u.statistics {
		return
	}
	d.SizeSq += uint64(p.Octets) * uint64(p.Octets)
	minMax(&d.SizeMin, &d.SizeMax, p.Octets, d.Packets == 1)
	if p.TcpFlags != 0 {
		for bit := range d.Flags {
			d.Flags[bit] += uint64(p.TcpFlags >> bit & 1)
		}
	}
}
