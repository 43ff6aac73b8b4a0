package userspace_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/differential"
	"github.com/weirflow/weir/userspace"
)

// A segment is a TCP packet of a connection between a client, 10.0.0.1:40000, and
// a server, 10.0.0.2:80.
type segment struct {
	at      time.Duration
	from    string // client or server
	flags   string // of S, A, F, R, P
	seq     uint32
	payload int
	window  uint16
	options []layers.TCPOption
}

func (s segment) packet(tb testing.TB) userspace.CapturedPacket {
	tb.Helper()
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: net.IP{10, 0, 0, 1}, DstIP: net.IP{10, 0, 0, 2}}
	tcp := &layers.TCP{SrcPort: 40000, DstPort: 80, Seq: s.seq, Window: s.window, Options: s.options}
	if s.from == "server" {
		ip.SrcIP, ip.DstIP = ip.DstIP, ip.SrcIP
		ip.TTL, ip.TOS = 57, 0x10
		tcp.SrcPort, tcp.DstPort = tcp.DstPort, tcp.SrcPort
	}
	tcp.SYN, tcp.ACK = strings.Contains(s.flags, "S"), strings.Contains(s.flags, "A")
	tcp.FIN, tcp.RST, tcp.PSH = strings.Contains(s.flags, "F"), strings.Contains(s.flags, "R"), strings.Contains(s.flags, "P")
	buffer := gopacket.NewSerializeBuffer()
	eth := &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, EthernetType: layers.EthernetTypeIPv4}
	err := gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{FixLengths: true}, eth, ip, tcp, gopacket.Payload(make([]byte, s.payload)))
	if err != nil {
		tb.Fatal(err)
	}
	data := buffer.Bytes()
	return userspace.CapturedPacket{Data: data, Length: uint32(len(data)), TimeNs: uint64(time.Hour + s.at), LinkType: 1}
}

// meterSegments runs the segments through both meters, which must agree.
func meterSegments(t *testing.T, tcpEnd bool, segments []segment) []bpf.Record {
	t.Helper()
	cfg := everything(tcpEnd)
	return meterSegmentsIn(t, &differential.Kernel{Meter: kernelMeter(t, 1, &cfg)}, cfg, segments)
}

// meterSegmentsIn is meterSegments with a kernel's meter that has been loaded before.
func meterSegmentsIn(t *testing.T, k *differential.Kernel, cfg userspace.Config, segments []segment) []bpf.Record {
	t.Helper()
	p := &packets{}
	for _, s := range segments {
		p.List = append(p.List, s.packet(t))
	}
	return agreesWith(t, k, t.Name(), 1, cfg, p)
}

func mss(octets uint16) []layers.TCPOption {
	return []layers.TCPOption{
		{OptionType: layers.TCPOptionKindNop},
		{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{byte(octets >> 8), byte(octets)}},
	}
}

const ms = time.Millisecond

func TestHandshakeOfBothEndsIsTimed(t *testing.T) {
	records := meterSegments(t, false, []segment{
		{at: 0, from: "client", flags: "S", seq: 99, window: 64240, options: mss(1460)},
		{at: 1000 * ms, from: "client", flags: "S", seq: 99, window: 64240, options: mss(1460)},
		{at: 1030 * ms, from: "server", flags: "SA", seq: 499, window: 65160, options: mss(1380)},
		{at: 1035 * ms, from: "client", flags: "A", seq: 100, window: 502},
		{at: 1036 * ms, from: "client", flags: "AP", seq: 100, payload: 100, window: 502},
		{at: 1090 * ms, from: "server", flags: "SA", seq: 499, window: 65160, options: mss(1380)},
	})
	r := records[0]
	if got := fmt.Sprint(r.SynAckNs-r.SynNs, r.AckNs-r.SynAckNs); got != fmt.Sprint(uint64(30*ms), uint64(5*ms)) {
		t.Errorf("SYN to SYN-ACK and on to ACK: %s ns", got)
	}
	if c, s := r.Tcp[0], r.Tcp[1]; c.InitialWindow != 64240 || s.InitialWindow != 65160 || c.Mss != 1460 || s.Mss != 1380 {
		t.Errorf("windows and segment sizes: %+v", r.Tcp)
	}
	if c, s := r.Tcp[0], r.Tcp[1]; c.Retransmitted != 1 || s.Retransmitted != 1 {
		t.Errorf("a repeated SYN and SYN-ACK: %d and %d retransmitted", c.Retransmitted, s.Retransmitted)
	}
	if r.Ip != [2]bpf.IPDirection{{TtlMin: 64, TtlMax: 64}, {TtlMin: 57, TtlMax: 57, TosMin: 16, TosMax: 16}} {
		t.Errorf("TTL and TOS: %+v", r.Ip)
	}
}

// Data is sent by the client only, the sequence numbers beginning just below the
// point where they wrap.
func TestSequenceNumbersTellLateFromRepeated(t *testing.T) {
	const start = ^uint32(0) - 149 // 150 octets to the wrap
	cfg := everything(false)
	k := &differential.Kernel{Meter: kernelMeter(t, 1, &cfg)}
	for _, c := range []struct {
		name                      string
		offsets                   []uint32 // of segments of 100 octets
		retransmitted, outOfOrder uint64
	}{
		{"in order", []uint32{0, 100, 200, 300}, 0, 0},
		{"one repeated", []uint32{0, 100, 0, 200}, 1, 0},
		{"repeated across the wrap", []uint32{0, 100, 200, 100}, 1, 0},
		{"two exchanged", []uint32{0, 200, 100, 300}, 0, 1},
		{"a hole filled in order", []uint32{0, 400, 100, 200, 300, 500}, 0, 3},
		{"a hole filled, then once more", []uint32{0, 200, 100, 100}, 1, 1},
		{"the older of two holes is forgotten", []uint32{0, 200, 400, 100, 300}, 1, 1},
		{"an overlap that brings something new", []uint32{0, 50, 100}, 0, 0},
		{"a hole closed by a packet that goes on", []uint32{0, 250, 150, 100}, 1, 1},
		{"a packet that begins before the hole and fills it", []uint32{0, 150, 60, 60}, 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			segments := []segment{{from: "client", flags: "S", seq: start - 1, window: 1}}
			for i, offset := range c.offsets {
				segments = append(segments, segment{at: time.Duration(i+1) * ms, from: "client", flags: "A", seq: start + offset, payload: 100, window: 1})
			}
			d := meterSegmentsIn(t, k, cfg, segments)[0].Tcp[0]
			if d.Retransmitted != c.retransmitted || d.OutOfOrder != c.outOfOrder {
				t.Errorf("%d retransmitted, %d out of order; want %d and %d", d.Retransmitted, d.OutOfOrder, c.retransmitted, c.outOfOrder)
			}
		})
	}
}

func TestProbesAreNoRetransmissionsAndWindowsCloseInData(t *testing.T) {
	r := meterSegments(t, false, []segment{
		{from: "client", flags: "S", seq: 99, window: 0},
		{at: 1 * ms, from: "server", flags: "SA", seq: 499, window: 0},
		{at: 2 * ms, from: "client", flags: "A", seq: 100, payload: 10, window: 9},
		{at: 3 * ms, from: "server", flags: "A", seq: 500, window: 0},
		{at: 4 * ms, from: "client", flags: "A", seq: 109, payload: 1, window: 9},
		{at: 5 * ms, from: "client", flags: "A", seq: 109, window: 9},
		{at: 6 * ms, from: "server", flags: "A", seq: 500, window: 0},
		{at: 7 * ms, from: "client", flags: "RA", seq: 7, window: 0, payload: 3},
	})[0]
	if r.Tcp[0].Retransmitted != 0 || r.Tcp[0].ZeroWindow != 0 || r.Tcp[1].ZeroWindow != 2 {
		t.Errorf("%+v", r.Tcp)
	}
}

func TestAnotherConnectionUnderTheSameKeyIsNoRetransmission(t *testing.T) {
	segments := []segment{{from: "client", flags: "S", seq: 3_000_000_000}, {at: 1 * ms, from: "client", flags: "FA", seq: 3_000_000_001}}
	for _, seq := range []uint32{2_000_000_000, 4_000_000_000} {
		segments = append(segments, segment{at: 2 * ms, from: "client", flags: "S", seq: seq})
		for i := range uint32(10) {
			segments = append(segments, segment{at: 3 * ms, from: "client", flags: "A", seq: seq + 1 + 100*i, payload: 100})
		}
	}
	d := meterSegments(t, false, segments)[0].Tcp[0]
	if d.Retransmitted != 0 || d.OutOfOrder != 0 || d.HoleStart != d.HoleEnd {
		t.Errorf("%+v", d)
	}
}

func TestARefusedConnectionHasNoClientTime(t *testing.T) {
	r := meterSegments(t, false, []segment{
		{from: "client", flags: "S"}, {at: 1 * ms, from: "server", flags: "SA"}, {at: 2 * ms, from: "client", flags: "RA"},
	})[0]
	if r.Handshake != uint8(bpf.WeirTcpHandshakeTCP_HANDSHAKE_SYN|bpf.WeirTcpHandshakeTCP_HANDSHAKE_SYN_ACK) {
		t.Errorf("steps seen: %#b", r.Handshake)
	}
}

// An option that is longer than the header is not looked for in the payload.
func TestAnMSSBeyondTheHeaderIsNone(t *testing.T) {
	s := segment{from: "client", flags: "S", options: []layers.TCPOption{
		{OptionType: layers.TCPOptionKindNop}, {OptionType: layers.TCPOptionKindNop}, {OptionType: layers.TCPOptionKindNop}, {OptionType: layers.TCPOptionKindNop},
	}, payload: 8}
	p := s.packet(t)
	copy(p.Data[14+20+20+2:], []byte{2, 4, 5, 6})
	r := metersAgree(t, t.Name(), 1, everything(false), &packets{List: []userspace.CapturedPacket{p}})[0]
	if r.Tcp[0].Mss != 0 {
		t.Errorf("MSS %d", r.Tcp[0].Mss)
	}
}

// reasons are packets and end reason of each record, in the order of their start.
func reasons(records []bpf.Record) string {
	var words []string
	for i := range records {
		words = append(words, fmt.Sprintf("%d:%d", records[i].Dir[0].Packets+records[i].Dir[1].Packets, records[i].EndReason))
	}
	return strings.Join(words, " ")
}

func TestConnectionsEnd(t *testing.T) {
	fin := func(rest ...segment) []segment {
		return append([]segment{
			{from: "client", flags: "S", seq: 99},
			{at: 1 * ms, from: "server", flags: "SA", seq: 499},
			{at: 2 * ms, from: "client", flags: "FA", seq: 100},
			{at: 3 * ms, from: "server", flags: "FA", seq: 500},
		}, rest...)
	}
	const grace = bpf.TCPGrace
	ending, lasting := everything(true), everything(false)
	kEnding, kLasting := &differential.Kernel{Meter: kernelMeter(t, 1, &ending)}, &differential.Kernel{Meter: kernelMeter(t, 1, &lasting)}
	for _, c := range []struct {
		name     string
		segments []segment
		want     string // packets:reason
	}{
		{"FIN both ways takes what comes within the grace", fin(segment{at: grace, from: "client", flags: "A"}), "5:4"},
		{"what comes after the grace is another flow", fin(segment{at: 3*ms + grace, from: "client", flags: "A"}), "4:3 1:4"},
		{"packets do not prolong the grace", fin(segment{at: grace, from: "client", flags: "A"}, segment{at: 3*ms + grace, from: "client", flags: "A"}), "5:3 1:4"},
		{"a SYN opens another connection at once", fin(segment{at: 4 * ms, from: "client", flags: "S"}), "4:3 1:4"},
		{"an older SYN does not", fin(segment{at: 2 * ms, from: "client", flags: "S"}), "5:4"},
		{"a SYN-ACK does not", fin(segment{at: 4 * ms, from: "server", flags: "SA"}), "5:4"},
		{"FIN one way is no end", []segment{{from: "client", flags: "FA"}, {at: time.Minute, from: "server", flags: "A"}}, "2:4"},
		{"RST is", []segment{{from: "client", flags: "S"}, {at: 1 * ms, from: "server", flags: "RA"}, {at: time.Minute, from: "client", flags: "S"}}, "2:3 1:4"},
		{"the end comes before the idle timeout", fin(segment{at: time.Hour, from: "client", flags: "A"}), "4:3 1:4"},
		{"a half-closed connection goes idle", []segment{{from: "client", flags: "FA"}, {at: time.Hour, from: "server", flags: "A"}}, "1:1 1:4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := reasons(meterSegmentsIn(t, kEnding, ending, c.segments)); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			for i := range c.segments {
				if c.segments[i].at > time.Minute {
					return // idle with or without
				}
			}
			if got, want := len(meterSegmentsIn(t, kLasting, lasting, c.segments)), 1; got != want {
				t.Errorf("%d flows where connections do not end, want %d", got, want)
			}
		})
	}
}

// A clock that ran on closes idle flows and ended connections in the order in
// which their time came.
func TestTheClockClosesWhatIsOverInOrder(t *testing.T) {
	source := &script{packets: []userspace.CapturedPacket{
		udpAt(3600, 1, 9, 0),
		udpAt(3602, 3, 9, 0),
		segment{at: 500 * ms, from: "client", flags: "S"}.packet(t),
		segment{at: 700 * ms, from: "server", flags: "RA"}.packet(t),
		udpAt(3601, 2, 9, 0),
		udpAt(3700, 4, 9, 0),
	}}
	slices.SortStableFunc(source.packets, func(a, b userspace.CapturedPacket) int { return cmp.Compare(a.TimeNs, b.TimeNs) })
	m := meterOf(t, source, func(c *userspace.Config) { c.TCPEnd, c.IdleTimeout = true, 2*time.Second })
	var got []string
	for f, err := range m.Flows(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%d %v", f.SourcePort(), f.EndReason()))
	}
	// 1 at 3602, the connection at 3602.7, 2 at 3603, 3 at 3604
	if want := "[1 idle timeout 40000 end of flow 2 idle timeout 3 idle timeout 4 forced end]"; fmt.Sprint(got) != want {
		t.Errorf("%v, want %s", got, want)
	}
	closed(t, m)
}

// Sweeps at any moments change neither a boundary nor a reason.
func TestBoundariesOfConnectionsDoNotDependOnSweeps(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	cfg := everything(true)
	cfg.IdleTimeout, cfg.ActiveTimeout = 3*time.Second, 20*time.Second
	k := kernelMeter(t, 1, &cfg)
	for range 20 {
		var segments []segment
		at := time.Duration(0)
		for range 60 {
			at += time.Duration(random.Int64N(int64(1500 * ms)))
			segments = append(segments, segment{at: at, from: []string{"client", "server"}[random.IntN(2)],
				flags: []string{"S", "SA", "A", "AP", "FA", "FA", "RA"}[random.IntN(7)], seq: random.Uint32N(1000), payload: random.IntN(50)})
		}
		k.Forget()
		p := &packets{}
		for _, s := range segments {
			c := s.packet(t)
			p.List = append(p.List, c)
			if _, err := k.Frame(c.Data, c.TimeNs, c.Length); err != nil {
				t.Fatal(err)
			}
			if random.IntN(2) == 0 {
				if _, err := k.Sweep(bpf.Sweep{NowNs: c.TimeNs + random.Uint64N(uint64(10*ms))}); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := k.Finish(p.List[len(p.List)-1].TimeNs); err != nil {
			t.Fatal(err)
		}
		golang, err := differential.Go(cfg, 1, differential.StepsOf(p.List), 0)
		if err != nil {
			t.Fatal(err)
		}
		differential.Sort(k.Records)
		if !slices.Equal(golang.Records, k.Records) {
			t.Errorf("with sweeps %s, without %s", reasons(k.Records), reasons(golang.Records))
		}
	}
}

// The clock was ahead when the connection ended: by it the flow went idle first,
// by the flow's own times it ended first, and those are what the kernel has.
func TestReasonIsByTheFlowsOwnTimesWhereTheyRunBackwards(t *testing.T) {
	source := &script{packets: []userspace.CapturedPacket{
		udpAt(3600.8, 7, 8, 0),
		segment{at: 50 * ms, from: "client", flags: "R"}.packet(t),
		segment{at: 800 * ms, from: "client", flags: "A"}.packet(t),
		udpAt(3610, 7, 8, 0),
	}}
	m := meterOf(t, source, func(c *userspace.Config) { c.TCPEnd, c.IdleTimeout = true, 1500*ms })
	var got []string
	for f, err := range m.Flows(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%d:%v", f.Packets(), f.EndReason()))
	}
	if want := "[2:end of flow 1:idle timeout 1:forced end]"; fmt.Sprint(got) != want {
		t.Errorf("%v, want %s", got, want)
	}
	closed(t, m)
}
