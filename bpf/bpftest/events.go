package bpftest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"unsafe"

	"github.com/weirflow/weir/bpf"
)

// Events are what came out of a ring buffer, by kind.
type Events struct {
	Layout  bpf.Layout // of the records
	Records []bpf.Record
	Packets []bpf.Packet
	Samples []Sample
}

// Sample is a sample event with its octets.
type Sample struct {
	bpf.SampleEvent
	Data []byte
}

// Add copies one event of the ring.
func (e *Events) Add(raw []byte) error {
	if len(raw) < 8 {
		return fmt.Errorf("ring record of %d octets: too short for its kind", len(raw))
	}
	switch kind := bpf.WeirEventKind(binary.NativeEndian.Uint32(raw)); kind {
	case bpf.WeirEventKindEVENT_RECORD:
		var r bpf.Record
		if !e.Layout.ReadEvent(&r, raw) {
			return fmt.Errorf("ring record of %d octets: a flow record has %d", len(raw), e.Layout.Event())
		}
		e.Records = append(e.Records, r)
	case bpf.WeirEventKindEVENT_PACKET:
		e.Packets = append(e.Packets, (*bpf.PacketEvent)(unsafe.Pointer(&raw[0])).Packet)
	case bpf.WeirEventKindEVENT_SAMPLE:
		s := Sample{SampleEvent: *(*bpf.SampleEvent)(unsafe.Pointer(&raw[0]))}
		s.Data = bytes.Clone(raw[unsafe.Sizeof(s.SampleEvent):][:s.Length])
		e.Samples = append(e.Samples, s)
	default:
		return fmt.Errorf("ring record of unknown kind %d", kind)
	}
	return nil
}

// Forget lets go of all of them, but keeps their memory for the next.
func (e *Events) Forget() {
	e.Records, e.Packets, e.Samples = e.Records[:0], e.Packets[:0], e.Samples[:0]
}
