package userspace

import (
	"errors"
	"fmt"
	"time"

	"github.com/weirflow/weir/bpf"
)

// Count is packets and octets.
type Count struct {
	Packets uint64 `json:"packets"`
	Octets  uint64 `json:"octets"`
}

// Plus adds up two counts.
func (c Count) Plus(d Count) Count { return Count{c.Packets + d.Packets, c.Octets + d.Octets} }

// A Range is a count that is known only to lie between two values, both
// included: an interface goes on counting while its counter is read.
type Range struct{ Low, High Count }

// The Ledger says what became of every packet. Its lines are
//
//	L1  NIC                 = Observed
//	L2  Observed            = Metered + Σ Ignored
//	L3  Accounted           = Read + Open + Lost + LostWithConsumer
//	L4  Read                = Delivered + Σ NotSent
//
// Octets of L1 and L2 are those of the frames; those of L3 and L4 are in the
// accounting mode. Check tells whether they hold.
type Ledger struct {
	// NIC is what the interfaces themselves counted, nil for a file.
	NIC *Range
	// Observed is what the meter was shown (observedPacketTotalCount).
	Observed Count
	// Metered is what it took into flows.
	Metered Count
	// Accounted is Metered with the octets of the accounting mode.
	Accounted Count
	// Ignored is what it chose not to meter, by decode status (index 0 unused).
	Ignored [bpf.StatusCount]Count
	// Lost is what it could not keep account of: a packet without a place in
	// the table, whose own record found no room in the ring buffer.
	Lost Count
	// LostWithConsumer is what Consumers before this one had metered in user
	// space, for want of a place in the table, when they were killed.
	LostWithConsumer Count
	// Open is in records that have not been closed yet. It is exact only when
	// no packet arrives while the ledger is read.
	Open Count
	// Read is in records that user space has read.
	Read Count
	// Delivered is in flows that the caller of Flows has been given.
	Delivered Count
	// NotSent is in flows that an output refused, by output.
	NotSent map[string]Count

	// What follows explains; no line needs it.

	// Object and Layout name the programs that have counted, and how their records are
	// laid out (bpf.ObjectHash, bpf.LayoutHash). They are "" for a file.
	Object, Layout string

	Flows       uint64 // delivered
	Overflow    uint64 // packets that travelled as a record of their own
	TableFull   uint64 // … because the table was full
	RecordBusy  uint64 // … because their record was being deleted
	Deferred    uint64 // closings put off because the ring was full
	Samples     uint64
	SamplesLost uint64
	Regressions uint64 // packets older than the latest of their flow
	EndReasons  [6]uint64

	Panics Panics // of the program's own functions

	// ClockJumps is how often the wall clock was set while a Consumer ran, and
	// ClockJumped by how much in all, whichever way. Flows delivered before and
	// after have times of different clocks; durations and timeouts do not change.
	ClockJumps  uint64
	ClockJumped time.Duration
}

// IgnoredTotal adds up what was ignored, whatever the reason.
func (l *Ledger) IgnoredTotal() (c Count) {
	for _, i := range l.Ignored {
		c = c.Plus(i)
	}
	return c
}

// NotSentTotal adds up what outputs refused.
func (l *Ledger) NotSentTotal() (c Count) {
	for _, n := range l.NotSent {
		c = c.Plus(n)
	}
	return c
}

// A LedgerError names a line of the ledger that does not close.
type LedgerError struct {
	Line  string // "L1" to "L4"
	Left  Count
	Right Count
}

func (e *LedgerError) Error() string {
	return fmt.Sprintf("ledger line %s does not close: %d packets, %d octets against %d packets, %d octets",
		e.Line, e.Left.Packets, e.Left.Octets, e.Right.Packets, e.Right.Octets)
}

// Check returns nil if all lines close, else a *LedgerError for each that does
// not, joined.
func (l *Ledger) Check() error {
	var errs []error
	if l.NIC != nil && (l.Observed.Packets < l.NIC.Low.Packets || l.Observed.Packets > l.NIC.High.Packets) {
		errs = append(errs, &LedgerError{"L1", l.NIC.High, l.Observed})
	}
	for _, line := range []LedgerError{
		{"L2", l.Observed, l.Metered.Plus(l.IgnoredTotal())},
		{"L3", l.Accounted, l.Read.Plus(l.Open).Plus(l.Lost).Plus(l.LostWithConsumer)},
		{"L4", l.Read, l.Delivered.Plus(l.NotSentTotal())},
	} {
		if line.Left != line.Right {
			errs = append(errs, &line)
		}
	}
	return errors.Join(errs...)
}
