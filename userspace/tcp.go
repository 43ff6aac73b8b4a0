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
func (u *rules) updateTCP(r *bpf.Record, p *bpf.Packet, direction uint8) {
	if u.graceNs > 0 {
		updateTCPEnd(r, p, direction)
	}
	if u.tcpStatistics {
		updateHandshake(r, p, direction)
		updateTCPDirection(&r.Tcp[direction], p)
	}
}

func updateTCPEnd(r *bpf.Record, p *bpf.Packet, direction uint8) {
	const both = uint8(bpf.WeirTcpEndTCP_END_FIN_FORWARD | bpf.WeirTcpEndTCP_END_FIN_REVERSE)
	if r.TcpEnd&tcpEndReached != 0 {
		return
	}
	if p.TcpFlags&tcpFIN != 0 {
		r.TcpEnd |= uint8(bpf.WeirTcpEndTCP_END_FIN_FORWARD) << direction
	}
	if p.TcpFlags&tcpRST != 0 || r.TcpEnd == both {
		r.TcpEnd |= tcpEndReached
		r.EndedNs = p.TimeNs
	}
}

// tcpReopens says whether the packet opens another connection where this one has
// come to its end.
func tcpReopens(r *bpf.Record, p *bpf.Packet) bool {
	return r.TcpEnd&tcpEndReached != 0 && p.TcpFlags&(tcpSYN|tcpACK) == tcpSYN
}

func updateHandshake(r *bpf.Record, p *bpf.Packet, direction uint8) {
	if r.AckNs != 0 {
		return
	}
	switch flags := p.TcpFlags & (tcpSYN | tcpACK); {
	case flags == tcpSYN && r.SynAckNs == 0:
		r.SynNs = p.TimeNs
	case flags == tcpSYN|tcpACK:
		r.SynAckNs = p.TimeNs
		r.SynAckDirection = direction
	case flags == tcpACK && r.SynAckNs != 0 && direction != r.SynAckDirection:
		r.AckNs = p.TimeNs
	}
}

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
	if d.Started != 0 {
		updateSequence(d, p)
		return
	}
	d.Started = 1
	d.InitialWindow = p.TcpWindow
	d.NextSeq = p.TcpSeq + sequenceOctets(p)
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
	end := p.TcpSeq + octets
	switch {
	case octets == 0 || isKeepAlive(d, p):
	case !seqBefore(p.TcpSeq, d.NextSeq):
		if p.TcpSeq != d.NextSeq {
			d.HoleStart, d.HoleEnd = d.NextSeq, p.TcpSeq
		}
		d.NextSeq = end
	case seqBefore(d.NextSeq, end):
		d.NextSeq = end
	default:
		updateOldSequence(d, p.TcpSeq, end)
	}
}

// updateOldSequence is for a packet that ends at or before the highest number.
// Holes are filled from their start, as a rule; what is left before a packet that
// is not there is given up.
func updateOldSequence(d *bpf.TCPDirection, seq, end uint32) {
	if !seqBefore(seq, d.HoleEnd) || seqBefore(seq, d.HoleStart) {
		d.Retransmitted++
		return
	}
	d.OutOfOrder++
	if d.HoleStart = d.HoleEnd; seqBefore(end, d.HoleEnd) {
		d.HoleStart = end
	}
}

// clearTCP leaves what is the flow's, where the counters go with its part.
func clearTCP(d bpf.TCPDirection) bpf.TCPDirection {
	d.Retransmitted, d.OutOfOrder, d.ZeroWindow = 0, 0, 0
	return d
}
