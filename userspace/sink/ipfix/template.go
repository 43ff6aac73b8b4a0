package ipfix

import (
	"encoding/binary"
	"slices"
	"strings"

	"github.com/weirflow/weir/userspace/feature"
)

// Sets that are not of data, and the first that is (RFC 7011, 3.3.2).
const (
	templateSet        = 2
	optionsTemplateSet = 3
	firstDataSet       = 256
)

// reverseElements is the enterprise of reverse elements (RFC 5103, 6.1).
const reverseElements = 29305

// enterpriseBit is set in an element's number when an enterprise follows.
const enterpriseBit = 0x8000

// A field is an element in a template, and where its value comes from.
type field struct {
	id      uint16
	kind    kind
	reverse bool // it is the reverse element
	column  *feature.Column
	// of is the direction, or the end, that the column speaks of: 0 for the first
	// packet's.
	of uint8
}

// A template is what records of a family consist of.
type template struct {
	id uint16
	// records are what a flow makes: one of both directions, or one of each.
	records [][]field
	least   int // octets of a record whose texts are empty
}

// The templates, by index, and the sets of their records.
var families = [...]family{ofIPv4 | ofPorts, ofIPv6 | ofPorts, ofIPv4 | ofICMP, ofIPv6 | ofICMP}

// newTemplates makes one template a family.
func newTemplates(columns []feature.Column, oneWay bool) (all [len(families)]template) {
	for i, f := range families {
		all[i].id = firstDataSet + uint16(i)
		if oneWay {
			all[i].records = [][]field{oneDirection(columns, f, false), oneDirection(columns, f, true)}
		} else {
			all[i].records = [][]field{bothDirections(columns, f)}
		}
		for _, f := range all[i].records[0] {
			all[i].least += f.kind.least()
		}
	}
	return all
}

// bothDirections are the fields of a biflow.
func bothDirections(columns []feature.Column, f family) (fields []field) {
	fields = append(fields, field{id: biflowDirection, kind: initiator})
	for _, e := range elements {
		if !f.has(e.in) {
			continue
		}
		fields = appendField(fields, columns, e, firstOf(e.both, e.forward), false)
		if e.paired {
			fields = appendField(fields, columns, e, e.reverse, true)
		}
	}
	return fields
}

// oneDirection are the fields of a record of one direction. Both have the same.
func oneDirection(columns []feature.Column, f family, reverse bool) (fields []field) {
	for _, e := range elements {
		one, other := firstOf(e.forward, e.both), firstOf(e.reverse, e.both)
		if !f.has(e.in) || find(columns, one) < 0 || find(columns, other) < 0 {
			continue
		}
		if reverse {
			one = other
		}
		fields = appendField(fields, columns, e, one, false)
	}
	return fields
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// appendField appends a field unless its column is not written.
func appendField(fields []field, columns []feature.Column, e element, column string, reverse bool) []field {
	i := find(columns, column)
	if i < 0 {
		return fields
	}
	f := field{id: e.id, kind: e.kind, reverse: reverse, column: &columns[i]}
	if strings.HasPrefix(column, "dst") {
		f.of = 1
	}
	return append(fields, f)
}

func find(columns []feature.Column, name string) int {
	return slices.IndexFunc(columns, func(c feature.Column) bool { return c.Name == name })
}

// appendTo appends the template as a record of a template set.
func (t *template) appendTo(dst []byte) []byte {
	dst, length := beginRecord(dst, templateSet)
	dst = binary.BigEndian.AppendUint16(dst, t.id)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(t.records[0])))
	for _, f := range t.records[0] {
		dst = appendSpecifier(dst, f.id, f.kind, f.reverse)
	}
	return endRecord(dst, length)
}

func appendSpecifier(dst []byte, id uint16, k kind, reverse bool) []byte {
	if reverse {
		id |= enterpriseBit
	}
	dst = binary.BigEndian.AppendUint16(dst, id)
	dst = binary.BigEndian.AppendUint16(dst, uint16(k.octets()))
	if reverse {
		dst = binary.BigEndian.AppendUint32(dst, reverseElements)
	}
	return dst
}

// AppendWithdrawal appends that all templates of flows so far are withdrawn (RFC 7011,
// 8.1), as a record. It may not be in a set with templates.
func AppendWithdrawal(dst []byte) []byte {
	dst, length := beginRecord(dst, templateSet)
	dst = binary.BigEndian.AppendUint16(dst, templateSet) // all of this kind
	return endRecord(binary.BigEndian.AppendUint16(dst, 0), length)
}
