package userspace

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/weirflow/weir/bpf"
)

// conversation is n packets of one key in both directions, in order of time.
func conversation(random *rand.Rand, n int) []bpf.Packet {
	list := make([]bpf.Packet, n)
	at := uint64(time.Hour)
	for i := range list {
		at += random.Uint64N(uint64(time.Second))
		list[i] = bpf.Packet{
			TimeNs: at, Octets: 40 + random.Uint32N(1460), SrcEnd: uint8(random.Uint32N(2)), Ttl: uint8(1 + random.Uint32N(255)),
			Tos: uint8(random.Uint32N(256)), TcpFlags: uint8(random.Uint32N(256)) &^ tcpRST, Fragment: uint8(random.Uint32N(2)),
			IcmpType: uint8(i), Mac: [2][6]byte{{byte(i)}}, OuterIpVersion: 4, OuterAddr: [2][16]byte{{byte(i)}}, TunnelKey: uint32(i),
		}
	}
	return list
}

func rulesOf(c Config) *rules {
	u := newRules(&c)
	return &u
}

func kept(u *rules, packets []bpf.Packet, flowID uint64) (r bpf.Record) {
	e := u.coreAt(u.newSlab(), 0)
	u.open(e, &packets[0], flowID)
	for i := range packets {
		u.update(e, &packets[i])
	}
	u.record(&r, e)
	return r
}

// A flow cut in two at any place and merged again is the flow that was not cut.
func TestMergedRecordsAreThoseOfASingleMeter(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 3))
	u := rulesOf(Config{IdleTimeout: time.Minute, ActiveTimeout: time.Hour, Statistics: true, IPStatistics: true, SPLT: 12})
	for n := 2; n < 40; n++ {
		packets := conversation(random, n)
		want := kept(u, packets, 5)
		want.EndReason = uint8(bpf.WeirFlowEndReasonEND_ACTIVE)
		for cut := 1; cut < n; cut++ {
			part, record := kept(u, packets[:cut], 1<<63), kept(u, packets[cut:], 5)
			record.EndReason = want.EndReason
			if !u.continues(&record, &part) {
				t.Fatalf("%d packets cut at %d: not taken to be one flow", n, cut)
			}
			if got := u.merge(&record, &part); got != want {
				t.Fatalf("%d packets cut at %d:\ngot  %+v\nwant %+v", n, cut, got, want)
			}
		}
	}
}

func TestMergeKeepsTheDirectionOfASplitFlow(t *testing.T) {
	u := rulesOf(Config{IdleTimeout: time.Minute, ActiveTimeout: time.Hour, SPLT: 3})
	part := kept(u, []bpf.Packet{{TimeNs: 1, SrcEnd: 1, Octets: 10, Mac: [2][6]byte{{9}}, TunnelKey: 9}}, 1<<63)
	record := kept(u, []bpf.Packet{{TimeNs: 2, SrcEnd: 0, Octets: 20}, {TimeNs: 3, SrcEnd: 1, Octets: 30}}, 7)
	record.Part = 4
	got := u.merge(&record, &part)
	if got.SrcEnd != 0 || got.FlowId != 7 || got.Part != 4 || got.Mac != record.Mac || got.TunnelKey != record.TunnelKey || got.Dir[0].Octets != 20 || got.Dir[1].Octets != 40 {
		t.Errorf("%+v", got)
	}
	if got.SpltDirection != 0b101 || got.SpltSize != [20]uint32{10, 20, 30} {
		t.Errorf("vectors: directions %b, sizes %v", got.SpltDirection, got.SpltSize)
	}
}

func TestOnlyWhatASingleMeterWouldHaveKeptTogetherIsMerged(t *testing.T) {
	u := &rules{idleNs: 100 * nsPerMs, activeNs: 1000 * nsPerMs, graceNs: 10 * nsPerMs}
	spanning := func(firstMs, lastMs float64) *bpf.Record {
		ms := float64(nsPerMs)
		return &bpf.Record{Dir: [2]bpf.Direction{{Packets: 2, FirstNs: uint64(firstMs * ms), LastNs: uint64(lastMs * ms)}}}
	}
	ended := spanning(0, 10)
	ended.TcpEnd = tcpEndReached
	for _, c := range []struct {
		name string
		a, b *bpf.Record
		want bool
	}{
		{"soon after", spanning(0, 10), spanning(109, 200), true},
		{"an idle timeout after", spanning(0, 10), spanning(110, 200), false},
		{"soon after, by milliseconds", spanning(0, 10.1), spanning(109.9, 200), true},
		{"an idle timeout after, by milliseconds", spanning(0, 10.9), spanning(110.1, 200), false},
		{"one within the other", spanning(0, 500), spanning(100, 200), true},
		{"together not as long as the active timeout", spanning(0, 90), spanning(100, 999), true},
		{"together as long", spanning(0, 90), spanning(100, 1000), false},
		{"together as long, by milliseconds", spanning(0.9, 90), spanning(100, 1000.1), false},
		{"after an ended connection", ended, spanning(12, 20), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if u.continues(c.a, c.b) != c.want || u.continues(c.b, c.a) != c.want {
				t.Errorf("want %v, in either order", c.want)
			}
		})
	}
}

// What is known of a connection after the merge is what a single meter knows,
// but for what it would have had to compare across the seam.
func TestMergedHandshakeIsThatOfASingleMeter(t *testing.T) {
	u := rulesOf(Config{IdleTimeout: time.Minute, ActiveTimeout: time.Hour, TCPStatistics: true, TCPEnd: true})
	second := uint64(time.Second)
	packets := []bpf.Packet{
		{TimeNs: 1 * second, TcpFlags: tcpSYN, TcpSeq: 9, TcpWindow: 5, TcpMss: 1460},
		{TimeNs: 2 * second, TcpFlags: tcpSYN, TcpSeq: 9, TcpWindow: 6, TcpMss: 1460},
		{TimeNs: 3 * second, TcpFlags: tcpSYN | tcpACK, SrcEnd: 1, TcpSeq: 99, TcpWindow: 7, TcpMss: 1400},
		{TimeNs: 4 * second, TcpFlags: tcpSYN | tcpACK, SrcEnd: 1, TcpSeq: 99, TcpWindow: 8, TcpMss: 1400},
		{TimeNs: 5 * second, TcpFlags: tcpACK, TcpSeq: 10, TcpWindow: 9},
		{TimeNs: 6 * second, TcpFlags: tcpFIN | tcpACK, TcpSeq: 10, TcpWindow: 9},
	}
	want := kept(u, packets, 5)
	for cut := 1; cut < len(packets); cut++ {
		part, record := kept(u, packets[:cut], 1<<63), kept(u, packets[cut:], 5)
		got := u.merge(&record, &part)
		if cut == 4 { // the ACK answers across the seam
			got.Handshake |= seenACK
			got.AckNs = want.AckNs
		}
		for i := range got.Tcp {
			got.Tcp[i].Retransmitted = want.Tcp[i].Retransmitted
			if got.Tcp[i].HoleStart == got.Tcp[i].HoleEnd { // wherever no hole is
				got.Tcp[i].HoleStart, got.Tcp[i].HoleEnd = want.Tcp[i].HoleStart, want.Tcp[i].HoleEnd
			}
		}
		if got != want {
			t.Errorf("cut at %d:\ngot  %+v\nwant %+v", cut, got, want)
		}
	}
}
