package main

import (
	"encoding/binary"
	"math"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/userspace"
)

const (
	linkEthernet = 1
	linkIPv4     = 228
	linkIPv6     = 229
	linkSLL2     = 276
)

// leastFrame is what the reference wants a frame to have behind an Ethernet
// header of 14 octets: 28 more.
const leastFrame = 42

// facts is what of a capture the rules go by, read off its frames.
type facts struct {
	linkTypes    map[uint32]bool
	shortest     int  // frame
	cut          bool // some frame was not captured whole
	regressed    bool // some frame is older than the one before
	unknownTypes bool // some Ethertype, or link type, says that this is no such IP
	// malformed is how many packets were ignored for headers that lie, break
	// off, or nest deeper than weir follows.
	malformed uint64
}

func newFacts() facts { return facts{linkTypes: map[uint32]bool{}, shortest: math.MaxInt} }

// watching hands packets through and gathers facts.
type watching struct {
	userspace.PacketSource
	facts  *facts
	latest uint64
}

func (w *watching) ReadPacket(p *userspace.CapturedPacket) error {
	if err := w.PacketSource.ReadPacket(p); err != nil {
		return err
	}
	f := w.facts
	f.linkTypes[p.LinkType] = true
	f.shortest = min(f.shortest, len(p.Data))
	f.cut = f.cut || int(p.Length) > len(p.Data)
	f.regressed = f.regressed || p.TimeNs < w.latest
	w.latest = max(w.latest, p.TimeNs)
	if p.LinkType == linkIPv4 || p.LinkType == linkIPv6 {
		version := map[uint32]byte{linkIPv4: 4, linkIPv6: 6}[p.LinkType]
		f.unknownTypes = f.unknownTypes || len(p.Data) > 0 && p.Data[0]>>4 != version
	}
	if p.LinkType == linkEthernet && len(p.Data) >= 14 {
		switch t := binary.BigEndian.Uint16(p.Data[12:]); {
		case t < 0x600, t == 0x0800, t == 0x86dd, t == 0x8100, t == 0x88a8, t == 0x9100, t == 0x8847, t == 0x8848, t == 0x8864:
		default:
			f.unknownTypes = true
		}
	}
	return nil
}

// malformedStatuses are those of facts.malformed.
var malformedStatuses = []bpf.Status{
	bpf.WeirDecodeStatusSTATUS_VLAN_DEPTH, bpf.WeirDecodeStatusSTATUS_MPLS_DEPTH, bpf.WeirDecodeStatusSTATUS_EXTENSION_DEPTH,
	bpf.WeirDecodeStatusSTATUS_IP_TRUNCATED, bpf.WeirDecodeStatusSTATUS_IP_MALFORMED,
	bpf.WeirDecodeStatusSTATUS_TRANSPORT_TRUNCATED, bpf.WeirDecodeStatusSTATUS_TUNNEL_DEPTH,
}

// ignored takes from the ledger what was not metered.
func (f *facts) ignored(l *userspace.Ledger) {
	for _, s := range malformedStatuses {
		f.malformed += l.Ignored[s].Packets
	}
}
