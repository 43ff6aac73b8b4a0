package worker

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/weirflow/weir/userspace"
)

// The ends of a label are the flow's, also where its first sample goes the other
// way, as when the first packet of all carries no payload.
func TestALabelHasTheFlowsDirection(t *testing.T) {
	for _, reverse := range []bool{false, true} {
		var b beginning
		b.note(&userspace.Sample{Reverse: reverse, Protocol: 17, Packet: udp(53, "payload")})
		b.note(&userspace.Sample{Reverse: !reverse, Protocol: 17, Packet: udp(53, "payload")})
		l, err := ParseLabel(appendLabel(nil, FlowRef{}, &b, appendUnknown(nil, "")))
		if err != nil {
			t.Fatal(err)
		}
		source, destination := netip.MustParseAddrPort("192.0.2.1:40001"), netip.MustParseAddrPort("192.0.2.2:53")
		if reverse {
			source, destination = destination, source
		}
		if l.Source != source || l.Destination != destination {
			t.Errorf("reverse %v: from %v to %v", reverse, l.Source, l.Destination)
		}
	}
}

func TestALabelComesBackAsItWas(t *testing.T) {
	var b beginning
	for i := range 3 {
		packet := udp(53, "payload")
		b.note(&userspace.Sample{TimeNs: uint64(1e18 + i), WireLength: uint32(100 + i), Reverse: i == 1, Protocol: 17, Packet: packet})
	}
	body := appendLabel(nil, FlowRef{7, 2}, &b, appendUnknown(nil, "x"))
	l, err := ParseLabel(body)
	if err != nil {
		t.Fatal(err)
	}
	want := []userspace.LabelPacket{
		{Time: time.Unix(1e9, 0), Length: 100}, {Time: time.Unix(1e9, 1), Length: 101, Reverse: true}, {Time: time.Unix(1e9, 2), Length: 102},
	}
	if fmt.Sprint(l.Packets) != fmt.Sprint(want) || l.FlowID != 7 || l.Part != 2 || l.Protocol != 17 || l.L7.Reason != "x" ||
		l.Source != netip.MustParseAddrPort("192.0.2.1:40001") || l.Destination != netip.MustParseAddrPort("192.0.2.2:53") {
		t.Errorf("%+v", l)
	}
	if !l.Start().Equal(want[0].Time) || !l.Time().Equal(want[2].Time) {
		t.Errorf("from %v to %v", l.Start(), l.Time())
	}
	for n := range body {
		if _, err := ParseLabel(body[:n]); err == nil {
			t.Fatalf("%d of %d octets are taken for a label", n, len(body))
		}
	}
}
