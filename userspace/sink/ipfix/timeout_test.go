package ipfix

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/netsampler/goflow2/v2/decoders/netflow"
)

// Collectors are told in whole seconds when flows are closed, as the elements have it.
func TestTimeoutsGoWithTheTemplates(t *testing.T) {
	for _, c := range []struct {
		idle, active         time.Duration
		wantIdle, wantActive uint16
	}{
		{2 * time.Minute, 30 * time.Minute, 120, 1800},
		{50 * time.Millisecond, 1500 * time.Millisecond, 1, 2},
		{time.Second, 24 * time.Hour, 1, 65535},
	} {
		o := &Options{Idle: c.idle, Active: c.active, Domain: 7}
		m := NewMessages(o, StreamOctets, atNoon)
		message, rest := m.Next(NewEncoder(everything, o, StreamOctets).AppendTemplates(nil))
		if len(rest) > 0 || m.Sequence() != 1 {
			t.Errorf("%d octets are left, and %d data records counted, want 1", len(rest), m.Sequence())
		}
		got := decode(t, netflow.CreateTemplateSystem(), message)
		if len(got) != 1 {
			t.Fatalf("%d records, want the timeouts: %v", len(got), got)
		}
		idle, active := got[0]["flowIdleTimeout"], got[0]["flowActiveTimeout"]
		if len(idle) != 2 || len(active) != 2 || binary.BigEndian.Uint16(idle) != c.wantIdle || binary.BigEndian.Uint16(active) != c.wantActive {
			t.Errorf("of %v and %v collectors are told %v and %v", c.idle, c.active, idle, active)
		}
	}
}
