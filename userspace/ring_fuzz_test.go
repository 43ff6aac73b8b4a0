package userspace

import (
	"encoding/binary"
	"testing"
	"unsafe"

	"github.com/weirflow/weir/bpf"
)

// FuzzRing has a Consumer read a ring buffer that holds anything. Whatever it hands
// out, it neither reads beyond what was produced nor loses count.
func FuzzRing(f *testing.F) {
	config := DefaultConfig()
	layout := config.groups().Layout()
	record := make([]byte, ringHeaderOctets+layout.Event())
	binary.NativeEndian.PutUint32(record, uint32(len(record)-ringHeaderOctets))
	binary.NativeEndian.PutUint32(record[ringHeaderOctets:], uint32(bpf.WeirEventKindEVENT_RECORD))
	packet := make([]byte, ringHeaderOctets+unsafe.Sizeof(bpf.PacketEvent{}))
	binary.NativeEndian.PutUint32(packet, uint32(len(packet)-ringHeaderOctets))
	binary.NativeEndian.PutUint32(packet[ringHeaderOctets:], uint32(bpf.WeirEventKindEVENT_PACKET))
	sample := make([]byte, ringHeaderOctets+unsafe.Sizeof(bpf.SampleEvent{})+64)
	binary.NativeEndian.PutUint32(sample, uint32(len(sample)-ringHeaderOctets))
	binary.NativeEndian.PutUint32(sample[ringHeaderOctets:], uint32(bpf.WeirEventKindEVENT_SAMPLE))
	for _, seed := range [][]byte{record, packet, sample, append(append([]byte{}, packet...), record...)} {
		f.Add(seed, uint16(0), uint16(len(seed)))
		f.Add(seed, uint16(4000), uint16(len(seed)))
	}
	f.Fuzz(func(t *testing.T, content []byte, start, produced uint16) {
		c := fuzzedConsumer(content, uint64(start), uint64(produced))
		delivered := Count{}
		c.yield = func(f *Flow, err error) bool {
			delivered = delivered.Plus(Count{f.Packets(), f.Octets()})
			return true
		}
		for range 2 {
			if _, err := c.read(); err != nil {
				break
			}
		}
		if end := uint64(start) + uint64(produced); c.ring.position > end {
			t.Errorf("read up to %d of %d", c.ring.position, end)
		}
		c.overflow.drain()
		c.releaseAll()
		if delivered != c.counted.Delivered {
			t.Errorf("%v were handed out, %v counted", delivered, c.counted.Delivered)
		}
	})
}

// fuzzedConsumer reads a ring of 4096 octets that begins with content at start, of
// which so much was produced.
func fuzzedConsumer(content []byte, start, produced uint64) *Consumer {
	const octets = 4096
	r := &ring{consumer: make([]byte, 8), producer: make([]byte, 8), data: make([]byte, 2*octets), octets: octets, position: start &^ 7}
	for i, b := range content[:min(len(content), octets)] {
		at := (r.position + uint64(i)) % octets
		r.data[at], r.data[at+octets] = b, b
	}
	binary.NativeEndian.PutUint64(r.producer, start+produced)
	config := DefaultConfig()
	config.MaxFlows = 16
	c := &Consumer{ring: r, options: options{config: config, samples: func(*Sample) {}}, points: map[uint8]string{}, sampled: newSampledFlows(0), layout: config.groups().Layout()}
	c.overflow = newTable(&config, c.closeOverflow, func(uint64) {})
	c.held = newHeldParts(config.MaxFlows, c.overflow, 0)
	return c
}
