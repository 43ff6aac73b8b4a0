package bpf_test

import (
	"testing"
	"time"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/bpftest"
)

// A full table refuses every packet of a new flow and counts it, however many have been
// refused before; the first one behind a sweep that has deleted an entry finds its place.
func TestA5FullTableTakesAFlowOnceASweepHasDeleted(t *testing.T) {
	for name, way := range raceWays {
		t.Run(name, func(t *testing.T) {
			o := way.options
			o.LinkType, o.MaxFlows = 1, 1
			m, full := bpftest.New(t, o), uint64(0)
			for round := range uint16(40) {
				send(t, m, udp(t, 1, 2, round, 2, 8), time.Second)
				wantTableFull(t, m, full)
				for range 7 * round {
					send(t, m, udp(t, 3, 4, 3, 4, 8), time.Second)
					full++
				}
				wantTableFull(t, m, full)
				for range 2 { // one to close, one to delete
					way.sweep(t, m, bpf.WeirSweepModeSWEEP_FORCED)
				}
			}
			finish(t, m, time.Hour)
			if l := closes(t, m); l.OverflowPackets != full || len(m.Records) != 40 {
				t.Errorf("%d records, want 40; ledger %+v", len(m.Records), l)
			}
		})
	}
}

// An entry that is free, and no sweep said so, is found within this many packets.
const tableRetry = 64

func TestA5FullTableIsTriedNowAndThenWhateverWasDeleted(t *testing.T) {
	m := bpftest.New(t, bpftest.Options{LinkType: 1, MaxFlows: 1})
	defer stayOn(t, 0)()
	send(t, m, udp(t, 1, 2, 1, 2, 8), time.Second)
	send(t, m, udp(t, 3, 4, 3, 4, 8), time.Second)
	wantTableFull(t, m, 1)
	s, err := m.Sweep(bpf.Sweep{NowNs: uint64(2 * time.Second), Mode: uint32(bpf.WeirSweepModeSWEEP_FORCED)})
	if err != nil || s.Closed != 1 || s.Deleted != 0 {
		t.Fatalf("%+v, %v", s, err)
	}
	if err := m.Drain(); err != nil {
		t.Fatal(err)
	}
	if err := m.Map(bpf.WeirMapFlows).Delete(m.Records[0].Key); err != nil {
		t.Fatal(err)
	}
	for range tableRetry {
		send(t, m, udp(t, 3, 4, 3, 4, 8), 3*time.Second)
	}
	finish(t, m, 4*time.Second)
	if l := closes(t, m); l.TableFull == 1 || l.TableFull > tableRetry {
		t.Errorf("%d packets of %d were refused", l.TableFull-1, tableRetry)
	}
}

func wantTableFull(t *testing.T, m *bpftest.Meter, want uint64) {
	t.Helper()
	l, err := m.Ledger()
	if err != nil {
		t.Fatal(err)
	}
	if l.TableFull != want {
		t.Fatalf("%d packets found the table full, want %d", l.TableFull, want)
	}
}
