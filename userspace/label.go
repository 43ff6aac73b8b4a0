package userspace

import (
	"net/netip"
	"time"
)

// A Label is what classification says of a flow before the flow has ended: once
// for each flow (each part of one that the active timeout splits) whose
// application was found by then.
type Label struct {
	// FlowID and Part name the record that the flow will be: bpf.Record's fields
	// of these names.
	FlowID uint64
	Part   uint32
	// Source and Destination are those of the flow's first sample; the ports are
	// 0 where the protocol has none.
	Source, Destination netip.AddrPort
	Protocol            uint8
	// Packets are the samples that the label was found by.
	Packets []LabelPacket
	L7      *L7
}

// A LabelPacket is one of the first packets of a flow: the first, and then those
// with payload.
type LabelPacket struct {
	Time    time.Time
	Length  uint32 // from the IP header on
	Reverse bool
}

// Start is the time of the flow's first packet.
func (l *Label) Start() time.Time { return l.Packets[0].Time }

// Time is when the label was known: the time of the last of its packets.
func (l *Label) Time() time.Time { return l.Packets[len(l.Packets)-1].Time }
