package userspace_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/userspace"
)

// script is a PacketSource that ends with err, or with io.EOF without one.
type script struct {
	packets []userspace.CapturedPacket
	err     error
}

func (s *script) ReadPacket(p *userspace.CapturedPacket) error {
	if len(s.packets) == 0 {
		if s.err != nil {
			return s.err
		}
		return io.EOF
	}
	*p = s.packets[0]
	s.packets = s.packets[1:]
	return nil
}

// udpAt is a UDP packet of IPv4 from 10.0.0.1:sport to 10.0.0.2:dport, at a
// time in seconds.
func udpAt(at float64, sport, dport uint16, payload int) userspace.CapturedPacket {
	data := make([]byte, 42+payload)
	copy(data[12:], []byte{0x08, 0x00, 0x45, 0})
	binary.BigEndian.PutUint16(data[16:], uint16(28+payload))
	copy(data[22:], []byte{64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2})
	binary.BigEndian.PutUint16(data[34:], sport)
	binary.BigEndian.PutUint16(data[36:], dport)
	return userspace.CapturedPacket{Data: data, Length: uint32(len(data)), TimeNs: uint64(at * 1e9), LinkType: 1}
}

// reply is the packet with its ends exchanged.
func reply(p userspace.CapturedPacket) userspace.CapturedPacket {
	d := slices.Clone(p.Data)
	copy(d[26:], p.Data[30:34])
	copy(d[30:], p.Data[26:30])
	copy(d[34:], p.Data[36:38])
	copy(d[36:], p.Data[34:36])
	p.Data = d
	return p
}

// meterOf is a meter whose ledger must close at the end of the test.
func meterOf(tb testing.TB, source userspace.PacketSource, change func(*userspace.Config), opts ...userspace.Option) *userspace.Meter {
	tb.Helper()
	cfg := userspace.DefaultConfig()
	if change != nil {
		change(&cfg)
	}
	m, err := userspace.NewMeter(source, append([]userspace.Option{userspace.WithConfig(cfg)}, opts...)...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { closed(tb, m) })
	return m
}

// brief is a flow in a word: source port, packets, part, end reason, times in s.
func brief(f *userspace.Flow) string {
	return fmt.Sprintf("%d×%d/%d %d [%g %g]", f.SourcePort(), f.Packets(), f.Record.Part, f.Record.EndReason,
		float64(userspace.FirstNs(&f.Record))/1e9, float64(userspace.LastNs(&f.Record))/1e9)
}

// closed is the ledger, which must close. A meter of meterOf is asked at the end
// of its test in any case.
func closed(tb testing.TB, m *userspace.Meter) userspace.Ledger {
	tb.Helper()
	l := m.Ledger()
	if err := l.Check(); err != nil {
		tb.Error(err)
	}
	return l
}

func timeouts(idle, active time.Duration) func(*userspace.Config) {
	return func(c *userspace.Config) { c.IdleTimeout, c.ActiveTimeout = idle, active }
}

func TestFlowsComeOutInTheOrderOfTheirExpiry(t *testing.T) {
	ten := timeouts(10*time.Second, 15*time.Second)
	for _, c := range []struct {
		name    string
		config  func(*userspace.Config)
		packets []userspace.CapturedPacket
		want    []string
	}{
		{"an idle flow is not held back by an older one that goes on", ten,
			[]userspace.CapturedPacket{udpAt(0, 1, 9, 0), udpAt(1, 2, 9, 0), udpAt(8, 1, 9, 0), udpAt(11, 3, 9, 0)},
			[]string{"2×1/0 1 [1 1]", "1×2/0 4 [0 8]", "3×1/0 4 [11 11]"}},
		{"an idle timeout that is over in milliseconds alone ends with the packet that comes then", ten,
			[]userspace.CapturedPacket{udpAt(0.0009, 1, 9, 0), udpAt(0.0001+10, 1, 9, 0), udpAt(0.0005+10, 2, 9, 0)},
			[]string{"1×1/0 1 [0.0009 0.0009]", "1×1/0 4 [10.0001 10.0001]", "2×1/0 4 [10.0005 10.0005]"}},
		{"ties by start", ten,
			[]userspace.CapturedPacket{udpAt(0, 1, 9, 0), udpAt(1, 2, 9, 0), udpAt(2, 2, 9, 0), udpAt(2, 1, 9, 0), udpAt(30, 3, 9, 0)},
			[]string{"1×2/0 1 [0 2]", "2×2/0 1 [1 2]", "3×1/0 4 [30 30]"}},
		{"an active split ties with what goes idle in the same instant", ten,
			[]userspace.CapturedPacket{udpAt(0, 1, 9, 0), udpAt(5, 2, 9, 0), udpAt(6, 1, 9, 0), udpAt(15, 1, 9, 0), udpAt(20, 1, 9, 0)},
			[]string{"1×2/0 2 [0 6]", "2×1/0 1 [5 5]", "1×2/1 4 [15 20]"}},
		{"idle is tested before active", ten,
			[]userspace.CapturedPacket{udpAt(0, 1, 9, 0), udpAt(8, 1, 9, 0), udpAt(18, 1, 9, 0)},
			[]string{"1×2/0 1 [0 8]", "1×1/0 4 [18 18]"}},
		{"just below the idle timeout nothing ends", ten,
			[]userspace.CapturedPacket{udpAt(0, 1, 9, 0), udpAt(9.999, 1, 9, 0)},
			[]string{"1×2/0 4 [0 9.999]"}},
		{"an ignored frame moves the clock on too", ten,
			[]userspace.CapturedPacket{udpAt(0, 1, 9, 0), {Data: []byte{1}, Length: 1, LinkType: 1, TimeNs: 10e9}},
			[]string{"1×1/0 1 [0 0]"}},
		{"an idle timeout of 0 makes every packet a flow", timeouts(0, time.Second),
			[]userspace.CapturedPacket{udpAt(1, 1, 9, 0), udpAt(1, 1, 9, 0)},
			[]string{"1×1/0 1 [1 1]", "1×1/0 1 [1 1]"}},
		{"an older second part of a file keeps its flows together", ten,
			[]userspace.CapturedPacket{udpAt(1000, 1, 9, 0), udpAt(0, 2, 9, 0), udpAt(3, 2, 9, 0), udpAt(13, 2, 9, 0)},
			[]string{"2×2/0 1 [0 3]", "2×1/0 1 [13 13]", "1×1/0 4 [1000 1000]"}},
		{"a full table ends what has been quiet the longest", func(c *userspace.Config) { c.MaxFlows = 2 },
			[]userspace.CapturedPacket{udpAt(0, 1, 9, 0), udpAt(1, 2, 9, 0), udpAt(2, 1, 9, 0), udpAt(3, 3, 9, 0)},
			[]string{"2×1/0 5 [1 1]", "1×2/0 4 [0 2]", "3×1/0 4 [3 3]"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := meterOf(t, &script{packets: c.packets}, c.config)
			var got []string
			for f, err := range m.Flows(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, brief(f))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
			closed(t, m)
		})
	}
}

func TestFlowsComeOutWhileTheFileIsRead(t *testing.T) {
	source := &script{packets: []userspace.CapturedPacket{udpAt(0, 1, 9, 0), udpAt(200, 2, 9, 0), udpAt(201, 2, 9, 0), udpAt(202, 2, 9, 0)}}
	for f := range meterOf(t, source, nil).Flows(t.Context()) {
		if f.SourcePort() == 1 && len(source.packets) == 0 {
			t.Error("the first flow waited for the end of input")
		}
	}
}

func TestActiveSplitKeepsDirectionAndIdentity(t *testing.T) {
	first := udpAt(0, 1, 9, 0)
	copy(first.Data, []byte{2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1})
	answer := reply(udpAt(15, 1, 9, 0))
	answer.Interface = "b"
	first.Interface = "a"
	var flows []*userspace.Flow
	for f := range meterOf(t, &script{packets: []userspace.CapturedPacket{first, answer}}, timeouts(time.Minute, 15*time.Second)).Flows(t.Context()) {
		flows = append(flows, f.Clone())
	}
	a, b := flows[0], flows[1]
	if b.Record.FlowId != a.Record.FlowId || b.Record.Part != 1 || b.SourcePort() != 1 || b.Record.Mac != a.Record.Mac || b.Record.Mac[0][5] != 1 {
		t.Errorf("first %+v\nsecond %+v", a.Record, b.Record)
	}
	if b.Record.Dir[1].Packets != 1 || b.Record.Dir[0].Packets != 0 || b.Interface != "a" {
		t.Errorf("the answer is not in the reverse direction of interface a: %+v %q", b.Record.Dir, b.Interface)
	}
}

func TestDamageIsReportedAfterTheFlowsBeforeIt(t *testing.T) {
	damage := errors.New("block of 4 GiB at offset 100")
	m := meterOf(t, &script{packets: []userspace.CapturedPacket{udpAt(0, 1, 9, 0)}, err: damage}, nil)
	var got []error
	for f, err := range m.Flows(t.Context()) {
		if (f == nil) != (err != nil) {
			t.Errorf("flow %v with error %v", f, err)
		}
		got = append(got, err)
	}
	if len(got) != 2 || got[0] != nil || !errors.Is(got[1], damage) || !strings.HasPrefix(got[1].Error(), "read packets: ") {
		t.Errorf("got %v", got)
	}
	closed(t, m)
	for range m.Flows(t.Context()) {
		t.Error("something came after the end")
	}
}

func TestCancellationHandsOutWhatIsOpen(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	source := newTraffic(10, 1<<40)
	cancelling := sourceFunc(func(p *userspace.CapturedPacket) error {
		if source.left == 1<<40-1000 {
			cancel()
			time.Sleep(10 * time.Millisecond)
		}
		return source.ReadPacket(p)
	})
	m := meterOf(t, cancelling, nil)
	flows := 0
	for f, err := range m.Flows(ctx) {
		if err != nil || f.EndReason() != bpf.WeirFlowEndReasonEND_FORCED {
			t.Errorf("%v %v", f, err)
		}
		flows++
	}
	if l := closed(t, m); flows != 10 || l.Delivered.Packets < 1000 || l.Open.Packets != 0 {
		t.Errorf("%d flows, ledger %+v", flows, l)
	}
}

type sourceFunc func(*userspace.CapturedPacket) error

func (f sourceFunc) ReadPacket(p *userspace.CapturedPacket) error { return f(p) }

func TestBreakingOffAndGoingOnLosesNothing(t *testing.T) {
	var list []userspace.CapturedPacket
	for port := range uint16(20) {
		list = append(list, udpAt(1, port, 9, 0))
	}
	m := meterOf(t, &script{packets: append(list, udpAt(500, 99, 9, 0))}, nil)
	var ports []uint16
	for range 21 {
		for f := range m.Flows(t.Context()) {
			ports = append(ports, f.SourcePort())
			break
		}
		if l := closed(t, m); l.Delivered.Packets != uint64(len(ports)) {
			t.Fatalf("delivered %d packets in %d flows", l.Delivered.Packets, len(ports))
		}
	}
	if len(ports) != 21 || ports[20] != 99 || !slices.IsSorted(ports) {
		t.Errorf("ports %v", ports)
	}
}

func TestWhatIsNotMeteredHasItsReason(t *testing.T) {
	arp := userspace.CapturedPacket{Data: make([]byte, 42), Length: 60, LinkType: 1}
	arp.Data[12], arp.Data[13] = 8, 6
	refused := udpAt(0, 7, 9, 0)
	short := udpAt(0, 1, 9, 0)
	short.Data = short.Data[:30]
	foreign := udpAt(0, 1, 9, 0)
	foreign.LinkType = 105
	keep := userspace.WithFilter(func(data []byte, length uint32) bool { return len(data) < 36 || data[35] != 7 })
	m := meterOf(t, &script{packets: []userspace.CapturedPacket{arp, refused, short, foreign, udpAt(0, 1, 9, 0)}}, nil, keep)
	if n := drain(t, m); n != 1 {
		t.Errorf("%d flows, want 1", n)
	}
	l := closed(t, m)
	for status, octets := range map[bpf.Status]uint64{
		bpf.WeirDecodeStatusSTATUS_ARP: 60, bpf.WeirDecodeStatusSTATUS_FILTERED: 42,
		bpf.WeirDecodeStatusSTATUS_IP_TRUNCATED: 42, bpf.WeirDecodeStatusSTATUS_LINK_TYPE: 42,
	} {
		if got := l.Ignored[status]; got != (userspace.Count{Packets: 1, Octets: octets}) {
			t.Errorf("ignored as %v: %+v", status, got)
		}
	}
	if l.EndReasons[bpf.WeirFlowEndReasonEND_FORCED] != 1 || l.Flows != 1 || l.NIC != nil {
		t.Errorf("ledger %+v", l)
	}
}

func TestLedgerClosesWheneverItIsRead(t *testing.T) {
	m := meterOf(t, newTraffic(5000, 300_000), timeouts(20*time.Millisecond, 50*time.Millisecond))
	done := make(chan struct{})
	var readers sync.WaitGroup
	readers.Go(func() {
		for last := uint64(0); ; {
			l := m.Ledger()
			if err := l.Check(); err != nil || l.Observed.Packets < last {
				t.Errorf("%v, observed %d after %d", err, l.Observed.Packets, last)
			}
			last = l.Observed.Packets
			select {
			case <-done:
				return
			default:
				runtime.Gosched()
			}
		}
	})
	flows := drain(t, m)
	close(done)
	readers.Wait()
	if l := closed(t, m); l.Delivered.Packets != 300_000 || l.Flows != uint64(flows) || l.EndReasons[1] == 0 || l.EndReasons[2] == 0 {
		t.Errorf("%d flows, ledger %+v", flows, l)
	}
}

func TestConfigurationOutOfRangeIsRefused(t *testing.T) {
	_, err := userspace.NewMeter(&script{}, userspace.WithConfig(userspace.Config{MaxFlows: 1, SPLT: 21}))
	if err == nil || !strings.HasPrefix(err.Error(), "configure meter: splt 21") {
		t.Errorf("error %v", err)
	}
}

// TestA9MemoryIsFlatInTheLength meters a million packets in a hundred thousand
// flows, of which a few are open at a time, and compares the second half's
// allocations.
func TestA9MemoryIsFlatInTheLength(t *testing.T) {
	port, left, allocated := uint16(0), 1_000_000, [2]uint64{}
	source := sourceFunc(func(p *userspace.CapturedPacket) error {
		if left--; left < 0 {
			return io.EOF
		}
		if left == 500_000 || left == 0 {
			var stats runtime.MemStats
			runtime.ReadMemStats(&stats)
			allocated[min(left, 1)^1] = stats.TotalAlloc
		}
		if left%10 == 0 {
			port++
		}
		binary.BigEndian.PutUint16(p.Data[34:], port)
		p.TimeNs += uint64(time.Millisecond)
		return nil
	})
	first := udpAt(0, 0, 9, 100)
	m := meterOf(t, sourceFunc(func(p *userspace.CapturedPacket) error {
		if p.Data == nil {
			*p = first
		}
		return source(p)
	}), func(c *userspace.Config) { c.IdleTimeout, c.Samples = time.Second, 5 }, userspace.WithSamples(func(*userspace.Sample) {}))
	if flows := drain(t, m); flows != 100_000 && flows != 100_001 {
		t.Errorf("%d flows", flows)
	}
	if grown := allocated[1] - allocated[0]; grown > 64<<10 {
		t.Errorf("%d octets allocated in the second half", grown)
	}
	closed(t, m)
	t.Logf("measured: %d octets allocated over the second half of a million packets", allocated[1]-allocated[0])
}

var (
	_ userspace.Source     = (*userspace.Meter)(nil)
	_ userspace.DPIStopper = (*userspace.Meter)(nil)
)
