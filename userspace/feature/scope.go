package feature

import (
	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/userspace"
)

// A scope is the packets that a column speaks of: all, or those of one
// direction. Its name begins the column's.
type scope struct {
	name string
	of   string // completes "packets …" in definitions
	dir  int    // enum flow_direction_id, or both
}

const both = -1

var scopes = []scope{
	{"bidirectional", "of both directions", both},
	{"src2dst", "in the first packet's direction", int(bpf.WeirFlowDirectionIdDIR_FORWARD)},
	{"dst2src", "against the first packet's direction", int(bpf.WeirFlowDirectionIdDIR_REVERSE)},
}

func (s scope) firstNs(r *bpf.Record) uint64 {
	if s.dir == both {
		return userspace.FirstNs(r)
	}
	return r.Dir[s.dir].FirstNs
}

func (s scope) lastNs(r *bpf.Record) uint64 {
	if s.dir == both {
		return userspace.LastNs(r)
	}
	return r.Dir[s.dir].LastNs
}

func (s scope) packets(r *bpf.Record) uint64 { return s.sum(r.Dir[0].Packets, r.Dir[1].Packets) }

func (s scope) octets(r *bpf.Record) uint64 { return s.sum(r.Dir[0].Octets, r.Dir[1].Octets) }

func (s scope) flag(r *bpf.Record, bit int) uint64 {
	return s.sum(r.Dir[0].Flags[bit], r.Dir[1].Flags[bit])
}

// sum is a count of the scope, given those of the two directions.
func (s scope) sum(forward, reverse uint64) uint64 {
	if s.dir == both {
		return forward + reverse
	}
	return [2]uint64{forward, reverse}[s.dir]
}

// none is what a definition adds where a flow may have no packet of the scope.
func (s scope) none() string {
	if s.dir == both {
		return ""
	}
	return ", 0 without a packet"
}

// ipfix picks the name of an information element for the scope: whole for both
// directions, else RFC 5103's reading of it, forward as it is and reverse under
// the reverse enterprise number.
func (s scope) ipfix(whole, one string) string {
	switch s.dir {
	case both:
		return whole
	case 0:
		return one
	}
	if one == "" {
		return ""
	}
	return "reverse " + one
}
