package worker

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/weirflow/weir/userspace"
)

// A Label frame holds the flow, protocol, two ends of 18 octets each, the number
// of packets (8 bits), 13 octets for each of them, and then a verdict's payload.
const (
	endLen         = 18
	labelHeaderLen = flowLen + 1 + 2*endLen + 1
	labelPacketLen = 13
)

// A beginning is what a label tells of a flow beside the verdict.
type beginning struct {
	source, destination netip.AddrPort
	protocol            uint8
	packets             []byte // as in the frame
	announced           bool
}

// note notes a sample of the flow. What it takes is given back when the label is told,
// or will not be.
func (c *Classifier) note(e *entry, s *userspace.Sample) {
	if n := len(c.noted); e.begin.packets == nil && !e.begin.announced && n > 0 {
		e.begin.packets, c.noted = c.noted[n-1], c.noted[:n-1]
	}
	e.begin.note(s)
}

// forgetBeginning gives back what a flow's label was made of.
func (c *Classifier) forgetBeginning(e *entry) {
	if e.begin.packets != nil {
		c.noted = append(c.noted, e.begin.packets[:0])
		e.begin.packets = nil
	}
	e.begin.announced = true
}

// note notes a sample, for the flow's label. The ends are those of the flow, whose
// first sample may go against it: its beginning need not have been sampled.
func (b *beginning) note(s *userspace.Sample) {
	if b.announced {
		return
	}
	if len(b.packets) == 0 {
		seg, _ := splitPacket(s.Packet)
		b.source, b.destination, b.protocol = seg.source, seg.destination, s.Protocol
		if s.Reverse {
			b.source, b.destination = seg.destination, seg.source
		}
	}
	b.packets = binary.LittleEndian.AppendUint64(b.packets, s.TimeNs)
	b.packets = binary.LittleEndian.AppendUint32(b.packets, s.WireLength)
	b.packets = append(b.packets, truth(s.Reverse))
}

// appendLabel appends the body of a Label frame.
func appendLabel(b []byte, ref FlowRef, begin *beginning, verdict []byte) []byte {
	b = append(appendFlow(b, ref), begin.protocol)
	for _, end := range [...]netip.AddrPort{begin.source, begin.destination} {
		// An end that could not be read is all zeros; ParseLabel refuses none.
		a := end.Addr().As16()
		b = binary.LittleEndian.AppendUint16(append(b, a[:]...), end.Port())
	}
	b = append(b, byte(len(begin.packets)/labelPacketLen))
	return append(append(b, begin.packets...), verdict...)
}

// ParseLabel reads a Label frame's body.
func ParseLabel(body []byte) (*userspace.Label, error) {
	if len(body) < labelHeaderLen {
		return nil, &ProtocolError{KindLabel, "no flow in it"}
	}
	ref := flowOf(body)
	l := &userspace.Label{FlowID: ref.FlowID, Part: ref.Part, Protocol: body[flowLen]}
	l.Source, l.Destination = endOf(body[flowLen+1:]), endOf(body[flowLen+1+endLen:])
	n := int(body[labelHeaderLen-1])
	rest := body[labelHeaderLen:]
	if n == 0 || len(rest) < n*labelPacketLen {
		return nil, &ProtocolError{KindLabel, "its packets are not in it"}
	}
	l.Packets = make([]userspace.LabelPacket, n)
	for i := range l.Packets {
		p := rest[i*labelPacketLen:]
		l.Packets[i] = userspace.LabelPacket{
			Time:    time.Unix(0, int64(binary.LittleEndian.Uint64(p))),
			Length:  binary.LittleEndian.Uint32(p[8:]),
			Reverse: p[12] != 0,
		}
	}
	var err error
	l.L7, err = ParseVerdict(rest[n*labelPacketLen:])
	return l, err
}

func endOf(b []byte) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[:16])).Unmap(), binary.LittleEndian.Uint16(b[16:]))
}

// announce keeps the label of a flow whose application has just become known,
// for Label to return.
func (c *Classifier) announce(e *entry) {
	if !c.labels || e.begin.announced {
		return
	}
	if c.details {
		c.module.Report(e.flow, &c.result, &c.found)
		c.early = c.appendLearnt(c.early[:0], e)
	} else {
		c.module.Report(e.flow, &c.result, nil)
		c.early = appendResult(c.early[:0], &c.result)
	}
	c.tell(e, c.early)
}

// tell makes the label out of the verdict.
func (c *Classifier) tell(e *entry, verdict []byte) {
	if !c.labels || e.begin.announced || len(e.begin.packets) == 0 {
		return
	}
	e.begin.announced = true
	c.label = appendLabel(c.label[:0], e.ref, &e.begin, verdict)
	c.forgetBeginning(e)
}

// Label is the body of the Label frame that the last sample gave rise to, if it
// did; it is returned once.
func (c *Classifier) Label() []byte {
	l := c.label
	c.label = c.label[:0]
	return l
}
