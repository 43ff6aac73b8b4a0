// Package bpf holds the metering programs as a loadable object, and the types
// that cross the boundary between them and Go. The types are generated from the
// object's BTF, so that there is one definition of each, in types.h and entry.h; a Record
// is what Go makes of a flow in parts.
package bpf

import (
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// The wire types under the names that the rest of weir uses.
type (
	Key          = WeirFlowKey
	Packet       = WeirPacket
	TCPDirection = WeirTcpDirection
	IPDirection  = WeirIpDirection
	LedgerCount  = WeirLedger
	Sweep        = WeirSweep
	SweepPacket  = WeirSweepPacket
	SweepWalk    = WeirSweepWalk
	DPIDone      = WeirDpiDone
	Progress     = WeirConsumerProgress
	PacketEvent  = WeirPacketEvent
	SampleEvent  = WeirSampleEvent
	Status       = WeirDecodeStatus
	LinkType     = WeirLinkType
	Accounting   = WeirAccounting
	TunnelKind   = WeirTunnelKind
	EndReason    = WeirFlowEndReason
)

// SPLTMax is the number of packets whose direction, size and gap a record can
// hold.
const SPLTMax = len(Record{}.SpltSize)

// TCPGrace is how long a TCP connection that has come to its end still takes
// packets: acknowledgements, and what was under way.
const TCPGrace = 2 * time.Second

// A Point is an observation point: an interface under observation. Index is
// what records carry in Key.Point.
type Point struct {
	Index   uint8
	Name    string
	Ifindex int
}

// Handles is what it takes to read a running meter: descriptors only, so it can
// be handed to a process without privileges. The holder does not own them
// unless it says so.
type Handles struct {
	Events  *ebpf.Map // the ring buffer
	Flows   *ebpf.Map // the flow table, to be read only
	Ledgers *ebpf.Map // counters, one entry an observation point
	// Progress is what a Consumer leaves for the next one; needed only for that.
	Progress *ebpf.Map
	// Sweep closes and deletes, of the keys that it is given; run by test-run, never
	// attached. One run at a time: of two, one could delete what a packet has just put
	// where the other deleted.
	Sweep *ebpf.Program
	// SweepIter does the same of the whole table, as far as it is read, and SweepState is
	// what it is told and tells. It is nil where the programs were loaded without
	// CAP_PERFMON, or the kernel has no BTF: then Sweep does.
	SweepIter  *link.Iter
	SweepState *ebpf.Map
	DPIDone    *ebpf.Program // stops samples of a flow; run by test-run
	Points     []Point
	// Object names the programs that run, as ObjectHash and CopiedObjectHash do; "" if
	// that is not known.
	Object string
}
