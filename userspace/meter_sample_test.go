package userspace_test

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/weirflow/weir/userspace"
)

// sampledOf meters the packets with 3 samples of at most 60 octets a flow.
func sampledOf(t *testing.T, list []userspace.CapturedPacket, each func(*userspace.Meter, *userspace.Sample)) (got []userspace.Sample) {
	t.Helper()
	var m *userspace.Meter
	m = meterOf(t, &script{packets: list}, func(c *userspace.Config) {
		c.Samples, c.SampleOctets, c.ActiveTimeout = 3, 60, 10*time.Second
	}, userspace.WithSamples(func(s *userspace.Sample) {
		kept := *s
		kept.Packet = bytes.Clone(s.Packet)
		got = append(got, kept)
		if each != nil {
			each(m, s)
		}
	}))
	drain(t, m)
	if l := closed(t, m); l.Samples != uint64(len(got)) {
		t.Errorf("ledger counts %d samples, taken %d", l.Samples, len(got))
	}
	return got
}

func TestSamplesAreTheFirstPacketThenPayload(t *testing.T) {
	laterFragment := udpAt(0.5, 1, 9, 100)
	laterFragment.Data[21] = 1
	list := []userspace.CapturedPacket{
		udpAt(0, 1, 9, 0), udpAt(0.1, 1, 9, 0), laterFragment,
		reply(udpAt(1, 1, 9, 10)), reply(udpAt(1.5, 1, 9, 0)), udpAt(2, 1, 9, 1000), udpAt(3, 1, 9, 5),
	}
	got := sampledOf(t, list, nil)
	if len(got) != 3 {
		t.Fatalf("%d samples", len(got))
	}
	for i, want := range []struct {
		packet  int
		reverse bool
		bare    [2]bool // forward, reverse
	}{{0, false, [2]bool{}}, {3, true, [2]bool{true, false}}, {5, false, [2]bool{false, true}}} {
		s, c := got[i], list[want.packet]
		if int(s.Number) != i || s.Reverse != want.reverse || s.TimeNs != c.TimeNs || s.Protocol != 17 || s.IPVersion != 4 {
			t.Errorf("sample %d: %+v", i, s)
		}
		if bare := [2]bool{s.BareForward, s.BareReverse}; bare != want.bare {
			t.Errorf("sample %d: packets without payload before it: %v, want %v", i, bare, want.bare)
		}
		if s.WireLength != c.Length-14 || !bytes.Equal(s.Packet, c.Data[14:min(len(c.Data), 74)]) {
			t.Errorf("sample %d holds %d of %d octets: % x", i, len(s.Packet), s.WireLength, s.Packet)
		}
	}
}

func TestASampleIsAWholePacketHoweverLong(t *testing.T) {
	packet := udpAt(0, 1, 9, 60000)
	var got []int
	m := meterOf(t, &script{packets: []userspace.CapturedPacket{packet}}, func(c *userspace.Config) {
		c.Samples, c.SampleOctets = 1, userspace.SampleOctetsMax
	}, userspace.WithSamples(func(s *userspace.Sample) { got = append(got, len(s.Packet)) }))
	drain(t, m)
	if want := []int{len(packet.Data) - 14}; !slices.Equal(got, want) {
		t.Errorf("samples of %v octets, want %v", got, want)
	}
}

func TestSamplesStartAgainWithEachPart(t *testing.T) {
	var list []userspace.CapturedPacket
	for i := range 12 {
		list = append(list, udpAt(float64(2*i), 1, 9, 5))
	}
	var got []uint32
	for _, s := range sampledOf(t, list, nil) {
		got = append(got, s.Part)
	}
	if want := []uint32{0, 0, 0, 1, 1, 1, 2, 2}; !slices.Equal(got, want) {
		t.Errorf("parts of the samples: %v, want %v", got, want)
	}
}

func TestStopConcernsOneRecordOnly(t *testing.T) {
	var list []userspace.CapturedPacket
	for i := range 6 {
		list = append(list, udpAt(float64(3*i), 1, 9, 5), udpAt(float64(3*i), 2, 9, 5))
	}
	got := sampledOf(t, list, func(m *userspace.Meter, s *userspace.Sample) {
		switch {
		case s.FlowID == 1 && s.Part == 0:
			m.StopSamples(1, 0)
		case s.FlowID == 2:
			m.StopSamples(2, 7)
			m.StopSamples(12345, 0)
		}
	})
	count := map[[2]uint64]int{}
	for _, s := range got {
		count[[2]uint64{s.FlowID, uint64(s.Part)}]++
	}
	if count[[2]uint64{1, 0}] != 1 || count[[2]uint64{1, 1}] != 2 || count[[2]uint64{2, 0}] != 3 || count[[2]uint64{2, 1}] != 2 {
		t.Errorf("samples by flow and part: %v", count)
	}
}

func TestNoSamplesWithoutAReceiver(t *testing.T) {
	m := meterOf(t, &script{packets: []userspace.CapturedPacket{udpAt(0, 1, 9, 5)}}, func(c *userspace.Config) { c.Samples = 3 })
	drain(t, m)
	if l := closed(t, m); l.Samples != 0 {
		t.Errorf("%d samples", l.Samples)
	}
}

func TestH10SamplesAreCutToTheOctetsAskedFor(t *testing.T) {
	for _, s := range sampledOf(t, []userspace.CapturedPacket{udpAt(0, 1, 9, 1000), reply(udpAt(1, 1, 9, 30))}, nil) {
		if len(s.Packet) > 60 || s.WireLength < 58 {
			t.Errorf("%d octets of %d are sampled, 60 were asked for", len(s.Packet), s.WireLength)
		}
	}
}
