package userspace_test

import (
	"errors"
	"testing"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/userspace"
)

// Whatever a program gives a Meter may panic, at the cost of what that call was for.
func TestC5PanicsOfAProgramsFunctionsCostTheirFeatureOnly(t *testing.T) {
	const packets = 100
	mood := 0
	panicsNowAndThen := func() {
		if mood++; mood%10 == 0 {
			panic("no")
		}
	}
	for _, c := range []struct {
		name             string
		source           func(next *userspace.CapturedPacket) error // behind the packets
		option           userspace.Option
		filtered, inFlow uint64
		panics           userspace.Panics
		end              bool // by an error of the source
	}{
		{"samples", nil, userspace.WithSamples(func(*userspace.Sample) { panicsNowAndThen() }), 0, packets, userspace.Panics{Samples: packets / 10}, false},
		{"a filter", nil, userspace.WithFilter(func([]byte, uint32) bool { panicsNowAndThen(); return false }),
			packets - packets/10, packets / 10, userspace.Panics{Filter: packets / 10}, false},
		{"a source", func(*userspace.CapturedPacket) error { panic("no more") }, userspace.WithFilter(nil), 0, packets, userspace.Panics{}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			mood = 0
			read := 0
			s := &script{}
			for range packets {
				s.packets = append(s.packets, udpAt(float64(len(s.packets)), 1, 9, 10))
			}
			source := sourceFunc(func(next *userspace.CapturedPacket) error {
				if read++; read > packets && c.source != nil {
					return c.source(next)
				}
				return s.ReadPacket(next)
			})
			m := meterOf(t, source, func(o *userspace.Config) { o.Samples = 255 }, c.option)
			var ended error
			for _, err := range m.Flows(t.Context()) {
				ended = err
			}
			if told := (*userspace.PanicError)(nil); errors.As(ended, &told) != c.end || c.end && told.Value != "no more" {
				t.Errorf("it ends with %v", ended)
			}
			l := closed(t, m)
			if l.Observed.Packets != packets || l.Delivered.Packets != c.inFlow || l.Ignored[bpf.WeirDecodeStatusSTATUS_FILTERED].Packets != c.filtered || l.Panics != c.panics {
				t.Errorf("%d in flows, want %d; panics %+v, want %+v; ledger %+v", l.Delivered.Packets, c.inFlow, l.Panics, c.panics, l)
			}
			t.Logf("measured: %s: %d packets, %d metered, panics %+v, residual 0", c.name, l.Observed.Packets, l.Delivered.Packets, l.Panics)
		})
	}
}
