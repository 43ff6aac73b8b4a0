package userspace

import "github.com/weirflow/weir/bpf"

// A Sample is one of the first packets of a flow, for classification: the
// flow's first packet whatever it holds, then those with payload. Later
// fragments are never sampled.
type Sample struct {
	// FlowID and Part name the record that the packet is counted in:
	// bpf.Record's fields of these names.
	FlowID uint64
	Part   uint32
	// Key is the flow's.
	Key bpf.Key
	// Number counts the record's samples from 0.
	Number uint8
	// Reverse is the packet's direction in the flow.
	Reverse bool
	// BareForward and BareReverse tell that packets without payload, which are
	// not sampled, came that way since the flow's previous sample. Some
	// dissectors take the turns of a conversation by them.
	BareForward, BareReverse bool
	// Protocol is the transport protocol, IPVersion 4 or 6.
	Protocol  uint8
	IPVersion uint8
	// TimeNs is in nanoseconds since the Unix epoch.
	TimeNs uint64
	// WireLength is the length of Packet before it was cut.
	WireLength uint32
	// Packet starts at the (innermost) IP header and goes on to the end of the
	// captured frame, or is cut at the configured number of octets. It is valid
	// during the call only.
	Packet []byte
}

// A SampleFunc receives samples as they are taken, in order, before the flow
// that they belong to is yielded. It runs in the metering loop: it must not
// block for long. A panic of it costs the sample only; Ledger.Panics counts it.
type SampleFunc func(*Sample)

// DPIStopper is told that a flow needs no more samples. Both sources are one;
// it is safe for use by another goroutine, and telling it late or never changes
// nothing but the cost.
type DPIStopper interface {
	StopSamples(flowID uint64, part uint32)
}
