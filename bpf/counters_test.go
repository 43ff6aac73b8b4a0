package bpf_test

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/bpftest"
)

// counters lists the ledger's counters by name, those of a decode status apart:
// a counter that is added to the structure, or a status, appears here by itself.
func counters(l *bpf.LedgerCount) map[string]uint64 {
	named := map[string]uint64{}
	for field, value := range reflect.ValueOf(l).Elem().Fields() {
		switch {
		case field.Name == "_": // says how the structure is laid out
			continue
		case value.Kind() != reflect.Array:
			named[field.Name] = value.Uint()
			continue
		}
		for status := 1; status < value.Len(); status++ {
			named[fmt.Sprintf("%s[%s]", field.Name, bpf.Status(status))] = value.Index(status).Uint()
		}
	}
	return named
}

// TestEveryCounterIsDriven drives each counter of the programs' ledger above
// zero, and holds the ledger closed while it does.
func TestEveryCounterIsDriven(t *testing.T) {
	driven := map[string]bool{}
	for _, d := range drivers {
		t.Run(d.name, func(t *testing.T) {
			m := bpftest.New(t, d.options)
			d.drive(t, m)
			l := closes(t, m)
			named := counters(&l)
			for _, counter := range d.counters {
				if named[counter] == 0 {
					t.Errorf("%s is 0: %+v", counter, l)
				}
				driven[counter] = true
			}
		})
	}
	for counter := range counters(&bpf.LedgerCount{}) {
		if !driven[counter] {
			t.Errorf("nothing drives %s above zero: add a driver", counter)
		}
	}
}

// A driver is a way to drive counters above zero.
type driver struct {
	name     string
	options  bpftest.Options
	drive    func(*testing.T, *bpftest.Meter)
	counters []string
}

var drivers = []driver{
	{"a frame", bpftest.Options{LinkType: 1, Samples: 1},
		func(t *testing.T, m *bpftest.Meter) { flood(t, m, 1, time.Second) },
		[]string{"ObservedPackets", "ObservedOctets", "MeteredPackets", "MeteredOctets", "AccountedOctets", "Samples"}},
	{"a frame from the past", bpftest.Options{LinkType: 1},
		func(t *testing.T, m *bpftest.Meter) {
			flood(t, m, 1, 2*time.Second)
			flood(t, m, 1, time.Second)
		},
		[]string{"Regressions"}},
	{"a full table and a full ring", bpftest.Options{LinkType: 1, MaxFlows: 1, RingOctets: page},
		func(t *testing.T, m *bpftest.Meter) { flood(t, m, 50, time.Second) },
		[]string{"TableFull", "OverflowPackets", "LostPackets", "LostOctets"}},
	{"an entry that is being deleted", bpftest.Options{LinkType: 1}, meetDeletedEntry, []string{"RecordBusy", "OverflowPackets"}},
	{"expiry into a full ring", bpftest.Options{LinkType: 1, IdleNs: uint64(10 * time.Second), RingOctets: page}, expireIntoFullRing,
		[]string{"ExpiryDeferred"}},
	{"samples into a full ring", bpftest.Options{LinkType: 1, Samples: 20, RingOctets: page},
		func(t *testing.T, m *bpftest.Meter) {
			for range 20 {
				send(t, m, udp(t, 1, 2, 1, 2, 600), time.Second)
			}
		},
		[]string{"SamplesLost"}},
	{"a filter that does not match", bpftest.Options{LinkType: 1, RejectAll: true},
		func(t *testing.T, m *bpftest.Meter) { flood(t, m, 1, time.Second) }, ignored("filtered")},
	{"a link type that is not known", bpftest.Options{LinkType: 105},
		func(t *testing.T, m *bpftest.Meter) { flood(t, m, 1, time.Second) }, ignored("link_type")},
	{"802.11 that shows no packet", bpftest.Options{LinkType: 127},
		func(t *testing.T, m *bpftest.Meter) { send(t, m, bpftest.Beacon(), time.Second) }, ignored("wifi")},
	{"frames for every other status", bpftest.Options{LinkType: 1}, showEveryStatus,
		ignored("link_truncated", "arp", "llc", "not_ip", "vlan_depth", "mpls_depth", "extension_depth",
			"ip_truncated", "ip_malformed", "transport_truncated", "tunnel_depth")},
}

// ignored are the counters of decode statuses.
func ignored(statuses ...string) (counters []string) {
	for _, s := range statuses {
		counters = append(counters, "IgnoredPackets["+s+"]", "IgnoredOctets["+s+"]")
	}
	return counters
}

// page is the smallest ring buffer.
const page = 4096

// flood sends a packet of each of so many flows.
func flood(t *testing.T, m *bpftest.Meter, flows uint16, at time.Duration) {
	t.Helper()
	for port := range flows {
		send(t, m, udp(t, 1, 2, 1000+port, 2, 8), at)
	}
}

// The sweep marks an entry and deletes it a few instructions later; a packet
// meets it in between if its CPU is faster three times. Here the entry stays
// marked.
func meetDeletedEntry(t *testing.T, m *bpftest.Meter) {
	flood(t, m, 1, time.Second)
	if err := m.Finish(uint64(2 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := m.HoldDeleting(m.Records[0].Key); err != nil {
		t.Fatal(err)
	}
	flood(t, m, 1, 3*time.Second)
	if err := m.Drain(); err != nil {
		t.Fatal(err)
	}
	if len(m.Packets) != 1 || m.Packets[0].Key != m.Records[0].Key {
		t.Errorf("the packet did not travel alone: %+v", m.Packets)
	}
	closes(t, m)
	flood(t, m, 1, 4*time.Second)
	if l := closes(t, m); l.RecordBusy != 1 || len(m.Records) != 2 {
		t.Errorf("the sweep did not free the entry: %+v, %d records", l, len(m.Records))
	}
}

// An idle flow's record must be sent before its next packet can open another,
// and there is no room: the old record stays, the packet travels alone or is
// lost.
func expireIntoFullRing(t *testing.T, m *bpftest.Meter) {
	flood(t, m, 50, time.Second)
	flood(t, m, 50, 20*time.Second)
	l := closes(t, m)
	old, packets := uint64(0), uint64(0)
	for _, r := range m.Records {
		packets += r.Dir[0].Packets
		if r.Dir[0].FirstNs == uint64(time.Second) {
			old++
		}
	}
	if old != 50 || packets+uint64(len(m.Packets))+l.LostPackets != 100 {
		t.Errorf("%d of 50 old flows, %d packets in records, %d alone, %d lost, of 100", old, packets, len(m.Packets), l.LostPackets)
	}
}

func showEveryStatus(t *testing.T, m *bpftest.Meter) {
	for want, frame := range bpftest.IgnoredFrames() {
		before := ledger(t, m).IgnoredPackets[want]
		send(t, m, frame, time.Second)
		if after := ledger(t, m).IgnoredPackets[want]; after != before+1 {
			t.Errorf("the frame for %s was not ignored as that", want)
		}
	}
}

func ledger(t *testing.T, m *bpftest.Meter) bpf.LedgerCount {
	t.Helper()
	l, err := m.Ledger()
	if err != nil {
		t.Fatal(err)
	}
	return l
}
