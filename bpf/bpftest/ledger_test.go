package bpftest

import (
	"reflect"
	"testing"

	"github.com/weirflow/weir/bpf"
)

// TestEveryCounterIsHeld: a ledger that closes does not any more when one of its
// counters is one more than it should be.
func TestEveryCounterIsHeld(t *testing.T) {
	read := tally{packets: 10, octets: 1000, overflow: 2, samples: 4, regressions: 1}
	closing := bpf.LedgerCount{
		ObservedPackets: 14, ObservedOctets: 1400, MeteredPackets: 11, MeteredOctets: 1100, AccountedOctets: 1060,
		OverflowPackets: 2, LostPackets: 1, LostOctets: 60, TableFull: 1, RecordBusy: 1, ExpiryDeferred: 1,
		Samples: 4, SamplesLost: 5, Regressions: 1,
	}
	closing.IgnoredPackets[3], closing.IgnoredOctets[3] = 3, 300
	if err := read.check(&closing); err != nil {
		t.Fatal(err)
	}
	for i, name := range counterNames() {
		l := closing
		words(&l)[i]++
		// what was not sent is known to the programs only
		if err := read.check(&l); (err == nil) != (name == "SamplesLost") {
			t.Errorf("%s, one more than it should be: %v", name, err)
		}
	}
}

// counterNames are the fields of a ledger, word by word.
func counterNames() (names []string) {
	for field, value := range reflect.ValueOf(bpf.LedgerCount{}).Fields() {
		for range value.Type().Size() / 8 {
			names = append(names, field.Name)
		}
	}
	return names
}
