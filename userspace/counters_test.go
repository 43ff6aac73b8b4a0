package userspace

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/bpftest"
)

// elsewhere are the counters that nothing in this package moves, with the file
// and the test that drives each.
var elsewhere = map[string]struct{ path, test string }{
	"NotSent": {"../cmd/weir/replay_test.go", "TestG1FullDiskIsALossOfFlowsToThatOutputOnly"},
}

// ledgerCounters lists the names of the ledger's counters that are above zero,
// or of all of them; those of a decode status and of an end reason apart. What
// is added to the structure appears here by itself.
func ledgerCounters(l *Ledger, all bool) (names []string) {
	add := func(name string, v reflect.Value) {
		if all || !v.IsZero() {
			names = append(names, name)
		}
	}
	for field, v := range reflect.ValueOf(l).Elem().Fields() {
		switch field.Name {
		case "Ignored":
			for s := 1; s < v.Len(); s++ {
				add(fmt.Sprintf("Ignored[%s]", bpf.Status(s)), v.Index(s))
			}
		case "EndReasons":
			for r := 1; r < v.Len(); r++ {
				add(fmt.Sprintf("EndReasons[%s]", bpf.EndReason(r)), v.Index(r))
			}
		case "Panics":
			for of, n := range v.Fields() {
				add("Panics."+of.Name, n)
			}
		default:
			add(field.Name, v)
		}
	}
	return names
}

// TestEveryCounterIsDriven drives each counter of the ledger above zero, and
// holds the ledger closed while it does.
func TestEveryCounterIsDriven(t *testing.T) {
	var driven []string
	for _, d := range ledgerDrivers {
		t.Run(d.name, func(t *testing.T) {
			l := d.drive(t)
			if err := l.Check(); err != nil {
				t.Errorf("%v\n%+v", err, l)
			}
			above := ledgerCounters(&l, false)
			for _, counter := range d.counters {
				if !slices.Contains(above, counter) {
					t.Errorf("%s is 0: %+v", counter, l)
				}
			}
			driven = append(driven, d.counters...)
		})
	}
	for counter, there := range elsewhere {
		source, err := os.ReadFile(there.path)
		if err != nil || !bytes.Contains(source, []byte("\nfunc "+there.test+"(")) {
			t.Errorf("%s: no test %s in %s (%v)", counter, there.test, there.path, err)
		}
		driven = append(driven, counter)
	}
	for _, counter := range ledgerCounters(&Ledger{}, true) {
		if !slices.Contains(driven, counter) {
			t.Errorf("nothing drives %s above zero: add a driver", counter)
		}
	}
}

var ledgerDrivers = []struct {
	name     string
	drive    func(*testing.T) Ledger
	counters []string
}{
	{"an interface and its flows", driveInterface,
		[]string{"NIC", "Observed", "Metered", "Accounted", "Read", "Delivered", "Flows", "Samples", "EndReasons[forced end]", "Object", "Layout"}},
	{"a break", driveBreak, []string{"Open"}},
	{"a full table and a full ring", driveFullTable, []string{"TableFull", "Overflow", "Lost", "SamplesLost"}},
	{"an entry that is being deleted", driveBusy, []string{"RecordBusy", "Overflow"}},
	{"expiry into a full ring", driveDeferred, []string{"Deferred", "EndReasons[idle timeout]"}},
	{"a process that is killed", driveKilled, []string{"LostWithConsumer"}},
	{"a wall clock that is set", driveClock, []string{"ClockJumps", "ClockJumped"}},
	{"functions that panic", drivePanics, []string{"Panics.Samples", "Panics.NIC"}},
	{"a filter that panics", drivePanickingFilter, []string{"Panics.Filter"}},
	{"a file", driveFile, append([]string{"Regressions", "EndReasons[active timeout]", "EndReasons[end of flow]", "EndReasons[lack of resources]"}, ignoredCounters()...)},
}

// ignoredCounters is Ignored by all statuses but "ok".
func ignoredCounters() (names []string) {
	for s := 1; s < bpf.StatusCount; s++ {
		names = append(names, fmt.Sprintf("Ignored[%s]", bpf.Status(s)))
	}
	return names
}

// readAll runs a Consumer to the end of what is there.
func readAll(t *testing.T, consumer *Consumer) Ledger {
	t.Helper()
	for _, err := range consumer.Flows(drained(t)) {
		if err != nil {
			t.Fatal(err)
		}
	}
	return consumer.Ledger()
}

func driveInterface(t *testing.T) Ledger {
	c := liveConfig()
	c.Samples = 1
	k := newKernelMeter(t, c, ringOctets)
	k.showAll(2, 2)
	return readAll(t, k.consumer(c, WithSamples(func(*Sample) {}), WithNIC(func() *Range { return &Range{Count{4, 0}, Count{4, 0}} })))
}

func drivePanics(t *testing.T) Ledger {
	c := liveConfig()
	c.Samples = 1
	k := newKernelMeter(t, c, ringOctets)
	k.show(1)
	return readAll(t, k.consumer(c, WithSamples(func(*Sample) { panic("no") }), WithNIC(func() *Range { panic("no") })))
}

// ledgerOf runs a Meter to the end of its source.
func ledgerOf(t *testing.T, m *Meter) Ledger {
	t.Helper()
	for _, err := range m.Flows(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
	}
	return m.Ledger()
}

func drivePanickingFilter(t *testing.T) Ledger {
	var list captured
	list.add(udpFrame(1), 1, time.Second)
	m, err := NewMeter(&list, WithFilter(func([]byte, uint32) bool { panic("no") }))
	if err != nil {
		t.Fatal(err)
	}
	return ledgerOf(t, m)
}

func driveBreak(t *testing.T) Ledger {
	k := newKernelMeter(t, liveConfig(), ringOctets)
	k.showAll(3, 1)
	consumer := k.consumer(liveConfig())
	for range consumer.Flows(drained(t)) {
		break
	}
	return consumer.Ledger()
}

func driveFullTable(t *testing.T) Ledger {
	c := liveConfig()
	c.MaxFlows, c.Samples = 1, 50
	k := newKernelMeter(t, c, uint32(os.Getpagesize()))
	k.showAll(1, 50)
	k.showAll(100, 1)
	return readAll(t, k.consumer(liveConfig()))
}

func driveBusy(t *testing.T) Ledger {
	k := newKernelMeter(t, liveConfig(), ringOctets)
	k.show(1)
	consumer := k.consumer(liveConfig())
	var key bpf.Key
	for f := range consumer.Flows(drained(t)) {
		key = f.Record.Key
	}
	if err := bpftest.HoldDeleting(k.coll.Maps[bpf.WeirMapFlows], key); err != nil {
		t.Fatal(err)
	}
	k.show(1)
	readTheRest(t, consumer)
	return consumer.Ledger()
}

func driveDeferred(t *testing.T) Ledger {
	c := liveConfig()
	c.IdleTimeout = 20 * time.Millisecond
	k := newKernelMeter(t, c, uint32(os.Getpagesize()))
	k.showAll(50, 1)
	time.Sleep(2 * c.IdleTimeout)
	k.showAll(50, 1)
	return readAll(t, k.consumer(c))
}

func driveClock(t *testing.T) Ledger {
	k := newKernelMeter(t, liveConfig(), ringOctets)
	k.show(1)
	consumer := k.consumer(liveConfig())
	f := &fakeTime{wall: 1e18, monotonic: 1e12}
	consumer.sweeper.clock.read = f.read
	if err := consumer.sweep(bpf.WeirSweepModeSWEEP_IDLE); err != nil {
		t.Fatal(err)
	}
	f.pass(clockInterval)
	f.wall += int64(time.Hour)
	return readAll(t, consumer)
}

// driveFile meters a capture with a frame for every status, and flows that end
// for every reason that a file can give.
func driveFile(t *testing.T) Ledger {
	const refused = 7 // the flow that the filter does not match
	c := DefaultConfig()
	c.MaxFlows, c.ActiveTimeout, c.TCPEnd = 2, 10*time.Second, true
	var list captured
	for _, data := range bpftest.IgnoredFrames() {
		list.add(data, 1, time.Second)
	}
	list.add(udpFrame(1), 105, time.Second) // 802.11 without radiotap
	list.add(bpftest.Beacon(), 127, time.Second)
	list.add(udpFrame(refused), 1, time.Second)
	list.add(resetFrame(), 1, time.Second)
	list.add(udpFrame(1), 1, 2*time.Second)
	list.add(udpFrame(1), 1, time.Second)
	list.add(udpFrame(1), 1, 13*time.Second)
	list.add(udpFrame(2), 1, 13*time.Second)
	list.add(udpFrame(3), 1, 13*time.Second)
	m, err := NewMeter(&list, WithConfig(c), WithFilter(func(data []byte, _ uint32) bool { return len(data) < 38 || data[37] != refused }))
	if err != nil {
		t.Fatal(err)
	}
	return ledgerOf(t, m)
}

// resetFrame is a TCP segment with RST.
func resetFrame() []byte {
	b := udpFrame(4)
	b[23] = 6
	b[46], b[47] = 0x50, 0x04
	return b
}

// captured is a PacketSource over what was added.
type captured []CapturedPacket

func (c *captured) add(data []byte, linkType uint32, at time.Duration) {
	*c = append(*c, CapturedPacket{Data: data, Length: uint32(len(data)), LinkType: linkType, TimeNs: uint64(at)})
}

func (c *captured) ReadPacket(p *CapturedPacket) error {
	if len(*c) == 0 {
		return io.EOF
	}
	*p, *c = (*c)[0], (*c)[1:]
	return nil
}
