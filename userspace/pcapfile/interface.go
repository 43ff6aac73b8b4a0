package pcapfile

import "bytes"

// Options of an interface description (draft-ietf-opsawg-pcapng section 4.2).
const (
	optionEnd        = 0
	optionName       = 2  // if_name
	optionResolution = 9  // if_tsresol
	optionOffset     = 14 // if_tsoffset

	interfaceLength    = 8 // of the fixed part of the body
	optionHeaderLength = 4
)

// Bounds on what a section's interfaces may hold on to: 16 MiB of names at
// most. Linux allows 15 octets in a name, Windows uses about 50.
const (
	maxInterfaces = 1 << 16
	maxName       = 256
)

// A link is an interface as its section describes it.
type link struct {
	clock      clock
	name       string
	linkType   uint32
	snapLength uint32 // 0: no limit
}

// readInterface reads an interface description block.
func (r *Reader) readInterface() error {
	body, total, err := r.body(interfaceLength)
	if err != nil {
		return err
	}
	if len(r.links) == maxInterfaces {
		return r.damaged("the section describes over %d interfaces", maxInterfaces)
	}
	l := link{clock: resolution(defaultResolution), linkType: uint32(r.u16(body)), snapLength: r.u32(body[4:])}
	if err := r.readOptions(&l, body[interfaceLength:]); err != nil {
		return err
	}
	r.links = append(r.links, l)
	r.pos += total
	return nil
}

// readOptions reads the options that matter here and steps over the others.
func (r *Reader) readOptions(l *link, options []byte) error {
	for len(options) >= optionHeaderLength {
		code, length := r.u16(options), int(r.u16(options[2:]))
		if code == optionEnd {
			return nil
		}
		options = options[optionHeaderLength:]
		if length > len(options) {
			return r.damaged("option %d of an interface claims %d octets, %d are left in the block", code, length, len(options))
		}
		if err := r.setOption(l, code, options[:length]); err != nil {
			return err
		}
		// The block's length is a multiple of 4, so the padding is there.
		options = options[(length+3)&^3:]
	}
	return nil
}

func (r *Reader) setOption(l *link, code uint16, value []byte) error {
	switch code {
	case optionName:
		name, _, _ := bytes.Cut(value, []byte{0})
		l.name = string(name[:min(len(name), maxName)])
	case optionResolution:
		if len(value) != 1 {
			return r.damaged("if_tsresol has %d octets; want 1", len(value))
		}
		offset := l.clock.offset
		l.clock = resolution(value[0])
		l.clock.offset = offset
	case optionOffset:
		if len(value) != 8 {
			return r.damaged("if_tsoffset has %d octets; want 8", len(value))
		}
		l.clock.offset = r.i64(value)
	}
	return nil
}

// i64 is a signed 64-bit number in the section's byte order.
func (r *Reader) i64(b []byte) int64 {
	if r.bigEndian {
		return int64(uint64(r.u32(b))<<32 | uint64(r.u32(b[4:])))
	}
	return int64(uint64(r.u32(b[4:]))<<32 | uint64(r.u32(b)))
}
