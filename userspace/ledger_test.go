package userspace

import (
	"errors"
	"slices"
	"testing"
)

// TestEachLineOfTheLedgerIsHeld: a ledger that closes does not any more, and
// names the lines, when a packet or an octet is too many anywhere.
func TestEachLineOfTheLedgerIsHeld(t *testing.T) {
	for name, test := range map[string]struct {
		count func(*Ledger) *Count
		lines []string
	}{
		"observed":  {func(l *Ledger) *Count { return &l.Observed }, []string{"L1", "L2"}},
		"metered":   {func(l *Ledger) *Count { return &l.Metered }, []string{"L2"}},
		"ignored":   {func(l *Ledger) *Count { return &l.Ignored[3] }, []string{"L2"}},
		"accounted": {func(l *Ledger) *Count { return &l.Accounted }, []string{"L3"}},
		"read":      {func(l *Ledger) *Count { return &l.Read }, []string{"L3", "L4"}},
		"open":      {func(l *Ledger) *Count { return &l.Open }, []string{"L3"}},
		"lost":      {func(l *Ledger) *Count { return &l.Lost }, []string{"L3"}},
		"delivered": {func(l *Ledger) *Count { return &l.Delivered }, []string{"L4"}},
	} {
		for _, more := range []Count{{1, 0}, {0, 1}} {
			l := closingLedger()
			*test.count(l) = test.count(l).Plus(more)
			want := test.lines
			if more.Packets == 0 && want[0] == "L1" {
				want = want[1:] // interfaces differ in the octets that they count
			}
			if got := openLines(l.Check()); !slices.Equal(got, want) {
				t.Errorf("%+v more %s: lines %v do not close, want %v", more, name, got, want)
			}
		}
	}
	l := closingLedger()
	l.NotSent["csv:-"] = Count{2, 11}
	if got := openLines(l.Check()); !slices.Equal(got, []string{"L4"}) {
		t.Errorf("more not sent: lines %v do not close", got)
	}
}

// closingLedger is one in which every line closes, L1 at its upper end.
func closingLedger() *Ledger {
	l := &Ledger{
		NIC:      &Range{Count{99, 0}, Count{100, 0}},
		Observed: Count{100, 1000}, Metered: Count{90, 900}, Accounted: Count{90, 800},
		Read: Count{80, 700}, Open: Count{6, 60}, Lost: Count{4, 40}, Delivered: Count{79, 690},
		NotSent: map[string]Count{"csv:-": {1, 10}},
	}
	l.Ignored[3] = Count{10, 100}
	return l
}

// openLines are the lines that an error of Check names.
func openLines(err error) (lines []string) {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return nil
	}
	for _, err := range joined.Unwrap() {
		var e *LedgerError
		if errors.As(err, &e) {
			lines = append(lines, e.Line)
		}
	}
	return lines
}
