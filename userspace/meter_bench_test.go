package userspace_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/weirflow/weir/userspace"
)

// traffic is a PacketSource that makes its packets up: TCP segments of flows
// drawn at random, half of them in the other direction, a microsecond apart.
type traffic struct {
	flows, left int
	timeNs      uint64
	random      rand.PCG
	frame       []byte
}

func newTraffic(flows, packets int) *traffic {
	t := &traffic{flows: flows, left: packets, timeNs: uint64(time.Hour), frame: make([]byte, 74)}
	copy(t.frame[12:], []byte{0x08, 0x00, 0x45, 0, 0, 60, 0, 0, 0, 0, 64, 6})
	copy(t.frame[46:], []byte{0x50, 0x18})
	return t
}

func (t *traffic) ReadPacket(p *userspace.CapturedPacket) error {
	if t.left == 0 {
		return io.EOF
	}
	t.left--
	t.timeNs += uint64(time.Microsecond)
	random := t.random.Uint64()
	flow := uint32(random>>32) % uint32(t.flows)
	src, dst := t.frame[26:30], t.frame[30:34]
	sport, dport := t.frame[34:36], t.frame[36:38]
	if random&1 == 1 {
		src, dst, sport, dport = dst, src, dport, sport
	}
	binary.BigEndian.PutUint32(src, 0x0a000000|flow>>8)
	binary.BigEndian.PutUint32(dst, 0xc0a80001)
	binary.BigEndian.PutUint16(sport, 1024+uint16(flow&0xff))
	binary.BigEndian.PutUint16(dport, 443)
	*p = userspace.CapturedPacket{Data: t.frame, Length: 74, TimeNs: t.timeNs, LinkType: 1}
	return nil
}

// drain runs a meter to its end and returns the number of flows.
func drain(tb testing.TB, m *userspace.Meter) (flows int) {
	tb.Helper()
	for _, err := range m.Flows(context.Background()) {
		if err != nil {
			tb.Fatal(err)
		}
		flows++
	}
	return flows
}

// BenchmarkMeter takes b.N packets of that many flows through the whole meter,
// after each flow has had a few: what is measured is the packet, not the flow.
func BenchmarkMeter(b *testing.B) {
	for _, statistics := range []bool{false, true} {
		for _, flows := range []int{1000, 100_000} {
			b.Run(fmt.Sprintf("flows=%d/statistics=%v", flows, statistics), func(b *testing.B) {
				benchmarkMeter(b, flows, statistics)
			})
		}
	}
}

func benchmarkMeter(b *testing.B, flows int, statistics bool) {
	warm := 5 * flows
	source := &warming{traffic: newTraffic(flows, warm+b.N), warm: warm, reset: b.ResetTimer, stop: b.StopTimer}
	m := meterOf(b, source, func(c *userspace.Config) {
		c.Statistics = statistics
		if statistics {
			c.SPLT = 20
		}
	})
	b.ReportAllocs()
	if drain(b, m) == 0 {
		b.Fatal("no flows")
	}
}

// warming starts the timer after warm packets, and stops it after the last.
type warming struct {
	*traffic
	warm        int
	reset, stop func()
}

func (w *warming) ReadPacket(p *userspace.CapturedPacket) error {
	if w.warm--; w.warm == 0 {
		w.reset()
	}
	err := w.traffic.ReadPacket(p)
	if err != nil {
		w.stop()
	}
	return err
}

// BenchmarkSource is what BenchmarkMeter spends on making packets up.
func BenchmarkSource(b *testing.B) {
	source := newTraffic(100_000, b.N)
	var p userspace.CapturedPacket
	for source.ReadPacket(&p) == nil {
	}
}
