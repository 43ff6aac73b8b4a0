package userspace

import (
	"unsafe"

	"github.com/weirflow/weir/bpf"
)

// A record is kept in parts, and of those that the configuration leaves out
// nothing: a table of a million flows has a fourth of what whole records take.

// core is the part of every record, and with it what the table needs. What each
// packet touches comes first.
type core struct {
	key            bpf.Key
	dir            [2]coreDirection
	flowID         uint64
	endedNs        uint64
	part           uint32
	tag            uint32 // what its slot has
	srcEnd         uint8
	tcpEnd         uint8
	endReason      uint8
	samples        uint8
	state          sampling
	icmpType       uint8
	icmpCode       uint8
	outerIPVersion uint8
	fragments      uint64
	mac            [2][6]uint8
	tunnelKey      uint32
	outerAddr      [2][16]uint8
	name           uint16 // of the interface, by the meter's numbering
}

// coreDirection has no last_us: where a division by 1,000 is a multiplication, it
// is not worth the memory.
type coreDirection struct {
	packets, octets uint64
	firstNs, lastNs uint64
}

// statistics is the part of Config.Statistics.
type statistics struct {
	regressions uint64
	gaps        gaps // of both directions
	dir         [2]directionStatistics
}

type directionStatistics struct {
	gaps             gaps
	sizeSq           uint64
	sizeMin, sizeMax uint32
	flags            [len(bpf.Direction{}.Flags)]uint64
}

type gaps struct {
	sum, squares uint64
	least, most  uint32
}

// vectors is the part of Config.SPLT.
type vectors struct {
	direction uint32
	size      [bpf.SPLTMax]uint32
	iatUs     [bpf.SPLTMax]uint32
}

// tcpStatistics is the part of Config.TCPStatistics.
type tcpStatistics struct {
	synNs, synAckNs, ackNs uint64
	handshake              uint8
	synAckDirection        uint8
	dir                    [2]bpf.TCPDirection
}

// ipStatistics is the part of Config.IPStatistics.
type ipStatistics [2]bpf.IPDirection

// layout says where behind its core an entry has its other parts, in octets; 0 is
// nowhere: the part is left out.
type layout struct {
	statisticsAt, vectorsAt, tcpAt, ipAt uintptr
	words                                uint32 // of the whole entry
}

func newLayout(c *Config) (l layout) {
	end := unsafe.Sizeof(core{})
	place := func(at *uintptr, wanted bool, octets uintptr) {
		if wanted {
			*at = end
			end += (octets + 7) &^ 7
		}
	}
	place(&l.statisticsAt, c.Statistics, unsafe.Sizeof(statistics{}))
	place(&l.vectorsAt, c.SPLT > 0, unsafe.Sizeof(vectors{}))
	place(&l.tcpAt, c.TCPStatistics, unsafe.Sizeof(tcpStatistics{}))
	place(&l.ipAt, c.IPStatistics, unsafe.Sizeof(ipStatistics{}))
	l.words = uint32((end + 7) / 8)
	return l
}

// part views what an entry has at an offset, nil if that part is left out.
func part[T any](c *core, at uintptr) *T {
	if at == 0 {
		return nil
	}
	return (*T)(unsafe.Add(unsafe.Pointer(c), at))
}

func (l *layout) statisticsOf(c *core) *statistics { return part[statistics](c, l.statisticsAt) }
func (l *layout) vectorsOf(c *core) *vectors       { return part[vectors](c, l.vectorsAt) }
func (l *layout) tcpOf(c *core) *tcpStatistics     { return part[tcpStatistics](c, l.tcpAt) }
func (l *layout) ipOf(c *core) *ipStatistics       { return part[ipStatistics](c, l.ipAt) }

// slabEntries is how many entries are allocated at a time.
const slabEntries = 512

// slab is the memory of some entries. There are no pointers in it, so that the
// garbage collector never looks into records.
type slab []uint64

func (l *layout) newSlab() slab { return make(slab, slabEntries*l.words) }

func (l *layout) coreAt(s slab, n uint32) *core { return (*core)(unsafe.Pointer(&s[n*l.words])) }

// copy copies an entry with all its parts.
func (l *layout) copy(to, from *core) {
	copy(unsafe.Slice((*uint64)(unsafe.Pointer(to)), l.words), unsafe.Slice((*uint64)(unsafe.Pointer(from)), l.words))
}

// record puts the parts together, with zeros for those left out.
func (l *layout) record(r *bpf.Record, c *core) {
	*r = bpf.Record{
		Key: c.key, FlowId: c.flowID, Part: c.part,
		SrcEnd: c.srcEnd, EndReason: c.endReason, IcmpType: c.icmpType, IcmpCode: c.icmpCode,
		Fragments: c.fragments, Mac: c.mac,
		OuterAddr: c.outerAddr, OuterIpVersion: c.outerIPVersion, TunnelKey: c.tunnelKey,
		TcpEnd: c.tcpEnd, EndedNs: c.endedNs,
	}
	for i := range c.dir {
		d := &r.Dir[i]
		d.Packets, d.Octets = c.dir[i].packets, c.dir[i].octets
		d.FirstNs, d.LastNs = c.dir[i].firstNs, c.dir[i].lastNs
	}
	if s := l.statisticsOf(c); s != nil {
		s.record(r)
	}
	if v := l.vectorsOf(c); v != nil {
		r.SpltDirection, r.SpltSize, r.SpltIatUs = v.direction, v.size, v.iatUs
	}
	if t := l.tcpOf(c); t != nil {
		r.Handshake, r.SynAckDirection, r.Tcp = t.handshake, t.synAckDirection, t.dir
		r.SynNs, r.SynAckNs, r.AckNs = t.synNs, t.synAckNs, t.ackNs
	}
	if ip := l.ipOf(c); ip != nil {
		r.Ip = *ip
	}
}

func (s *statistics) record(r *bpf.Record) {
	r.Regressions = s.regressions
	r.IatUs, r.IatSq, r.IatMinUs, r.IatMaxUs = s.gaps.sum, s.gaps.squares, s.gaps.least, s.gaps.most
	for i := range s.dir {
		from, to := &s.dir[i], &r.Dir[i]
		to.IatUs, to.IatSq = from.gaps.sum, from.gaps.squares
		to.IatMinUs, to.IatMaxUs = from.gaps.least, from.gaps.most
		to.SizeSq, to.SizeMin, to.SizeMax = from.sizeSq, from.sizeMin, from.sizeMax
		to.Flags = from.flags
	}
}

// The same as of a whole record.

func (c *core) packets() uint64 { return c.dir[0].packets + c.dir[1].packets }

func (c *core) count() Count { return Count{c.packets(), c.dir[0].octets + c.dir[1].octets} }

func (c *core) firstNs() uint64 {
	if c.dir[1].packets > 0 && (c.dir[0].packets == 0 || c.dir[1].firstNs < c.dir[0].firstNs) {
		return c.dir[1].firstNs
	}
	return c.dir[0].firstNs
}

func (c *core) lastNs() uint64 { return max(c.dir[0].lastNs, c.dir[1].lastNs) }

func (d *coreDirection) lastUs() uint64 { return d.lastNs / 1000 }
