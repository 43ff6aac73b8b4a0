package sink

import (
	"net/netip"
	"strconv"

	"github.com/weirflow/weir/userspace"
	"github.com/weirflow/weir/userspace/feature"
)

// A Labeler is a Sink that takes labels as soon as they are known, if its
// specification ended in "?events=label". WriteLabel is no account of packets:
// the Flows and NotSent of its errors are those of flows written before.
type Labeler interface {
	Sink
	// WantsLabels tells whether the specification asked for labels.
	WantsLabels() bool
	WriteLabel(*userspace.Label) error
}

// WantsLabels implements Labeler.
func (s *stream) WantsLabels() bool { return s.labels != nil }

// WriteLabel implements Labeler.
func (s *stream) WriteLabel(l *userspace.Label) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buffer = s.labels.appendLabel(s.buffer, l)
	s.records = append(s.records, record{end: len(s.buffer)})
	// A label is of use at once: it does not wait for others.
	if err := s.drain(); err != nil {
		return s.refuse(err)
	}
	return nil
}

// A labelEncoder writes a label as a JSON object in one line: "event" is
// "label", what it shares with a flow bears the flow's names.
type labelEncoder struct {
	ndjson *ndjsonEncoder
	row    feature.Row
	flow   userspace.Flow
}

// newLabelEncoder takes from columns those of classification.
func newLabelEncoder(columns []feature.Column) *labelEncoder {
	var learnt []feature.Column
	for _, c := range columns {
		if c.Group == feature.GroupL7 || c.Group == feature.GroupL7Full {
			learnt = append(learnt, c)
		}
	}
	return &labelEncoder{ndjson: newNDJSONEncoder(learnt)}
}

func (e *labelEncoder) appendLabel(dst []byte, l *userspace.Label) []byte {
	dst = append(dst, `{"event": "label", "flow_uid": `...)
	dst = strconv.AppendUint(dst, l.FlowID, 10)
	dst = strconv.AppendUint(append(dst, `, "flow_part": `...), uint64(l.Part), 10)
	dst = strconv.AppendInt(append(dst, `, "bidirectional_first_seen_ns": `...), l.Start().UnixNano(), 10)
	dst = strconv.AppendInt(append(dst, `, "label_ns": `...), l.Time().UnixNano(), 10)
	dst = appendLabelEnd(dst, "src", l.Source)
	dst = appendLabelEnd(dst, "dst", l.Destination)
	dst = strconv.AppendUint(append(dst, `, "protocol": `...), uint64(l.Protocol), 10)
	e.flow.L7, e.row.Flow = l.L7, &e.flow
	for i := range e.ndjson.columns {
		c := &e.ndjson.columns[i]
		dst = append(append(append(dst, `, "`...), c.Name...), `": `...)
		dst = e.ndjson.appendValue(dst, c, &e.row)
	}
	return append(appendLabelPackets(append(dst, `, "packets": [`...), l), "]}\n"...)
}

func appendLabelEnd(dst []byte, name string, end netip.AddrPort) []byte {
	dst = append(append(append(dst, `, "`...), name...), `_ip": "`...)
	dst = end.Addr().WithZone("").AppendTo(dst)
	dst = append(append(append(dst, `", "`...), name...), `_port": `...)
	return strconv.AppendUint(dst, uint64(end.Port()), 10)
}

// appendLabelPackets writes [ns since the first, octets from the IP header on,
// direction] for each packet.
func appendLabelPackets(dst []byte, l *userspace.Label) []byte {
	start := l.Start()
	for i, p := range l.Packets {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = strconv.AppendInt(append(dst, '['), p.Time.Sub(start).Nanoseconds(), 10)
		dst = strconv.AppendUint(append(dst, ", "...), uint64(p.Length), 10)
		direction := byte('0')
		if p.Reverse {
			direction = '1'
		}
		dst = append(append(dst, ", "...), direction, ']')
	}
	return dst
}
