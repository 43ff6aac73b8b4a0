package userspace

import (
	"net/netip"
	"time"

	"github.com/weirflow/weir/bpf"
)

// A Flow is one closed flow record. A Source hands out the same Flow again and
// again: it is valid until the next iteration; Clone keeps it.
type Flow struct {
	// Record is the record as the meter kept it. Its times are nanoseconds
	// since the Unix epoch, in the live case already converted.
	Record bpf.Record
	// Interface names the observation point; empty for a file that names none.
	Interface string
	// L7 is what classification learned, nil where it did not run.
	L7 *L7
}

// Clone copies the flow, so that the copy stays valid after the iteration.
func (f *Flow) Clone() *Flow {
	c := *f
	return &c
}

// Source is the address that sent the flow's first packet.
func (f *Flow) Source() netip.Addr { return endAddr(&f.Record.Key, f.Record.SrcEnd) }

// Destination is the address that the flow's first packet was sent to.
func (f *Flow) Destination() netip.Addr { return endAddr(&f.Record.Key, f.Record.SrcEnd^1) }

// SourcePort is the source port of the flow's first packet; 0 where the
// protocol has none.
func (f *Flow) SourcePort() uint16 { return f.Record.Key.Port[f.Record.SrcEnd&1] }

// DestinationPort is the destination port of the flow's first packet.
func (f *Flow) DestinationPort() uint16 { return f.Record.Key.Port[f.Record.SrcEnd&1^1] }

// Start is flowStartNanoseconds (IPFIX 156): the earliest packet's time.
func (f *Flow) Start() time.Time { return time.Unix(0, int64(FirstNs(&f.Record))) }

// End is flowEndNanoseconds (IPFIX 157): the latest packet's time.
func (f *Flow) End() time.Time { return time.Unix(0, int64(LastNs(&f.Record))) }

// EndReason is flowEndReason (IPFIX 136).
func (f *Flow) EndReason() bpf.EndReason { return bpf.EndReason(f.Record.EndReason) }

// Packets counts the flow's packets in both directions.
func (f *Flow) Packets() uint64 { return f.Record.Dir[0].Packets + f.Record.Dir[1].Packets }

// Octets counts the flow's octets in both directions, in the accounting mode.
func (f *Flow) Octets() uint64 { return f.Record.Dir[0].Octets + f.Record.Dir[1].Octets }

// FirstNs is the earliest time in the record, of either direction.
func FirstNs(r *bpf.Record) uint64 {
	if r.Dir[1].Packets > 0 && (r.Dir[0].Packets == 0 || r.Dir[1].FirstNs < r.Dir[0].FirstNs) {
		return r.Dir[1].FirstNs
	}
	return r.Dir[0].FirstNs
}

// LastNs is the latest time in the record, of either direction.
func LastNs(r *bpf.Record) uint64 { return max(r.Dir[0].LastNs, r.Dir[1].LastNs) }

func endAddr(k *bpf.Key, end uint8) netip.Addr {
	a := &k.Addr[end&1]
	if k.IpVersion == 4 {
		return netip.AddrFrom4([4]byte(a[:4]))
	}
	return netip.AddrFrom16(*a)
}
