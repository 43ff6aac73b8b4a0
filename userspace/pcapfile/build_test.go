package pcapfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/weirflow/weir/userspace"
)

// A builder writes captures by hand, in either byte order, so that tests can
// make what no library writes. ends collects the offsets at which a record or
// block ends: the only ones where a capture may.
type builder struct {
	bytes.Buffer
	order binary.AppendByteOrder
	ends  []int
}

func littleEndian() *builder { return &builder{order: binary.LittleEndian} }
func bigEndian() *builder    { return &builder{order: binary.BigEndian} }

func (b *builder) u16(values ...uint16) *builder {
	for _, v := range values {
		b.Write(b.order.AppendUint16(nil, v))
	}
	return b
}

func (b *builder) u32(values ...uint32) *builder {
	for _, v := range values {
		b.Write(b.order.AppendUint32(nil, v))
	}
	return b
}

func (b *builder) u64(v uint64) *builder {
	b.Write(b.order.AppendUint64(nil, v))
	return b
}

func (b *builder) end() *builder {
	b.ends = append(b.ends, b.Len())
	return b
}

// pcapHeader writes a file header.
func (b *builder) pcapHeader(magic uint32, major, minor uint16, snapLength, linkType uint32) *builder {
	return b.u32(magic).u16(major, minor).u32(0, 0, snapLength, linkType).end()
}

// record writes a pcap record with the lengths in the order of version 2.4.
func (b *builder) record(sec, fraction uint32, data []byte, length uint32) *builder {
	b.u32(sec, fraction, uint32(len(data)), length).Write(data)
	return b.end()
}

// block writes a pcapng block around body, which build writes.
func (b *builder) block(kind uint32, build func(*builder)) *builder {
	body := &builder{order: b.order}
	build(body)
	for body.Len()%4 != 0 {
		body.WriteByte(0)
	}
	total := uint32(body.Len() + minBlockLength)
	b.u32(kind, total)
	b.Write(body.Bytes())
	return b.u32(total).end()
}

func (b *builder) section() *builder {
	return b.block(blockSection, func(s *builder) {
		s.u32(byteOrderMagic).u16(1, 0).u64(1<<64 - 1)
	})
}

// An option of an interface.
type option struct {
	code  uint16
	value []byte
}

func (b *builder) iface(linkType uint16, snapLength uint32, options ...option) *builder {
	return b.block(blockInterface, func(i *builder) {
		i.u16(linkType, 0).u32(snapLength)
		for _, o := range options {
			i.option(o)
		}
		if len(options) > 0 {
			i.u16(optionEnd, 0)
		}
	})
}

func (b *builder) option(o option) {
	b.u16(o.code, uint16(len(o.value)))
	b.Write(o.value)
	b.Write(make([]byte, -len(o.value)&3))
}

func (b *builder) enhanced(id uint32, t uint64, data []byte, length uint32) *builder {
	return b.block(blockEnhanced, func(e *builder) {
		e.u32(id, uint32(t>>32), uint32(t), uint32(len(data)), length).Write(data)
	})
}

func (b *builder) obsolete(id uint16, t uint64, data []byte, length uint32) *builder {
	return b.block(blockPacket, func(e *builder) {
		e.u16(id, 7).u32(uint32(t>>32), uint32(t), uint32(len(data)), length).Write(data)
	})
}

func (b *builder) simple(data []byte, length uint32) *builder {
	return b.block(blockSimple, func(s *builder) { s.u32(length).Write(data) })
}

// A packet is a CapturedPacket that stays valid.
type packet struct {
	data   string
	length uint32
	timeNs uint64
	link   uint32
	iface  string
}

// readAll returns every packet that comes before the end and the error that
// was the end: io.EOF, or what is wrong.
func readAll(src io.Reader) ([]packet, *Reader, error) {
	r, err := NewReader(src)
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	var packets []packet
	var p userspace.CapturedPacket
	for {
		if err := r.ReadPacket(&p); err != nil {
			return packets, r, err
		}
		packets = append(packets, packet{string(p.Data), p.Length, p.TimeNs, p.LinkType, p.Interface})
	}
}

// wantPackets fails the test unless raw holds exactly these packets and ends
// cleanly.
func wantPackets(t *testing.T, raw []byte, want ...packet) *Reader {
	t.Helper()
	got, r, err := readAll(bytes.NewReader(raw))
	if err != io.EOF {
		t.Fatalf("the capture ends with %v, want io.EOF", err)
	}
	if len(got) != len(want) {
		t.Fatalf("%d packets, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("packet %d is %+v, want %+v", i, got[i], want[i])
		}
	}
	return r
}

// wantError fails the test unless err is an *Error of this kind, which it
// returns.
func wantError(t *testing.T, err error, kind Kind) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Kind != kind {
		t.Fatalf("the error is %v, want an *Error that says %v", err, kind)
	}
	return e
}
