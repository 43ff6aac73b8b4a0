package userspace

import (
	"time"

	"github.com/weirflow/weir/bpf"
)

// This file is bpf/record.h in Go, held equal to it by test: whoever changes one
// changes the other. There a record is in one piece, here in parts.

// rules is the part of the configuration that records are kept by.
type rules struct {
	idleNs   uint64
	activeNs uint64
	graceNs  uint64 // of ended TCP connections; 0: they do not end
	splt     uint64
	layout
}

func newRules(c *Config) rules {
	u := rules{
		idleNs:   uint64(c.IdleTimeout),
		activeNs: uint64(c.ActiveTimeout),
		splt:     uint64(c.SPLT),
		layout:   newLayout(c),
	}
	if c.TCPEnd {
		u.graceNs = uint64(bpf.TCPGrace)
	}
	return u
}

// reached compares by the sign of the difference: an older packet never expires
// anything.
func reached(now, since, timeout uint64) bool { return int64(now-since) >= int64(timeout) }

const nsPerMs = uint64(time.Millisecond)

// timedOut is the same from the start of since's millisecond, as the reference,
// which cuts times to milliseconds, counts it.
func timedOut(now, since, timeout uint64) bool { return reached(now, since-since%nsPerMs, timeout) }

// ended says whether the flow is of a TCP connection that has come to its end.
func (u *rules) ended(tcpEnd uint8) bool { return u.graceNs > 0 && tcpEnd&tcpEndReached != 0 }

// over says why the record would have to be closed at nowNs even without a
// packet: idle, or a TCP connection past its end and the grace after it. Where
// both are so, what came first is the reason, whenever somebody looks.
func (u *rules) over(c *core, nowNs uint64) bpf.EndReason {
	return u.overIdle(c, nowNs, reached(nowNs, c.lastNs(), u.idleNs))
}

// overIdle is over where it is known whether the record is idle.
func (u *rules) overIdle(c *core, nowNs uint64, idle bool) bpf.EndReason {
	switch {
	case u.ended(c.tcpEnd) && reached(nowNs, c.endedNs, u.graceNs) && reached(c.lastNs(), c.endedNs, u.graceNs-u.idleNs):
		return bpf.WeirFlowEndReasonEND_OF_FLOW
	case idle:
		return bpf.WeirFlowEndReasonEND_IDLE
	}
	return bpf.WeirFlowEndReasonEND_NONE
}

// expired says why the packet may not go into the record any more; END_NONE if it
// may. Idle is tested before active, as the reference does. A connection past its
// end is not split.
func (u *rules) expired(c *core, p *bpf.Packet) bpf.EndReason {
	if reason := u.overIdle(c, p.TimeNs, timedOut(p.TimeNs, c.lastNs(), u.idleNs)); reason != bpf.WeirFlowEndReasonEND_NONE {
		return reason
	}
	split := timedOut(p.TimeNs, c.firstNs(), u.activeNs)
	switch {
	case u.ended(c.tcpEnd) && (split || tcpReopens(c, p)):
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

// open starts a new flow, whose direction is that of its first packet.
func (u *rules) open(c *core, p *bpf.Packet, flowID uint64) {
	*c = core{
		key:      p.Key,
		flowID:   flowID,
		srcEnd:   p.SrcEnd,
		icmpType: p.IcmpType,
		icmpCode: p.IcmpCode,
		mac:      p.Mac,

		outerAddr:      p.OuterAddr,
		outerIPVersion: p.OuterIpVersion,
		tunnelKey:      p.TunnelKey,
	}
	u.clear(c)
	if t := u.tcpOf(c); t != nil {
		*t = tcpStatistics{}
	}
}

// split starts the next part of a flow whose active timeout is over: who it is
// stays, what was counted goes.
func (u *rules) split(c *core) {
	c.part++
	c.dir = [2]coreDirection{}
	c.fragments = 0
	c.endReason = 0
	u.clear(c)
	if t := u.tcpOf(c); t != nil {
		t.dir = [2]bpf.TCPDirection{clearTCP(t.dir[0]), clearTCP(t.dir[1])}
	}
}

// clear empties the parts of which nothing outlives a split.
func (u *rules) clear(c *core) {
	if s := u.statisticsOf(c); s != nil {
		*s = statistics{}
	}
	if v := u.vectorsOf(c); v != nil {
		*v = vectors{}
	}
	if ip := u.ipOf(c); ip != nil {
		*ip = ipStatistics{}
	}
}

// update accounts the packet, and says whether it is older than the flow's
// latest.
func (u *rules) update(c *core, p *bpf.Packet) bool {
	direction := (p.SrcEnd ^ c.srcEnd) & 1
	nowUs := p.TimeNs / uint64(time.Microsecond)
	number := c.packets()
	lastNs := c.lastNs()
	regression := p.TimeNs < lastNs
	var gap uint64
	if number > 0 {
		gap = gapSince(lastNs/1000, nowUs)
	}
	if number < u.splt {
		u.vectorsOf(c).set(number, p, gap, direction)
	}
	c.fragments += uint64(p.Fragment)
	if s := u.statisticsOf(c); s != nil {
		if regression {
			s.regressions++
		}
		if number > 0 {
			s.gaps.add(gap, number == 1)
		}
		s.dir[direction].update(&c.dir[direction], p, nowUs)
	}
	c.dir[direction].update(p)
	if ip := u.ipOf(c); ip != nil {
		updateIP(&ip[direction], p, c.dir[direction].packets == 1)
	}
	if p.TcpFlags != 0 {
		u.updateTCP(c, p, direction)
	}
	return regression
}

func (v *vectors) set(number uint64, p *bpf.Packet, gap uint64, direction uint8) {
	v.size[number] = p.Octets
	v.iatUs[number] = uint32(gap)
	v.direction |= uint32(direction) << number
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

// add is told whether the gap is the first.
func (g *gaps) add(gap uint64, first bool) {
	g.sum += gap
	g.squares += gap * gap
	gapRange(&g.least, &g.most, gap, first)
}

// gapRange compares before it cuts to 32 bits, as C does.
func gapRange(least, most *uint32, gap uint64, first bool) {
	if gap > uint64(*most) {
		*most = uint32(gap)
	}
	if first || gap < uint64(*least) {
		*least = uint32(gap)
	}
}

func (d *coreDirection) update(p *bpf.Packet) {
	if d.packets == 0 {
		d.firstNs = p.TimeNs
	} else {
		d.firstNs = min(d.firstNs, p.TimeNs)
	}
	d.packets++
	d.octets += uint64(p.Octets)
	d.lastNs = max(d.lastNs, p.TimeNs)
}

// update is for a packet that is not counted yet.
func (d *directionStatistics) update(counted *coreDirection, p *bpf.Packet, nowUs uint64) {
	if counted.packets > 0 {
		d.gaps.add(gapSince(counted.lastUs(), nowUs), counted.packets == 1)
	}
	d.sizeSq += uint64(p.Octets) * uint64(p.Octets)
	d.sizeMax = max(d.sizeMax, p.Octets)
	if counted.packets == 0 || p.Octets < d.sizeMin {
		d.sizeMin = p.Octets
	}
	if p.TcpFlags == 0 {
		return
	}
	for bit := range d.flags {
		d.flags[bit] += uint64(p.TcpFlags >> bit & 1)
	}
}
