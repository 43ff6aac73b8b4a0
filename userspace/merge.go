package userspace

import (
	"math/bits"

	"github.com/weirflow/weir/bpf"
)

// Two records of one flow become one: what was metered in user space while the
// kernel's table had no place for the flow, and what the kernel kept of it. Where
// one follows the other in time the sums, gaps and vectors are those of a single
// meter; what TCP statistics would have to compare across the seam is not known.

// continues says whether both records are to be one: neither the gap between them
// nor their whole length reaches a timeout, the earlier one is not of a connection
// that has ended, and sums of squares stay exact. A single meter would have kept
// them together.
func (u *rules) continues(a, b *bpf.Record) bool {
	if FirstNs(b) < FirstNs(a) {
		a, b = b, a
	}
	last := max(LastNs(a), LastNs(b))
	if _, carry := bits.Add64(a.IatSq, b.IatSq, 0); carry != 0 {
		return false // only of records that overlap: gaps of one meter are fewer
	}
	return !u.ended(a.TcpEnd) && !timedOut(FirstNs(b), LastNs(a), u.idleNs) && !timedOut(last, FirstNs(a), u.activeNs)
}

// merge adds a part that was metered in user space to the kernel's record of the
// same key. Identity, part number and end are the record's; direction and what is
// of the first packet are the earlier one's, unless the record itself continues a
// flow that an active timeout has split.
func (u *rules) merge(record, part *bpf.Record) bpf.Record {
	a, b := *record, *part
	if FirstNs(part) < FirstNs(record) {
		a, b = *part, *record
	}
	lead := a.SrcEnd
	if record.Part > 0 {
		lead = record.SrcEnd
	}
	u.turn(&a, lead)
	u.turn(&b, lead)
	u.append(&a, &b)
	a.FlowId, a.Part, a.EndReason = record.FlowId, record.Part, record.EndReason
	if record.Part > 0 {
		a.Mac, a.IcmpType, a.IcmpCode = record.Mac, record.IcmpType, record.IcmpCode
		a.OuterAddr, a.OuterIpVersion, a.TunnelKey = record.OuterAddr, record.OuterIpVersion, record.TunnelKey
	}
	return a
}

// turn makes an end of the key the record's source.
func (u *rules) turn(r *bpf.Record, srcEnd uint8) {
	if r.SrcEnd == srcEnd {
		return
	}
	r.SrcEnd = srcEnd
	r.Dir[0], r.Dir[1] = r.Dir[1], r.Dir[0]
	r.Tcp[0], r.Tcp[1] = r.Tcp[1], r.Tcp[0]
	r.Ip[0], r.Ip[1] = r.Ip[1], r.Ip[0]
	if r.Handshake&seenSYNACK != 0 {
		r.SynAckDirection ^= 1
	}
	r.TcpEnd = r.TcpEnd&tcpEndReached | r.TcpEnd>>1&1 | r.TcpEnd&1<<1
	r.SpltDirection = ^r.SpltDirection & (1<<min(recordPackets(r), u.splt) - 1)
}

// append adds b, which begins later and has the same source, to a.
func (u *rules) append(a, b *bpf.Record) {
	gap := gapSince(LastNs(a)/1000, FirstNs(b)/1000)
	u.appendVectors(a, b, gap)
	if u.statisticsAt > 0 {
		appendGaps(&a.IatUs, &a.IatSq, &a.IatMinUs, &a.IatMaxUs, recordPackets(a), gap)
		joinGaps(&a.IatUs, &a.IatSq, &a.IatMinUs, &a.IatMaxUs, b.IatUs, b.IatSq, b.IatMinUs, b.IatMaxUs, recordPackets(b))
	}
	appendTCP(a, b)
	for i := range a.Dir {
		appendIP(&a.Ip[i], &b.Ip[i], a.Dir[i].Packets, b.Dir[i].Packets)
		u.appendDirection(&a.Dir[i], &b.Dir[i])
	}
	a.Fragments += b.Fragments
	a.Regressions += b.Regressions
}

func (u *rules) appendVectors(a, b *bpf.Record, gap uint64) {
	n := recordPackets(a)
	for i := uint64(0); i < recordPackets(b) && n+i < u.splt; i++ {
		a.SpltSize[n+i] = b.SpltSize[i]
		a.SpltIatUs[n+i] = b.SpltIatUs[i]
		if i == 0 {
			a.SpltIatUs[n] = uint32(gap)
		}
		a.SpltDirection |= b.SpltDirection >> i & 1 << (n + i)
	}
}

// appendGaps adds the gap behind a record's packets.
func appendGaps(sum, squares *uint64, least, most *uint32, packets, gap uint64) {
	*sum += gap
	*squares += gap * gap
	gapRange(least, most, gap, packets == 1)
}

// joinGaps adds those between the packets of what is appended.
func joinGaps(sum, squares *uint64, least, most *uint32, otherSum, otherSquares uint64, otherLeast, otherMost uint32, packets uint64) {
	if packets < 2 {
		return
	}
	*sum += otherSum
	*squares += otherSquares
	*least, *most = min(*least, otherLeast), max(*most, otherMost)
}

func (u *rules) appendDirection(a, b *bpf.Direction) {
	switch {
	case b.Packets == 0:
		return
	case a.Packets == 0:
		*a = *b
		return
	}
	if u.statisticsAt > 0 {
		gap := gapSince(a.LastNs/1000, b.FirstNs/1000)
		appendGaps(&a.IatUs, &a.IatSq, &a.IatMinUs, &a.IatMaxUs, a.Packets, gap)
		joinGaps(&a.IatUs, &a.IatSq, &a.IatMinUs, &a.IatMaxUs, b.IatUs, b.IatSq, b.IatMinUs, b.IatMaxUs, b.Packets)
	}
	a.Packets += b.Packets
	a.Octets += b.Octets
	a.FirstNs, a.LastNs = min(a.FirstNs, b.FirstNs), max(a.LastNs, b.LastNs)
	a.SizeSq += b.SizeSq
	a.SizeMin, a.SizeMax = min(a.SizeMin, b.SizeMin), max(a.SizeMax, b.SizeMax)
	for i := range a.Flags {
		a.Flags[i] += b.Flags[i]
	}
}

func appendIP(a, b *bpf.IPDirection, packets, more uint64) {
	switch {
	case more == 0:
	case packets == 0:
		*a = *b
	default:
		a.TtlMin, a.TtlMax = min(a.TtlMin, b.TtlMin), max(a.TtlMax, b.TtlMax)
		a.TosMin, a.TosMax = min(a.TosMin, b.TosMin), max(a.TosMax, b.TosMax)
	}
}

func appendTCP(a, b *bpf.Record) {
	appendHandshake(a, b)
	a.TcpEnd |= b.TcpEnd
	a.EndedNs = max(a.EndedNs, b.EndedNs)
	for i := range a.Tcp {
		appendTCPDirection(&a.Tcp[i], &b.Tcp[i])
	}
}

// appendHandshake goes on where a stopped. An ACK in b that answers a SYN-ACK in
// a is not known.
func appendHandshake(a, b *bpf.Record) {
	if a.Handshake&seenACK != 0 {
		return
	}
	if a.Handshake&seenSYNACK == 0 && b.Handshake&seenSYN != 0 {
		a.SynNs = b.SynNs
		a.Handshake |= seenSYN
	}
	if b.Handshake&seenSYNACK != 0 {
		a.SynAckNs, a.SynAckDirection, a.AckNs = b.SynAckNs, b.SynAckDirection, b.AckNs
		a.Handshake |= b.Handshake & (seenSYNACK | seenACK)
	}
}

// appendTCPDirection keeps what is the flow's first of a, and of b the latest.
func appendTCPDirection(a, b *bpf.TCPDirection) {
	joined := *b
	if a.Known&knownNext != 0 {
		if b.Known&knownNext == 0 {
			joined.NextSeq, joined.HoleStart, joined.HoleEnd = a.NextSeq, a.HoleStart, a.HoleEnd
		}
		joined.InitialWindow = a.InitialWindow
	}
	if b.Known&knownSYN == 0 {
		joined.SynSeq = a.SynSeq
	}
	if b.Mss == 0 {
		joined.Mss = a.Mss
	}
	joined.Known |= a.Known
	joined.Retransmitted += a.Retransmitted
	joined.OutOfOrder += a.OutOfOrder
	joined.ZeroWindow += a.ZeroWindow
	*a = joined
}
