package userspace

import "github.com/weirflow/weir/bpf"

// This file is bpf/tcp.h in Go, held equal to it by test: whoever changes one
// changes the other.

const (
	tcpFIN = 0x01
	tcpSYN = 0x02
	tcpRST = 0x04
	tcpACK = 0x10
)

const tcpEndReached = uint8(bpf.WeirTcpEndTCP_END_REACHED)

// updateTCP is for a packet that has a TCP header.
func (u *rules) updateTCP(c *core, p *bpf.Packet, direction uint8) {
	if u.graceNs > 0 {
		updateTCPEnd(c, p, direction)
	}
	if t := u.tcpOf(c); t != nil {
		t.updateHandshake(p, direction)
		updateTCPDirection(&t.dir[direction], p)
	}
}

func updateTCPEnd(c *core, p *bpf.Packet, direction uint8) {
	const both = uint8(bpf.WeirTcpEndTCP_END_FIN_FORWARD | bpf.WeirTcpEndTCP_END_FIN_REVERSE)
	if c.tcpEnd&tcpEndReached != 0 {
		return
	}
	if p.TcpFlags&tcpFIN != 0 {
		c.tcpEnd |= uint8(bpf.WeirTcpEndTCP_END_FIN_FORWARD) << direction
	}
	if p.TcpFlags&tcpRST != 0 || c.tcpEnd == both {
		c.tcpEnd |= tcpEndReached
		c.endedNs = p.TimeNs
	}
}

// tcpReopens says whether the packet opens another connection where this one has
// come to its end. One that is older than the end does not.
func tcpReopens(c *core, p *bpf.Packet) bool {
	return c.tcpEnd&tcpEndReached != 0 && p.TcpFlags&(tcpSYN|tcpACK) == tcpSYN && int64(p.TimeNs-c.endedNs) >= 0
}

const (
	seenSYN    = uint8(bpf.WeirTcpHandshakeTCP_HANDSHAKE_SYN)
	seenSYNACK = uint8(bpf.WeirTcpHandshakeTCP_HANDSHAKE_SYN_ACK)
	seenACK    = uint8(bpf.WeirTcpHandshakeTCP_HANDSHAKE_ACK)
)

func (t *tcpStatistics) updateHandshake(p *bpf.Packet, direction uint8) {
	if t.handshake&seenACK != 0 {
		return
	}
	synAck := t.handshake&seenSYNACK != 0
	switch flags := p.TcpFlags & (tcpSYN | tcpACK | tcpRST); {
	case flags == tcpSYN && !synAck:
		t.handshake |= seenSYN
		t.synNs = p.TimeNs
	case flags == tcpSYN|tcpACK:
		t.handshake |= seenSYNACK
		t.synAckNs = p.TimeNs
		t.synAckDirection = direction
	case flags == tcpACK && synAck && direction != t.synAckDirection:
		t.handshake |= seenACK
		t.ackNs = p.TimeNs
	}
}

const (
	knownNext = uint8(bpf.WeirTcpKnownTCP_KNOWN_NEXT)
	knownSYN  = uint8(bpf.WeirTcpKnownTCP_KNOWN_SYN)
)

// updateTCPDirection leaves RST out: its sequence number and window need not
// mean anything.
func updateTCPDirection(d *bpf.TCPDirection, p *bpf.Packet) {
	if p.TcpFlags&tcpRST != 0 {
		return
	}
	if p.TcpMss != 0 {
		d.Mss = p.TcpMss
	}
	if p.TcpWindow == 0 && p.TcpFlags&(tcpSYN|tcpFIN) == 0 {
		d.ZeroWindow++
	}
	if !tcpBegins(d, p) {
		updateSequence(d, p)
		return
	}
	if d.Known&knownNext == 0 {
		d.InitialWindow = p.TcpWindow
	}
	d.Known |= knownNext
	d.NextSeq = p.TcpSeq + sequenceOctets(p)
	d.HoleStart, d.HoleEnd = d.NextSeq, d.NextSeq
}

// tcpBegins says whether the packet is the direction's first, or begins another
// connection under the same key: a SYN with another number than the one before.
// Then its numbers have nothing to do with those known.
func tcpBegins(d *bpf.TCPDirection, p *bpf.Packet) bool {
	begins := d.Known&knownNext == 0
	if p.TcpFlags&tcpSYN != 0 {
		begins = begins || d.Known&knownSYN == 0 || d.SynSeq != p.TcpSeq
		d.SynSeq = p.TcpSeq
		d.Known |= knownSYN
	}
	return begins
}

// seqBefore compares sequence numbers, which wrap (RFC 9293 section 3.4).
func seqBefore(a, b uint32) bool { return int32(a-b) < 0 }

// sequenceOctets is what of the packet is in the sequence space.
func sequenceOctets(p *bpf.Packet) uint32 {
	return p.PayloadOctets + uint32(p.TcpFlags>>1&1) + uint32(p.TcpFlags&1)
}

// isKeepAlive is for one octet just below the highest number: a probe, no
// retransmission.
func isKeepAlive(d *bpf.TCPDirection, p *bpf.Packet) bool {
	return p.PayloadOctets == 1 && p.TcpFlags&(tcpSYN|tcpFIN) == 0 && p.TcpSeq+1 == d.NextSeq
}

func updateSequence(d *bpf.TCPDirection, p *bpf.Packet) {
	octets := sequenceOctets(p)
	switch end := p.TcpSeq + octets; {
	case octets == 0 || isKeepAlive(d, p):
	case seqBefore(p.TcpSeq, d.NextSeq):
		updateOldSequence(d, p.TcpSeq, end)
	default:
		updateNewSequence(d, p.TcpSeq, end)
	}
}

// tcpHoleAge is how far the numbers go on before a hole is forgotten: they come
// round.
const tcpHoleAge = 1 << 30

// updateNewSequence is for a packet that starts at or behind the highest number:
// what lies between is the new hole.
func updateNewSequence(d *bpf.TCPDirection, seq, end uint32) {
	if seq != d.NextSeq {
		d.HoleStart, d.HoleEnd = d.NextSeq, seq
	}
	d.NextSeq = end
	if end-d.HoleStart > tcpHoleAge {
		d.HoleStart, d.HoleEnd = end, end
	}
}

// updateOldSequence is for a packet that starts below the highest number. A hole
// is filled from its start, as a rule; what is left before a packet that is not
// there is given up.
func updateOldSequence(d *bpf.TCPDirection, seq, end uint32) {
	new := seqBefore(d.NextSeq, end)
	switch {
	case d.HoleStart != d.HoleEnd && seqBefore(seq, d.HoleEnd) && seqBefore(d.HoleStart, end):
		d.OutOfOrder++
		if d.HoleStart = d.HoleEnd; seqBefore(end, d.HoleEnd) {
			d.HoleStart = end
		}
	case !new:
		d.Retransmitted++
	}
	if new {
		d.NextSeq = end
	}
}

// clearTCP leaves what is the flow's, where the counters go with its part.
func clearTCP(d bpf.TCPDirection) bpf.TCPDirection {
	d.Retransmitted, d.OutOfOrder, d.ZeroWindow = 0, 0, 0
	return d
}
