package bpf

import "unsafe"

// A Direction is one direction of a biflow (RFC 5103). Sizes are in the accounting
// mode; gaps are as bpf/entry.h has them.
type Direction struct {
	Packets            uint64
	Octets             uint64
	FirstNs, LastNs    uint64 // earliest and latest time; 0 without a packet
	SizeSq             uint64 // Σ size²
	IatUs, IatSq       uint64 // Σ gap, Σ gap²
	SizeMin, SizeMax   uint32
	IatMinUs, IatMaxUs uint32 // of the gaps; 0 before the second packet
	Flags              [len(WeirFlowFlags{}.Dir[0])]uint64
}

// A Record is a flow record. What is of a group is zero unless it was asked for;
// first-N vectors reach to the configured N. There is no padding: records are compared
// as bytes.
type Record struct {
	Key            Key
	FlowId         uint64
	Part           uint32 // 0, and one more with each active split
	SrcEnd         uint8  // which end of the key is the source
	EndReason      uint8
	IcmpType       uint8 // of the first packet
	IcmpCode       uint8
	Fragments      uint64       // later fragments among the packets
	Dir            [2]Direction // forward, reverse
	Mac            [2][6]uint8  // source, destination of the first packet
	TunnelKey      uint32       // of the first packet, whether the key has it or not
	OuterAddr      [2][16]uint8 // source, destination of the first packet's outermost tunnel
	OuterIpVersion uint8        // 0 without one

	TcpEnd          uint8 // with TCPEnd: how far the connection has come
	Handshake       uint8 // with TCPStatistics: the steps that were seen
	SynAckDirection uint8
	SpltDirection   uint32 // with SPLT; bit i: packet i was reverse
	EndedNs         uint64 // when the connection had come to its end
	// The last SYN before the first SYN-ACK, the last SYN-ACK before the ACK that
	// answers it, that ACK; where Handshake says so.
	SynNs, SynAckNs, AckNs uint64
	Tcp                    [2]TCPDirection
	Ip                     [2]IPDirection // with IPStatistics
	Regressions            uint64         // with Statistics: packets older than the flow's latest
	IatUs, IatSq           uint64         // bidirectional gaps
	IatMinUs, IatMaxUs     uint32
	SpltSize               [len(WeirFlowVectors{}.Packets)]uint32
	SpltIatUs              [len(WeirFlowVectors{}.Packets)]uint32 // gap before packet i; 0 for the first
}

// ReadEvent puts a record together from its event in the ring buffer. It says false of
// an event of another size than the layout's. Events are aligned to 8 octets.
func (l *Layout) ReadEvent(r *Record, event []byte) bool {
	o := &l.close
	switch len(event) {
	case l.Event():
	case int(unsafe.Offsetof(WeirRecordEvent{}.Record) + unsafe.Sizeof(WeirFlowWhole{})):
		o = &l.apart
	default:
		return false
	}
	e := (*WeirRecordEvent)(unsafe.Pointer(unsafe.SliceData(event)))
	o.read(r, &e.Record)
	r.EndReason = e.EndReason
	return true
}

// ReadEntry puts together what a value of the flow table, of l.Entry() octets and aligned
// to 8, holds so far. It says whether that is a flow that goes on: it is open, or between
// two parts.
func (l *Layout) ReadEntry(r *Record, value []byte) (goesOn bool) {
	if len(value) != l.Entry() {
		return false
	}
	e := (*WeirFlowEntry)(unsafe.Pointer(unsafe.SliceData(value)))
	l.close.read(r, &e.Record)
	state := WeirEntryState(e.State)
	return state == WeirEntryStateENTRY_OPEN || state == WeirEntryStateENTRY_SPLIT
}

// at views a part of a flow, nil if it is left out.
func at[T any](c *WeirFlowCore, offset uintptr) *T {
	if offset == 0 {
		return nil
	}
	return (*T)(unsafe.Add(unsafe.Pointer(c), offset))
}

func (o *offsets) read(r *Record, c *WeirFlowCore) {
	*r = Record{
		Key: c.Key, FlowId: c.FlowId, Part: c.Part, SrcEnd: c.SrcEnd, IcmpType: c.IcmpType, IcmpCode: c.IcmpCode,
		Fragments: c.Fragments, Mac: c.Mac, TunnelKey: c.TunnelKey, OuterAddr: c.OuterAddr, OuterIpVersion: c.OuterIpVersion,
	}
	for i := range c.Dir {
		from, to := &c.Dir[i], &r.Dir[i]
		to.Packets, to.Octets, to.FirstNs, to.LastNs = from.Packets, from.Octets, from.FirstNs, from.LastNs
	}
	if e := at[WeirFlowEnd](c, o.end); e != nil {
		r.TcpEnd, r.EndedNs = e.TcpEnd, e.EndedNs
	}
	if ip := at[WeirFlowIp](c, o.ip); ip != nil {
		r.Ip = ip.Dir
	}
	if t := at[WeirFlowTcp](c, o.tcp); t != nil {
		r.Handshake, r.SynAckDirection, r.Tcp = t.Handshake, t.SynAckDirection, t.Dir
		r.SynNs, r.SynAckNs, r.AckNs = t.SynNs, t.SynAckNs, t.AckNs
	}
	if s := at[WeirFlowStatistics](c, o.statistics); s != nil {
		s.read(r)
		flags := at[WeirFlowFlags](c, o.flags)
		r.Dir[0].Flags, r.Dir[1].Flags = flags.Dir[0], flags.Dir[1]
	}
	if v := at[WeirFlowVectors](c, o.vectors); v != nil {
		r.SpltDirection = v.Direction
		for i, p := range v.Packets {
			r.SpltSize[i], r.SpltIatUs[i] = p.Size, p.IatUs
		}
	}
}

func (s *WeirFlowStatistics) read(r *Record) {
	r.Regressions, r.IatUs, r.IatSq, r.IatMinUs, r.IatMaxUs = s.Regressions, s.IatUs, s.IatSq, s.IatMinUs, s.IatMaxUs
	for i := range s.Dir {
		from, to := &s.Dir[i], &r.Dir[i]
		to.SizeSq, to.SizeMin, to.SizeMax = from.SizeSq, from.SizeMin, from.SizeMax
		to.IatUs, to.IatSq, to.IatMinUs, to.IatMaxUs = from.IatUs, from.IatSq, from.IatMinUs, from.IatMaxUs
	}
}
