package pcapfile

import "github.com/weirflow/weir/userspace"

// The magic numbers of pcap files (draft-ietf-opsawg-pcap section 4).
const (
	magicMicroseconds = 0xa1b2c3d4
	magicNanoseconds  = 0xa1b23c4d
	// magicModified is that of Alexey Kuznetsov's patched libpcap: eight more
	// octets in each record header (interface index, protocol, packet type).
	magicModified = 0xa1b2cd34

	fileHeaderLength     = 24
	recordHeaderLength   = 16
	modifiedHeaderLength = 24

	// linkTypeMask leaves out the FCS length above it, as libpcap does.
	linkTypeMask = 0x03ffffff
)

// lengthOrder says in which order the two lengths of a record stand. Up to
// version 2.2 the original one came first, in 2.3 either may.
type lengthOrder uint8

const (
	capturedFirst lengthOrder = iota
	originalFirst
	smallerIsCaptured
)

// A pcapHeader is what the file header says of all records.
type pcapHeader struct {
	recordHeader int
	unit         uint64 // nanoseconds in one unit of a record's fraction
	lengths      lengthOrder
	linkType     uint32
}

// setMagic takes what the magic number says; false for another number.
func (r *Reader) setMagic(magic uint32) bool {
	r.pcap = pcapHeader{recordHeader: recordHeaderLength, unit: 1000}
	switch magic {
	case magicMicroseconds:
	case magicNanoseconds:
		r.pcap.unit = 1
	case magicModified:
		r.pcap.recordHeader = modifiedHeaderLength
	default:
		return false
	}
	return true
}

// readPcapHeader reads the file header. The time zone and accuracy fields are
// zero in practice and ignored; the snapshot length bounds nothing here.
func (r *Reader) readPcapHeader() error {
	if !r.need(fileHeaderLength) {
		return r.truncated("the file header", fileHeaderLength, r.offset())
	}
	h := r.head()
	major, minor := r.u16(h[4:]), r.u16(h[6:])
	switch {
	case major == 2 && minor < 3, major == 543 && minor == 0:
		r.pcap.lengths = originalFirst
	case major == 2 && minor == 3:
		r.pcap.lengths = smallerIsCaptured
	case major == 2 && minor == 4:
	default:
		return r.notCapture("pcap version %d.%d is not known; want 2.0 to 2.4", major, minor)
	}
	r.pcap.linkType = r.u32(h[20:]) & linkTypeMask
	r.pos += fileHeaderLength
	return nil
}

// readRecord reads one packet record (draft-ietf-opsawg-pcap section 5).
func (r *Reader) readRecord(p *userspace.CapturedPacket) error {
	header := r.pcap.recordHeader
	if !r.need(header) {
		return r.ended("a record header", header)
	}
	h := r.buf[r.pos : r.pos+recordHeaderLength]
	captured, length := r.u32(h[8:]), r.u32(h[12:])
	if r.pcap.lengths != capturedFirst && (r.pcap.lengths == originalFirst || captured > length) {
		captured, length = length, captured
	}
	if captured > MaxRecord {
		return r.damaged("the record claims %d captured octets, over the limit of %d", captured, MaxRecord)
	}
	// Seconds are unsigned, so the time ends in 2106; a fraction of a second or
	// more carries over. The sum stays below 2^63.
	p.TimeNs = uint64(r.u32(h))*1e9 + uint64(r.u32(h[4:]))*r.pcap.unit
	total := header + int(captured)
	if !r.need(total) {
		return r.truncated("a record", int64(total), r.offset())
	}
	p.Data = r.buf[r.pos+header : r.pos+total : r.pos+total]
	p.Length = max(length, captured)
	p.LinkType = r.pcap.linkType
	p.Interface = ""
	r.pos += total
	return nil
}
