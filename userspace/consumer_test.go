package userspace

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"

	"github.com/weirflow/weir/bpf"
)

// frameOctets is the length of the frames that are shown.
const frameOctets = 142

// udpFrame is a frame of flow n.
func udpFrame(n int) []byte {
	b := make([]byte, 12, frameOctets)
	b = append(b, 8, 0, 0x45, 0, 0, frameOctets-14, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2)
	b = binary.BigEndian.AppendUint16(b, 4000)
	b = binary.BigEndian.AppendUint16(b, uint16(n))
	b = append(b, 0, frameOctets-34, 0, 0)
	return append(b, make([]byte, frameOctets-len(b))...)
}

// show shows a frame of flow n.
func (k *kernelMeter) show(n int) {
	k.t.Helper()
	if _, err := k.coll.Programs[bpf.WeirProgWeirXdpIn].Run(&ebpf.RunOptions{Data: udpFrame(n), Repeat: 1}); err != nil {
		k.t.Fatal(err)
	}
}

func (k *kernelMeter) showAll(flows, packets int) {
	k.t.Helper()
	for range packets {
		for n := range flows {
			k.show(n)
		}
	}
}

func liveConfig() Config {
	c := DefaultConfig()
	c.MaxFlows = 1024
	return c
}

// drained is a context that has ended.
func drained(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// packetsOf collects the packets of each flow, by n of show, and the number of
// its records.
func packetsOf(t *testing.T, c *Consumer, ctx context.Context) (packets, records map[int]int) {
	t.Helper()
	packets, records = map[int]int{}, map[int]int{}
	for f, err := range c.Flows(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		packets[int(f.DestinationPort())] += int(f.Packets())
		records[int(f.DestinationPort())]++
	}
	return packets, records
}

func wantClosed(t *testing.T, c *Consumer, packets uint64) Ledger {
	t.Helper()
	l := c.Ledger()
	if err := l.Check(); err != nil {
		t.Errorf("%v\n%+v", err, l)
	}
	if want := (Count{packets, packets * frameOctets}); l.Observed != want {
		t.Errorf("observed %+v, want %+v", l.Observed, want)
	}
	if l.Open != (Count{}) {
		t.Errorf("open: %+v", l.Open)
	}
	return l
}

func TestDrainDeliversWhatIsOpenInWallTime(t *testing.T) {
	bothWays(t, drainDeliversWhatIsOpenInWallTime)
}

func drainDeliversWhatIsOpenInWallTime(t *testing.T, way sweptBy) {
	c := liveConfig()
	k := way(newKernelMeter(t, c, ringOctets))
	start := time.Now()
	k.showAll(50, 4)
	end := time.Now()
	detached := 0
	consumer := k.consumer(c, WithDetach(func() error { detached++; return nil }),
		WithNIC(func() *Range { return &Range{Count{200, 0}, Count{201, 0}} }))
	n := 0
	for f, err := range consumer.Flows(drained(t)) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		const slack = 5 * time.Millisecond
		if f.Start().Before(start.Add(-slack)) || f.End().After(end.Add(slack)) || f.End().Before(f.Start()) {
			t.Errorf("flow from %v to %v, shown from %v to %v", f.Start(), f.End(), start, end)
		}
		if d := &f.Record.Dir[1]; d.FirstNs != 0 || d.LastNs != 0 {
			t.Errorf("the direction without packets has times: %+v", d)
		}
		if f.Packets() != 4 || f.EndReason() != bpf.WeirFlowEndReasonEND_FORCED || f.Interface != "test0" {
			t.Errorf("flow %+v at %q", f.Record, f.Interface)
		}
	}
	if n != 50 || detached != 1 {
		t.Errorf("%d flows, want 50; detached %d times", n, detached)
	}
	l := wantClosed(t, consumer, 200)
	if l.NIC == nil || l.NIC.High.Packets != 201 || l.Flows != 50 || l.EndReasons[4] != 50 {
		t.Errorf("ledger %+v", l)
	}
}

func TestIdleFlowsAreDeliveredWhileItRuns(t *testing.T) {
	bothWays(t, idleFlowsAreDeliveredWhileItRuns)
}

func idleFlowsAreDeliveredWhileItRuns(t *testing.T, way sweptBy) {
	c := liveConfig()
	c.IdleTimeout = 40 * time.Millisecond
	k := way(newKernelMeter(t, c, ringOctets))
	k.showAll(10, 3)
	consumer := k.consumer(c)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	n := 0
	for f, err := range consumer.Flows(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if f.EndReason() != bpf.WeirFlowEndReasonEND_IDLE {
			t.Errorf("end reason %v", f.EndReason())
		}
		if n++; n == 10 {
			cancel()
		}
	}
	if n != 10 {
		t.Errorf("%d flows", n)
	}
	wantClosed(t, consumer, 30)
}

func TestPacketsWithoutAPlaceAreMeteredInUserSpace(t *testing.T) {
	c := liveConfig()
	c.MaxFlows = 1
	k := newKernelMeter(t, c, ringOctets)
	k.showAll(200, 3)
	consumer := k.consumer(liveConfig())
	packets, records := packetsOf(t, consumer, drained(t))
	if len(packets) != 200 {
		t.Errorf("%d flows, want 200", len(packets))
	}
	for n := range packets {
		if packets[n] != 3 || records[n] != 1 {
			t.Errorf("flow %d: %d packets in %d records", n, packets[n], records[n])
		}
	}
	if l := wantClosed(t, consumer, 600); l.TableFull == 0 || l.Overflow == 0 {
		t.Errorf("ledger %+v", l)
	}
}

func TestFlowsMeteredInUserSpaceExpireToo(t *testing.T) {
	c := liveConfig()
	c.MaxFlows, c.IdleTimeout = 1, 40*time.Millisecond
	k := newKernelMeter(t, c, ringOctets)
	k.showAll(20, 2)
	consumer := k.consumer(c)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	reasons := map[bpf.EndReason]int{}
	for f, err := range consumer.Flows(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		reasons[f.EndReason()] += int(f.Packets())
		if reasons[bpf.WeirFlowEndReasonEND_IDLE]+reasons[bpf.WeirFlowEndReasonEND_LACK_OF_RESOURCES] == 40 {
			cancel()
		}
	}
	if reasons[bpf.WeirFlowEndReasonEND_FORCED] != 0 {
		t.Errorf("packets by reason: %v", reasons)
	}
	wantClosed(t, consumer, 40)
}

func TestA4FullRingLosesSinglePacketsOnlyAndIsCounted(t *testing.T) {
	bothWays(t, fullRingLosesSinglePackets)
}

func fullRingLosesSinglePackets(t *testing.T, way sweptBy) {
	c := liveConfig()
	c.MaxFlows = 64
	k := way(newKernelMeter(t, c, uint32(os.Getpagesize())))
	k.showAll(500, 2)
	consumer := k.consumer(liveConfig())
	packets, _ := packetsOf(t, consumer, drained(t))
	l := wantClosed(t, consumer, 1000)
	if l.Lost.Packets == 0 || l.Lost.Octets != l.Lost.Packets*frameOctets {
		t.Errorf("lost %+v", l.Lost)
	}
	sum := uint64(0)
	for _, n := range packets {
		sum += uint64(n)
	}
	if sum+l.Lost.Packets != 1000 {
		t.Errorf("%d packets in flows, %d lost, of 1000", sum, l.Lost.Packets)
	}
	whole := 0
	for n := range 64 {
		if packets[n] == 2 {
			whole++
		}
	}
	if whole < 60 {
		t.Errorf("of the 64 flows that came first %d are whole", whole)
	}
	t.Logf("measured: %d flows of the first 64 are whole, %d packets of 1000 lost and counted", whole, l.Lost.Packets)
}

func TestSamplesComeBeforeTheirFlowAndStopWhenToldTo(t *testing.T) {
	c := liveConfig()
	c.Samples, c.SampleOctets = 8, 60
	k := newKernelMeter(t, c, ringOctets)
	var consumer *Consumer
	seen := map[uint64][]uint8{}
	sampled := make(chan struct{}, 1)
	consumer = k.consumer(c, WithSamples(func(s *Sample) {
		if len(s.Packet) != 60 || s.WireLength != frameOctets-14 || s.Packet[0] != 0x45 || s.Protocol != 17 || s.IPVersion != 4 || s.Reverse {
			t.Errorf("sample %+v", s)
		}
		if age := time.Since(time.Unix(0, int64(s.TimeNs))); age < -5*time.Millisecond || age > time.Minute {
			t.Errorf("sample's time is %v ago", age)
		}
		seen[s.FlowID] = append(seen[s.FlowID], s.Number)
		if s.Number == 1 {
			consumer.StopSamples(s.FlowID, s.Part)
			sampled <- struct{}{}
		}
	}))
	k.showAll(1, 2)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	go func() {
		<-sampled
		time.Sleep(100 * time.Millisecond)
		k.showAll(1, 5)
		cancel()
	}()
	for f, err := range consumer.Flows(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if got := seen[f.Record.FlowId]; !slices.Equal(got, []uint8{0, 1}) || f.Packets() != 7 {
			t.Errorf("flow of %d packets, samples %v", f.Packets(), got)
		}
	}
	if l := wantClosed(t, consumer, 7); l.Samples != 2 {
		t.Errorf("%d samples", l.Samples)
	}
}

func TestBreakingOffLeavesTheRestInTheKernel(t *testing.T) {
	c := liveConfig()
	k := newKernelMeter(t, c, ringOctets)
	k.showAll(10, 1)
	consumer := k.consumer(c)
	n := 0
	for range consumer.Flows(drained(t)) {
		if n++; n == 3 {
			break
		}
	}
	l := consumer.Ledger()
	if l.Delivered.Packets != 3 || l.Read != l.Delivered {
		t.Errorf("delivered %+v, read %+v", l.Delivered, l.Read)
	}
}

func TestADetachmentThatFailsIsToldAfterTheFlows(t *testing.T) {
	c := liveConfig()
	k := newKernelMeter(t, c, ringOctets)
	k.showAll(3, 1)
	broken := errors.New("broken")
	consumer := k.consumer(c, WithDetach(func() error { return broken }))
	var flows int
	var last error
	for f, err := range consumer.Flows(drained(t)) {
		if f != nil {
			flows++
		}
		last = err
	}
	if flows != 3 || !errors.Is(last, broken) {
		t.Errorf("%d flows, error %v", flows, last)
	}
}

func TestADrainEndsAlthoughPacketsArrive(t *testing.T) {
	c := liveConfig()
	k := newKernelMeter(t, c, ringOctets)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				k.show(1)
			}
		}
	}()
	ended := time.AfterFunc(20*time.Second, func() { panic("the drain does not end") })
	consumer := k.consumer(c)
	for _, err := range consumer.Flows(drained(t)) {
		if err != nil {
			t.Error(err)
		}
	}
	ended.Stop()
	close(stop)
	<-done
	readTheRest(t, consumer)
}

// readTheRest reads what has come after the end of the iteration, for the ledger.
func readTheRest(t *testing.T, consumer *Consumer) {
	t.Helper()
	consumer.yield = func(*Flow, error) bool { return true }
	if err := consumer.drain(); err != nil {
		t.Error(err)
	}
	consumer.publish()
}

func TestAClosedRingIsAnError(t *testing.T) {
	c := liveConfig()
	consumer := newKernelMeter(t, c, ringOctets).consumer(c)
	if err := consumer.Close(); err != nil {
		t.Fatal(err)
	}
	var last error
	for _, err := range consumer.Flows(t.Context()) {
		last = err
	}
	if !errors.Is(last, os.ErrClosed) {
		t.Errorf("error %v", last)
	}
}

func TestAConfigurationOutOfRangeIsRefused(t *testing.T) {
	c := liveConfig()
	k := newKernelMeter(t, c, ringOctets)
	c.MaxFlows = 0
	if _, err := NewConsumer(k.handles(), WithConfig(c)); err == nil {
		t.Error("it is taken")
	}
}

func TestG7ATableOfOtherGroupsIsRefused(t *testing.T) {
	c := liveConfig()
	k := newKernelMeter(t, c, ringOctets)
	c.Statistics = true
	if _, err := NewConsumer(k.handles(), WithConfig(c)); err == nil || !strings.Contains(err.Error(), "192 octets") {
		t.Errorf("error %v, want one that tells the size of the table's entries", err)
	}
}

func TestG7RingRecordsOfAnotherBuildAreRefused(t *testing.T) {
	config := liveConfig()
	layout := config.groups().Layout()
	var packet bpf.PacketEvent
	var sample bpf.SampleEvent
	events := map[string][]byte{
		"empty":           {},
		"shorter than it": {1, 0, 0},
		"unknown kind":    kindOf(99, 64),
		"short record":    kindOf(1, layout.Event()-1),
		"long record":     kindOf(1, layout.Event()+8),
		"short packet":    kindOf(2, 16),
		"long packet":     kindOf(2, int(unsafe.Sizeof(packet))+8),
		"short sample":    kindOf(3, int(unsafe.Sizeof(sample))-1),
		"sample that claims more octets than there are": func() []byte {
			raw := kindOf(3, int(unsafe.Sizeof(sample))+10)
			(*bpf.SampleEvent)(unsafe.Pointer(&raw[0])).Length = 11
			return raw
		}(),
	}
	for name, raw := range events {
		var unknown *EventError
		if err := (&Consumer{layout: layout}).event(raw); !errors.As(err, &unknown) || unknown.Octets != len(raw) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	t.Logf("measured: %d records of other kinds and lengths are refused", len(events))
}

func kindOf(kind uint32, octets int) []byte {
	raw := make([]byte, octets)
	binary.NativeEndian.PutUint32(raw, kind)
	return raw
}

func TestSweepsComeAsOftenAsThereIsNeed(t *testing.T) {
	for name, test := range map[string]struct {
		idle     time.Duration
		mode     bpf.WeirSweepMode
		deferred uint32
		took     time.Duration
		want     time.Duration
	}{
		"a second at most":           {idle: 120 * time.Second, want: time.Second},
		"a quarter of the idle time": {idle: 400 * time.Millisecond, want: 100 * time.Millisecond},
		"10 ms at least":             {idle: 0, want: 10 * time.Millisecond},
		"when flows may be over that came behind it, under pressure": {idle: time.Minute, mode: bpf.WeirSweepModeSWEEP_PRESSURE, took: 30 * time.Millisecond, want: 155 * time.Millisecond},
		"not more than half the time, under pressure either":         {idle: time.Minute, mode: bpf.WeirSweepModeSWEEP_PRESSURE, took: 200 * time.Millisecond, want: 400 * time.Millisecond},
		"soon when the ring was full under pressure":                 {idle: time.Minute, mode: bpf.WeirSweepModeSWEEP_PRESSURE, deferred: 1, want: 10 * time.Millisecond},
		"soon when the ring was full":                                {idle: time.Minute, deferred: 1, want: 10 * time.Millisecond},
		"not more than half the time":                                {idle: 0, took: 80 * time.Millisecond, want: 160 * time.Millisecond},
	} {
		s := newSweeper(&bpf.Handles{}, test.idle)
		s.last.Deferred = test.deferred
		if got := s.wait(test.mode, test.took); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

func TestPressureGrowsWhileTheTableIsFull(t *testing.T) {
	s := newSweeper(&bpf.Handles{}, 64*time.Second)
	full := uint64(0)
	var got []time.Duration
	for _, more := range []uint64{0, 5, 1, 9, 2, 0, 1} {
		full += more
		if s.mode(func() uint64 { return full }) == bpf.WeirSweepModeSWEEP_PRESSURE {
			got = append(got, s.pressure)
		} else {
			got = append(got, 0)
		}
	}
	want := []time.Duration{0, 16 * time.Second, 4 * time.Second, time.Second, time.Second, 0, time.Second}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// A table that is found full does not wait for the sweep in turn.
func TestFullTableIsSweptSoon(t *testing.T) {
	full := uint64(0)
	s := newSweeper(&bpf.Handles{}, time.Hour)
	s.next = time.Now().Add(time.Hour)
	if s.due(func() uint64 { return full }) {
		t.Error("a sweep is due while the table has room")
	}
	full++
	if s.due(func() uint64 { return full }) {
		t.Error("the table is looked at again at once")
	}
	s.look = time.Now()
	if !s.due(func() uint64 { return full }) {
		t.Error("no sweep is due although packets found the table full")
	}
}

// A flood of flows of one packet fills the table; a flow that goes on must not
// suffer, and new ones must find a place again.
func TestA5FloodMakesRoomForItself(t *testing.T) { bothWays(t, floodMakesRoom) }

func floodMakesRoom(t *testing.T, way sweptBy) {
	c := liveConfig()
	c.MaxFlows = 64
	k := way(newKernelMeter(t, c, ringOctets))
	const steady = 65535
	shown := 0
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	made := make(chan struct{}, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; ctx.Err() == nil; n++ {
			k.show(steady)
			k.show(n % 60000)
			shown += 2
			time.Sleep(200 * time.Microsecond)
		}
	}()
	go func() {
		<-made
		cancel()
	}()
	var steadyPackets, steadyRecords int
	consumer := k.consumer(liveConfig(), WithDetach(func() error { <-done; return nil }))
	for f, err := range consumer.Flows(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if f.DestinationPort() == steady {
			steadyRecords++
			steadyPackets += int(f.Packets())
		}
		if f.EndReason() == bpf.WeirFlowEndReasonEND_LACK_OF_RESOURCES && f.Record.FlowId < overflowFlowIDs {
			select {
			case made <- struct{}{}:
			default:
			}
		}
	}
	if steadyRecords != 1 || steadyPackets != shown/2 {
		t.Errorf("the flow that went on: %d records of %d packets, want one of %d", steadyRecords, steadyPackets, shown/2)
	}
	if l := wantClosed(t, consumer, uint64(shown)); l.EndReasons[5] == 0 {
		t.Errorf("no flow ended for lack of resources: %v", l.EndReasons)
	}
	t.Logf("measured: a flow that goes on beside %d packets of others through 64 entries is %d record of %d packets", shown/2, steadyRecords, steadyPackets)
}

func TestASweepStoppedByAFullRingHasNotCountedWhatIsOpen(t *testing.T) {
	s := newSweeper(&bpf.Handles{}, time.Second)
	s.keep(&bpf.Sweep{PacketsOpen: 9, OctetsOpen: 900, Open: 3})
	s.keep(&bpf.Sweep{PacketsOpen: 2, OctetsOpen: 200, Open: 1, Deferred: 1})
	if s.last.PacketsOpen != 9 || s.last.OctetsOpen != 900 {
		t.Errorf("%+v", s.last)
	}
}

func TestReadingEventsDoesNotAllocate(t *testing.T) {
	c := liveConfig()
	consumer := newKernelMeter(t, c, ringOctets).consumer(c)
	consumer.yield = func(*Flow, error) bool { return true }
	raw := kindOf(1, consumer.layout.Event())
	if n := testing.AllocsPerRun(100, func() { _ = consumer.event(raw) }); n != 0 {
		t.Errorf("%v allocations a record", n)
	}
}
