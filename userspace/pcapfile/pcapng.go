package pcapfile

import (
	"encoding/binary"

	"github.com/weirflow/weir/userspace"
)

// The block types that are read (draft-ietf-opsawg-pcapng section 11.1).
const (
	blockSection   = 0x0a0d0d0a // the same in either byte order
	blockInterface = 1
	blockPacket    = 2 // obsolete
	blockSimple    = 3
	blockEnhanced  = 6
)

const (
	byteOrderMagic = 0x1a2b3c4d

	blockHeaderLength  = 8 // type and total length
	blockTrailerLength = 4 // total length again
	minBlockLength     = blockHeaderLength + blockTrailerLength
	minSectionLength   = minBlockLength + 16

	// Of the fixed part of the bodies.
	packetLength = 20
	simpleLength = 4
)

// readBlocks reads blocks up to and including the next one with a packet.
func (r *Reader) readBlocks(p *userspace.CapturedPacket) error {
	for {
		if !r.need(blockHeaderLength) {
			return r.ended("a block header", blockHeaderLength)
		}
		var err error
		switch r.u32(r.buf[r.pos:]) {
		case blockEnhanced:
			return r.readEnhanced(p)
		case blockSimple:
			return r.readSimple(p)
		case blockPacket:
			return r.readObsolete(p)
		case blockInterface:
			err = r.readInterface()
		case blockSection:
			err = r.readSection(false)
		default:
			err = r.skipBlock()
		}
		if err != nil {
			return err
		}
	}
}

// blockLength checks the total length of the block at hand, as libpcap does.
func (r *Reader) blockLength(least uint32) (uint32, error) {
	total := r.u32(r.buf[r.pos+4:])
	if total < least || total%4 != 0 {
		return 0, r.damaged("a block of type %#x has a length of %d; want %d or more, a multiple of 4",
			r.u32(r.buf[r.pos:]), total, least)
	}
	return total, nil
}

// body makes the whole block at hand available and returns what lies between
// its header and trailer, and its total length.
func (r *Reader) body(least uint32) (body []byte, total int, err error) {
	claimed, err := r.blockLength(minBlockLength + least)
	if err != nil {
		return nil, 0, err
	}
	if claimed > MaxRecord {
		return nil, 0, r.damaged("a block of type %#x claims %d octets, over the limit of %d", r.u32(r.buf[r.pos:]), claimed, MaxRecord)
	}
	total = int(claimed)
	if !r.need(total) {
		return nil, 0, r.truncated("a block", int64(total), r.offset())
	}
	block := r.buf[r.pos : r.pos+total]
	if again := r.u32(block[total-blockTrailerLength:]); again != claimed {
		return nil, 0, r.lengthsDiffer(claimed, again)
	}
	return block[blockHeaderLength : total-blockTrailerLength], total, nil
}

func (r *Reader) lengthsDiffer(first, again uint32) error {
	return r.damaged("a block has a length of %d at its beginning and %d at its end", first, again)
}

// skipBlock passes over a block of any length without keeping it.
func (r *Reader) skipBlock() error {
	total, err := r.blockLength(minBlockLength)
	if err != nil {
		return err
	}
	start := r.offset()
	if !r.discard(int64(total)-blockTrailerLength) || !r.need(blockTrailerLength) {
		return r.truncated("a block", int64(total), start)
	}
	again := r.u32(r.buf[r.pos:])
	r.pos += blockTrailerLength
	if again != total {
		err := r.lengthsDiffer(total, again).(*Error)
		err.Offset = start
		return err
	}
	return nil
}

// readSection reads a section header, which sets the byte order and forgets
// the interfaces (draft-ietf-opsawg-pcapng section 4.1). first is false for
// those after the one the file begins with.
func (r *Reader) readSection(first bool) error {
	const upToMagic = blockHeaderLength + 4
	if !r.need(upToMagic) {
		return r.truncated("a section header", minSectionLength, r.offset())
	}
	magic := r.buf[r.pos+blockHeaderLength:]
	switch {
	case binary.LittleEndian.Uint32(magic) == byteOrderMagic:
		r.bigEndian = false
	case binary.BigEndian.Uint32(magic) == byteOrderMagic:
		r.bigEndian = true
	case first:
		return r.notCapture("not a capture, it begins as pcapng and has the byte-order magic % x", magic[:4])
	default:
		return r.damaged("a section header has the byte-order magic % x", magic[:4])
	}
	if _, err := r.blockLength(minSectionLength); err != nil {
		return err
	}
	if !r.need(minSectionLength) {
		return r.truncated("a section header", minSectionLength, r.offset())
	}
	major, minor := r.u16(r.buf[r.pos+12:]), r.u16(r.buf[r.pos+14:])
	if major != 1 || minor != 0 && minor != 2 {
		return r.unknownVersion(first, major, minor)
	}
	r.links = r.links[:0]
	return r.skipBlock()
}

func (r *Reader) unknownVersion(first bool, major, minor uint16) error {
	const reason = "pcapng version %d.%d is not known; want 1.0 or 1.2"
	if first {
		return r.notCapture(reason, major, minor)
	}
	return r.damaged(reason, major, minor)
}

// readEnhanced reads section 4.3's block: interface, time in two halves,
// captured and original length, data, options.
func (r *Reader) readEnhanced(p *userspace.CapturedPacket) error {
	body, total, err := r.body(packetLength)
	if err != nil {
		return err
	}
	return r.timedPacket(p, body, r.u32(body), total)
}

// readObsolete reads section A's packet block: as the enhanced one, but a
// 16-bit interface and a 16-bit count of drops come first.
func (r *Reader) readObsolete(p *userspace.CapturedPacket) error {
	body, total, err := r.body(packetLength)
	if err != nil {
		return err
	}
	return r.timedPacket(p, body, uint32(r.u16(body)), total)
}

// timedPacket reads what the two kinds of block with a time have in common.
func (r *Reader) timedPacket(p *userspace.CapturedPacket, body []byte, id uint32, total int) error {
	if uint64(id) >= uint64(len(r.links)) {
		return r.noInterface(id)
	}
	l := &r.links[id]
	captured, length := r.u32(body[12:]), r.u32(body[16:])
	data := body[packetLength:]
	if uint64(captured) > uint64(len(data)) {
		return r.damaged("a packet claims %d captured octets in a block with room for %d", captured, len(data))
	}
	ns, ok := l.clock.time(uint64(r.u32(body[4:]))<<32 | uint64(r.u32(body[8:])))
	if !ok {
		r.clamped.Add(1)
	}
	p.TimeNs = ns
	l.deliver(p, data[:captured:captured], length)
	r.pos += total
	return nil
}

// readSimple reads section 4.4's block: only the original length and data, on
// interface 0, cut to its snapshot length. It bears no time; 0 stands for it.
func (r *Reader) readSimple(p *userspace.CapturedPacket) error {
	body, total, err := r.body(simpleLength)
	if err != nil {
		return err
	}
	if len(r.links) == 0 {
		return r.noInterface(0)
	}
	l := &r.links[0]
	length := r.u32(body)
	data := body[simpleLength:]
	captured := length
	if l.snapLength != 0 {
		captured = min(captured, l.snapLength)
	}
	if uint64(captured) > uint64(len(data)) {
		return r.damaged("a packet of %d octets stands in a block with room for %d", captured, len(data))
	}
	p.TimeNs = 0
	l.deliver(p, data[:captured:captured], length)
	r.pos += total
	return nil
}

// deliver fills in a packet of the interface l, but for its time.
func (l *link) deliver(p *userspace.CapturedPacket, data []byte, length uint32) {
	p.Data = data
	p.Length = max(length, uint32(len(data)))
	p.LinkType = l.linkType
	p.Interface = l.name
}

func (r *Reader) noInterface(id uint32) error {
	return r.damaged("a packet is of interface %d, and the section describes %d", id, len(r.links))
}
