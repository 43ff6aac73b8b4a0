package summary

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/userspace"
	"github.com/weirflow/weir/userspace/goldentest"
)

var update = flag.Bool("update", false, "write the golden files anew")

func flow(application string, reason bpf.EndReason, packets, octets uint64) *userspace.Flow {
	f := &userspace.Flow{Record: bpf.Record{EndReason: uint8(reason)}}
	f.Record.Dir[0] = bpf.Direction{Packets: packets - packets/2, Octets: octets - octets/2}
	f.Record.Dir[1] = bpf.Direction{Packets: packets / 2, Octets: octets / 2}
	if application != "" {
		f.L7 = &userspace.L7{ApplicationName: application}
	}
	return f
}

func count(packets, octets uint64) userspace.Count {
	return userspace.Count{Packets: packets, Octets: octets}
}

// closing is a ledger of a live run in which something of everything happened
// and every line closes.
func closing() *userspace.Ledger {
	l := &userspace.Ledger{
		NIC:      &userspace.Range{Low: count(1000, 640000), High: count(1003, 650000)},
		Observed: count(1002, 641000), Metered: count(990, 640000), Accounted: count(990, 630000),
		Lost: count(2, 1000), Open: count(3, 2000), Read: count(985, 627000), Delivered: count(980, 620000),
		NotSent:  map[string]userspace.Count{"ndjson:-": count(4, 6000), "csv:a\x1b.csv": count(1, 1000)},
		Overflow: 9, TableFull: 5, RecordBusy: 4, Deferred: 3, SamplesLost: 2, Regressions: 1,
		ClockJumps: 2, ClockJumped: time.Hour + 250*time.Millisecond,
		Object: strings.Repeat("0b", 32), Layout: strings.Repeat("1a", 32),
	}
	l.Ignored[bpf.WeirDecodeStatusSTATUS_ARP] = count(10, 600)
	l.Ignored[bpf.WeirDecodeStatusSTATUS_IP_TRUNCATED] = count(2, 400)
	return l
}

func TestSummaryOfALiveRun(t *testing.T) {
	l := closing()
	if err := l.Check(); err != nil {
		t.Fatal(err)
	}
	var s Summary
	s.Add(flow("TLS.Google", bpf.WeirFlowEndReasonEND_IDLE, 10, 5000))
	s.Add(flow("TLS.Google", bpf.WeirFlowEndReasonEND_ACTIVE, 20, 7000))
	s.Add(flow("DNS", bpf.WeirFlowEndReasonEND_IDLE, 2, 180))
	s.Add(flow("", bpf.WeirFlowEndReasonEND_FORCED, 1, 60))
	s.Add(flow("evil\x1b[31m", bpf.WeirFlowEndReasonEND_LACK_OF_RESOURCES, 1, 70))
	var out bytes.Buffer
	if err := s.Print(&out, l); err != nil {
		t.Fatal(err)
	}
	goldentest.Equal(t, "testdata/live.txt", out.String(), *update)
}

func TestSummaryOfAFileThatDoesNotClose(t *testing.T) {
	l := &userspace.Ledger{Observed: count(10, 1000), Metered: count(9, 900), Accounted: count(9, 900), Read: count(9, 900), Delivered: count(11, 901)}
	if err := l.Check(); err == nil {
		t.Fatal("the ledger closes; the test wants one that does not")
	}
	var out bytes.Buffer
	if err := new(Summary).Print(&out, l); err != nil {
		t.Fatal(err)
	}
	goldentest.Equal(t, "testdata/file.txt", out.String(), *update)
}

func TestTotalsByEndReason(t *testing.T) {
	var s Summary
	for range 3 {
		s.Add(flow("", bpf.WeirFlowEndReasonEND_IDLE, 5, 100))
	}
	s.Add(flow("", bpf.WeirFlowEndReasonEND_FORCED, 7, 30))
	if got, want := s.ByEndReason(bpf.WeirFlowEndReasonEND_IDLE), (Totals{3, count(15, 300)}); got != want {
		t.Errorf("idle: %+v, want %+v", got, want)
	}
	if got, want := s.Total(), (Totals{4, count(22, 330)}); got != want {
		t.Errorf("all: %+v, want %+v", got, want)
	}
	if got := s.ByEndReason(99); got != (Totals{}) {
		t.Errorf("a reason that does not exist: %+v, want nothing", got)
	}
}

func TestTopApplicationsAreByOctetsThenPacketsThenName(t *testing.T) {
	var s Summary
	s.Add(flow("b", 1, 1, 100))
	s.Add(flow("a", 1, 1, 100))
	s.Add(flow("many", 1, 9, 100))
	s.Add(flow("most", 1, 1, 101))
	var got []string
	for _, a := range s.Top(3) {
		got = append(got, a.Name)
	}
	if fmt.Sprint(got) != "[most many a]" {
		t.Errorf("top 3 are %v, want [most many a]", got)
	}
}

func TestApplicationsAreBounded(t *testing.T) {
	var s Summary
	for i := range 3 * MaxApplications {
		s.Add(flow(fmt.Sprint("application ", i), 1, 2, 10))
	}
	top := s.Top(1 << 20)
	if len(top) != MaxApplications+1 || top[0].Name != Other || top[0].Flows != 2*MaxApplications {
		t.Errorf("%d applications, first %+v; want %d, and %d flows under %s", len(top), top[0], MaxApplications+1, 2*MaxApplications, Other)
	}
}

func TestAddDoesNotAllocateForAKnownApplication(t *testing.T) {
	var s Summary
	f := flow("DNS", 1, 2, 100)
	s.Add(f)
	if n := testing.AllocsPerRun(100, func() { s.Add(f) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestPrintSaysWhyItCouldNot(t *testing.T) {
	if err := new(Summary).Print(broken{}, closing()); !errors.Is(err, os.ErrClosed) || !strings.HasPrefix(err.Error(), "print the summary: ") {
		t.Errorf("Print: %v, want the writer's error", err)
	}
}

// Names are nDPI's, from rules of the user's or the packets; outputs are paths.
func TestG5NoTextCommandsATerminal(t *testing.T) {
	for _, name := range []string{"\x1b[2J", "\u009b31m", "\u202etxt", "\u2066x", "a\nb", "\r", "\x7f", "\xff\xfe", "\u2028"} {
		var s Summary
		s.Add(flow(name, bpf.WeirFlowEndReasonEND_IDLE, 1, 70))
		var out bytes.Buffer
		l := userspace.Ledger{NotSent: map[string]userspace.Count{name: {Packets: 1}}}
		if err := s.Print(&out, &l); err != nil {
			t.Fatal(err)
		}
		for _, c := range out.String() {
			if c != '\n' && !unicode.IsPrint(c) {
				t.Errorf("%q lets character %#x through", name, c)
			}
		}
	}
}
