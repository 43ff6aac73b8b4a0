// Package differential holds the kernel's meter, its native build and the Go
// meter to the same answers: the same frames at the same times give the same
// records octet by octet, the same samples, and the same ledger.
package differential

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"unsafe"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/bpftest"
	"github.com/weirflow/weir/userspace"
)

// A Sample is a sample without the meter's own numbering of flows.
type Sample struct {
	Number  uint8
	Reverse bool
	Bare    uint8 // packets without payload since the one before, by direction
	Part    uint32
	TimeNs  uint64
	Wire    uint32
	Data    string
}

// An Outcome is all that a meter shows of what it was given. Records are in an
// order that both meters have, and without flow ids, which each counts in its
// own way.
type Outcome struct {
	Records []bpf.Record
	Samples []Sample
	Ledger  bpf.LedgerCount
}

// outcomeOf puts what came out of a ring buffer, and what the ledger counted
// meanwhile, into one.
func outcomeOf(e *bpftest.Events, ledger bpf.LedgerCount) Outcome {
	o := Outcome{Records: slices.Clone(e.Records), Ledger: ledger}
	for i := range e.Samples {
		s := &e.Samples[i]
		o.Samples = append(o.Samples, Sample{s.Number, s.Direction == 1, s.Bare, s.Part, s.TimeNs, s.WireLength, string(s.Data)})
	}
	Sort(o.Records)
	return o
}

// Sort orders records by what identifies them, and forgets their flow ids, which
// each meter counts in its own way.
func Sort(records []bpf.Record) {
	for i := range records {
		records[i].FlowId = 0
	}
	slices.SortFunc(records, func(a, b bpf.Record) int {
		return cmp.Or(cmp.Compare(userspace.FirstNs(&a), userspace.FirstNs(&b)), bytes.Compare(octetsOf(&a), octetsOf(&b)))
	})
}

func octetsOf[T any](v *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))
}

// Counters views a ledger, which is nothing but u64 counters, as such.
func Counters(l *bpf.LedgerCount) []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Pointer(l)), unsafe.Sizeof(*l)/8)
}

// since is what a ledger has counted after it was read before.
func since(before, after bpf.LedgerCount) bpf.LedgerCount {
	for i, n := range Counters(&before) {
		Counters(&after)[i] -= n
	}
	return after
}

// Differ tells the first difference between what another meter and the Go meter
// made of the same, nil if there is none.
func Differ(other, golang *Outcome) error {
	if other.Ledger != golang.Ledger {
		return fmt.Errorf("ledgers differ:\nother %+v\nGo    %+v", other.Ledger, golang.Ledger)
	}
	for i := range min(len(other.Records), len(golang.Records)) {
		if a, b := &other.Records[i], &golang.Records[i]; !bytes.Equal(octetsOf(a), octetsOf(b)) {
			return fmt.Errorf("record %d of %d, Go %d, differs:\nother %+v\nGo    %+v", i, len(other.Records), len(golang.Records), *a, *b)
		}
	}
	if len(other.Records) != len(golang.Records) {
		return fmt.Errorf("%d records, Go has %d", len(other.Records), len(golang.Records))
	}
	for i := range min(len(other.Samples), len(golang.Samples)) {
		if a, b := &other.Samples[i], &golang.Samples[i]; *a != *b {
			return fmt.Errorf("sample %d differs:\nother %+v\nGo    %+v", i, *a, *b)
		}
	}
	if len(other.Samples) != len(golang.Samples) {
		return fmt.Errorf("%d samples, Go has %d", len(other.Samples), len(golang.Samples))
	}
	return nil
}
