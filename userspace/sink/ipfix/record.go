package ipfix

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/netsampler/goflow2/v2/decoders/netflow"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/userspace/feature"
)

// biflowDirection says by what a flow got its direction; by its first packet.
const (
	biflowDirection = netflow.IPFIX_FIELD_biflowDirection
	byInitiator     = 1
)

// beginRecord appends what goes before a record: its set, and its length, which
// endRecord fills in.
func beginRecord(dst []byte, set uint16) (extended []byte, length int) {
	dst = binary.BigEndian.AppendUint16(dst, set)
	return append(dst, 0, 0), len(dst)
}

func endRecord(dst []byte, length int) []byte {
	binary.BigEndian.PutUint16(dst[length:], uint16(len(dst)-length-recordLength))
	return dst
}

// The octets before a record: its set, and its length.
const (
	recordSet    = 2
	recordLength = 2
	recordHeader = recordSet + recordLength
)

// An Encoder makes records of flows. It is not for use by several goroutines.
type Encoder struct {
	templates [len(families)]template
	options   *Options
	most      int // octets of a record
	room      int // octets left for texts in the record that is being made
	repaired  []byte
}

// NewEncoder makes the templates of the columns; those that have no information
// element are left out. Records fit into messages of so many octets: texts that are too
// long for that are cut.
func NewEncoder(columns []feature.Column, o *Options, octets int) *Encoder {
	return &Encoder{templates: newTemplates(columns, o.OneWay), options: o, most: octets - HeaderOctets - setHeader}
}

// A Guard appends a column's value by calling value, or missing where that panics.
type Guard func(dst []byte, c *feature.Column, missing string, value func([]byte) []byte) []byte

// AppendTemplates appends every template, and the timeouts if they are known, as records.
func (e *Encoder) AppendTemplates(dst []byte) []byte {
	return appendTimeouts(appendStatisticsTemplates(e.AppendFlowTemplates(dst)), e.options)
}

// AppendFlowTemplates appends the templates of flows, as records.
func (e *Encoder) AppendFlowTemplates(dst []byte) []byte {
	for i := range e.templates {
		dst = e.templates[i].appendTo(dst)
	}
	return dst
}

// AppendFlow appends the flow's record, or its records. A nil guard guards nothing.
func (e *Encoder) AppendFlow(dst []byte, r *feature.Row, guard Guard) []byte {
	t := &e.templates[familyOf(&r.Record)]
	if !e.options.OneWay {
		return e.appendRecord(dst, t, 0, r, guard)
	}
	for direction := range r.Record.Dir {
		if r.Record.Dir[direction].Packets > 0 || direction == 0 && r.Packets() == 0 {
			dst = e.appendRecord(dst, t, direction, r, guard)
		}
	}
	return dst
}

// familyOf is the index of the record's template.
func familyOf(r *bpf.Record) (index int) {
	if r.Key.IpVersion == 6 {
		index = 1
	}
	if r.Key.Protocol == protocolICMP || r.Key.Protocol == protocolICMPv6 {
		index += 2
	}
	return index
}

const (
	protocolICMP   = 1
	protocolICMPv6 = 58
)

func (e *Encoder) appendRecord(dst []byte, t *template, which int, r *feature.Row, guard Guard) []byte {
	dst, length := beginRecord(dst, t.id)
	fields := t.records[which]
	e.room = e.most - t.least
	for i := range fields {
		f := &fields[i]
		if guard == nil || f.column == nil {
			dst = e.appendValue(dst, f, r)
		} else {
			dst = guard(dst, f.column, f.missing(), func(dst []byte) []byte { return e.appendValue(dst, f, r) })
		}
	}
	return endRecord(dst, length)
}

// missing stands for a value that is not there.
func (f *field) missing() string {
	if f.kind == text {
		return "\x00" // no octets
	}
	return "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"[:f.kind.octets()]
}

func (e *Encoder) appendValue(dst []byte, f *field, r *feature.Row) []byte {
	switch f.kind {
	case unsigned8:
		return append(dst, byte(f.column.Uint(r)))
	case unsigned16:
		return binary.BigEndian.AppendUint16(dst, uint16(f.column.Uint(r)))
	case unsigned32:
		return binary.BigEndian.AppendUint32(dst, uint32(f.column.Uint(r)))
	case unsigned64:
		return binary.BigEndian.AppendUint64(dst, f.column.Uint(r))
	case ntpTime:
		return appendNTP(dst, f.column.Uint(r))
	case text:
		return e.appendText(dst, f, r)
	}
	return appendOfRecord(dst, f, &r.Record)
}

// appendOfRecord appends what columns have in another form.
func appendOfRecord(dst []byte, f *field, r *bpf.Record) []byte {
	switch f.kind {
	case mac:
		return append(dst, r.Mac[f.of][:]...)
	case ipv4:
		return append(dst, r.Key.Addr[r.SrcEnd&1^f.of][:4]...)
	case ipv6:
		return append(dst, r.Key.Addr[r.SrcEnd&1^f.of][:]...)
	case outerVLAN:
		return binary.BigEndian.AppendUint16(dst, outerTag(&r.Key))
	case innerVLAN:
		return binary.BigEndian.AppendUint16(dst, innerTag(&r.Key))
	case typeAndCode:
		return append(dst, r.IcmpType, r.IcmpCode)
	case tcpControlBits:
		return append(dst, 0, flags(&r.Dir[f.of]))
	}
	return append(dst, byInitiator)
}

// outerTag is the tag of a frame that has one, or its outermost.
func outerTag(k *bpf.Key) uint16 {
	if k.VlanOuterId != 0 {
		return k.VlanOuterId
	}
	return k.VlanId
}

// innerTag is the innermost tag of a frame that has several.
func innerTag(k *bpf.Key) uint16 {
	if k.VlanOuterId != 0 {
		return k.VlanId
	}
	return 0
}

// flags are the bits that some packet had set.
func flags(d *bpf.Direction) (bits byte) {
	for bit, packets := range d.Flags {
		if packets > 0 {
			bits |= 1 << bit
		}
	}
	return bits
}

// secondsTo1970 is from the beginning of NTP's first era to that of Unix time.
const secondsTo1970 = (70*365 + 17) * 24 * 60 * 60

const nsPerSecond = 1_000_000_000

// appendNTP appends a time as RFC 7011, 6.1.10, has it. The fraction is rounded up: then
// readers who round and those who cut get the same nanosecond. 0 stands for no time, as
// the column has it.
func appendNTP(dst []byte, ns uint64) []byte {
	if ns == 0 {
		return append(dst, 0, 0, 0, 0, 0, 0, 0, 0)
	}
	fraction := (ns%nsPerSecond<<32 + nsPerSecond - 1) / nsPerSecond
	dst = binary.BigEndian.AppendUint32(dst, uint32(ns/nsPerSecond+secondsTo1970))
	return binary.BigEndian.AppendUint32(dst, uint32(fraction))
}

// textOctets is the most that is sent of a text: as much as one octet of length tells
// (RFC 7011, 7).
const textOctets = 254

// appendText appends a text as UTF-8 behind its length.
func (e *Encoder) appendText(dst []byte, f *field, r *feature.Row) []byte {
	start := len(dst)
	dst = f.column.Text(append(dst, 0), r)
	value := dst[start+1:]
	if !utf8.Valid(value) {
		e.repaired = appendValid(e.repaired[:0], value)
		value = e.repaired
	}
	value = cut(value, min(textOctets, e.room))
	e.room -= len(value)
	dst[start] = byte(len(value))
	return append(dst[:start+1], value...)
}

func appendValid(dst, text []byte) []byte {
	for len(text) > 0 {
		c, n := utf8.DecodeRune(text)
		dst = utf8.AppendRune(dst, c)
		text = text[n:]
	}
	return dst
}

// cut shortens a text to whole characters.
func cut(text []byte, most int) []byte {
	if len(text) <= most {
		return text
	}
	for !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}
