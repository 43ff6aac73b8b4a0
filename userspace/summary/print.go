package summary

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/userspace"
)

// topApplications is how many of them a summary shows.
const topApplications = 10

// Print writes the summary of a finished run, for reading, in one call of Write.
func (s *Summary) Print(w io.Writer, l *userspace.Ledger) error {
	var b strings.Builder
	s.printFlows(&b)
	s.printApplications(&b)
	printLedger(&b, l)
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("print the summary: %w", err)
	}
	return nil
}

func (s *Summary) printFlows(b *strings.Builder) {
	const row = "%-24s %12d %14d %18d\n"
	fmt.Fprintf(b, "%-24s %12s %14s %18s\n", "flows by end reason", "flows", "packets", "octets")
	for r, t := range s.byEndReason {
		if t.Flows > 0 {
			fmt.Fprintf(b, row, "  "+bpf.EndReason(r).String(), t.Flows, t.Packets, t.Octets)
		}
	}
	fmt.Fprintf(b, row, "  all", s.total.Flows, s.total.Packets, s.total.Octets)
}

func (s *Summary) printApplications(b *strings.Builder) {
	top := s.Top(topApplications)
	if len(top) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%-24s %12s %14s %18s\n", "top applications", "flows", "packets", "octets")
	for _, a := range top {
		fmt.Fprintf(b, "%-24s %12d %14d %18d\n", "  "+printable(a.Name), a.Flows, a.Packets, a.Octets)
	}
}

// A line is one of the ledger's, as its two sides.
type line struct {
	name, text  string
	left, right userspace.Count
}

func printLedger(b *strings.Builder, l *userspace.Ledger) {
	fmt.Fprintf(b, "\n%-46s %14s %18s\n", "ledger", "packets", "octets")
	if l.NIC != nil {
		printNIC(b, l)
	} else {
		fmt.Fprintf(b, "L1 interface = observed: not checked, there is no interface's count\n")
	}
	for _, ln := range []line{
		{"L2", "observed = metered + ignored", l.Observed, l.Metered.Plus(l.IgnoredTotal())},
		{"L3", "metered = read + open + lost", l.Accounted, l.Read.Plus(l.Open).Plus(l.Lost).Plus(l.LostWithConsumer)},
		{"L4", "read = delivered + not sent", l.Read, l.Delivered.Plus(l.NotSentTotal())},
	} {
		printLine(b, ln)
		printTerms(b, ln.name, l)
	}
	printExplanations(b, l)
	printMeter(b, l)
}

// printNIC prints L1. Its left side is known as a range; the residual is the
// distance from it. Octets are not compared: interfaces differ in whether they
// count the frame check sequence.
func printNIC(b *strings.Builder, l *userspace.Ledger) {
	interval := fmt.Sprint(l.NIC.Low.Packets)
	if l.NIC.High.Packets != l.NIC.Low.Packets {
		interval = fmt.Sprintf("%d to %d", l.NIC.Low.Packets, l.NIC.High.Packets)
	}
	nearest := min(max(l.Observed.Packets, l.NIC.Low.Packets), l.NIC.High.Packets)
	fmt.Fprintf(b, "L1 interface = observed\n")
	fmt.Fprintf(b, "   %-43s %14s\n", "interface", interval)
	fmt.Fprintf(b, "   %-43s %14s\n", "residual", residual(nearest, l.Observed.Packets))
}

func printLine(b *strings.Builder, ln line) {
	fmt.Fprintf(b, "%s %-43s %14d %18d\n", ln.name, ln.text, ln.left.Packets, ln.left.Octets)
	fmt.Fprintf(b, "   %-43s %14s %18s\n", "residual",
		residual(ln.left.Packets, ln.right.Packets), residual(ln.left.Octets, ln.right.Octets))
}

// residual is left - right.
func residual(left, right uint64) string {
	if left < right {
		return fmt.Sprintf("-%d", right-left)
	}
	return fmt.Sprint(left - right)
}

// printTerms prints what stands on the right of a line.
func printTerms(b *strings.Builder, line string, l *userspace.Ledger) {
	term := func(name string, c userspace.Count) {
		fmt.Fprintf(b, "     %-41s %14d %18d\n", name, c.Packets, c.Octets)
	}
	some := func(name string, c userspace.Count) {
		if c != (userspace.Count{}) {
			term(name, c)
		}
	}
	switch line {
	case "L2":
		term("metered", l.Metered)
		for status, c := range l.Ignored {
			some("ignored: "+bpf.Status(status).String(), c)
		}
	case "L3":
		term("read", l.Read)
		some("open", l.Open)
		some("lost", l.Lost)
		some("lost with a process that was killed", l.LostWithConsumer)
	case "L4":
		term("delivered", l.Delivered)
		for _, output := range slices.Sorted(maps.Keys(l.NotSent)) {
			some("not sent: "+printable(output), l.NotSent[output])
		}
	}
}

// printExplanations prints the counters that no line needs, where they say
// something.
func printExplanations(b *strings.Builder, l *userspace.Ledger) {
	for _, e := range []struct {
		name  string
		count uint64
	}{
		{"packets that travelled as records of their own", l.Overflow},
		{"  because the table was full", l.TableFull},
		{"  because their record was being deleted", l.RecordBusy},
		{"closings put off because the ring was full", l.Deferred},
		{"samples lost", l.SamplesLost},
		{"packets older than the latest of their flow", l.Regressions},
		{"samples whose inspection panicked", l.Panics.Samples},
		{"frames metered since the filter panicked", l.Panics.Filter},
		{"panics of who counts for the interface", l.Panics.NIC},
	} {
		if e.count > 0 {
			fmt.Fprintf(b, "%-46s %14d\n", e.name, e.count)
		}
	}
	if l.ClockJumps > 0 {
		fmt.Fprintf(b, "%-46s %14d %18s\n", "times that the wall clock was set, by in all", l.ClockJumps, l.ClockJumped)
	}
}

// printMeter prints what has counted, where it was programs of the kernel.
func printMeter(b *strings.Builder, l *userspace.Ledger) {
	if l.Object != "" {
		fmt.Fprintf(b, "object %s\n", l.Object)
	}
	if l.Layout != "" {
		fmt.Fprintf(b, "layout %s\n", l.Layout)
	}
}

// printable keeps what a peer or a file chose from commanding a terminal.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return '?'
	}, s)
}
