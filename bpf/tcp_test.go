package bpf_test

import (
	"math"
	"net"
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/bpftest"
)

// tcp is a packet from 10.0.0.src to 10.0.0.dst, both at port 80.
func tcp(t testing.TB, src, dst byte, header layers.TCP) []byte {
	header.SrcPort, header.DstPort = 80, 80
	return frame(t, ethernet(src, dst),
		&layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: net.IP{10, 0, 0, src}, DstIP: net.IP{10, 0, 0, dst}},
		&header)
}

// The sweep closes what has ended when the grace is over, not before, and for
// the reason that came first: the next packet would find the same.
func TestSweepClosesEndedConnections(t *testing.T) {
	for _, c := range []struct {
		name  string
		idle  time.Duration
		sweep time.Duration
		want  bpf.EndReason // END_NONE: stays open
	}{
		{"within the grace", time.Minute, 1*time.Second + bpf.TCPGrace - 1, bpf.WeirFlowEndReasonEND_NONE},
		{"after the grace", time.Minute, 1*time.Second + bpf.TCPGrace, bpf.WeirFlowEndReasonEND_OF_FLOW},
		{"long after the grace and the idle timeout", time.Minute, time.Hour, bpf.WeirFlowEndReasonEND_OF_FLOW},
		{"an idle timeout that is shorter", time.Second, time.Hour, bpf.WeirFlowEndReasonEND_IDLE},
		{"no idle timeout to speak of", math.MaxInt64, time.Hour, bpf.WeirFlowEndReasonEND_OF_FLOW},
		{"an idle timeout as long", bpf.TCPGrace, time.Hour, bpf.WeirFlowEndReasonEND_OF_FLOW},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := bpftest.New(t, bpftest.Options{LinkType: 1, TCPEnd: true, IdleNs: uint64(c.idle)})
			send(t, m, tcp(t, 1, 2, layers.TCP{SYN: true}), 500*time.Millisecond)
			send(t, m, tcp(t, 2, 1, layers.TCP{RST: true}), time.Second)
			send(t, m, tcp(t, 1, 2, layers.TCP{ACK: true}), time.Second)
			if _, err := m.Sweep(bpf.Sweep{NowNs: uint64(c.sweep)}); err != nil {
				t.Fatal(err)
			}
			if err := m.Drain(); err != nil {
				t.Fatal(err)
			}
			got := bpf.WeirFlowEndReasonEND_NONE
			if len(m.Records) > 0 {
				got = bpf.EndReason(m.Records[0].EndReason)
			}
			if got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
			finish(t, m, 2*time.Hour)
			closes(t, m)
		})
	}
}

// A part after an active timeout knows the connection, and counts anew.
func TestSplitKeepsWhatIsKnownOfTheConnection(t *testing.T) {
	m := bpftest.New(t, bpftest.Options{LinkType: 1, TCPStatistics: true, TCPEnd: true, ActiveNs: uint64(10 * time.Second)})
	send(t, m, tcp(t, 1, 2, layers.TCP{SYN: true, Seq: 9, Window: 77}), 1*time.Second)
	send(t, m, tcp(t, 1, 2, layers.TCP{SYN: true, Seq: 9, Window: 77}), 2*time.Second)
	send(t, m, tcp(t, 2, 1, layers.TCP{SYN: true, ACK: true, Seq: 19, Window: 88}), 3*time.Second)
	send(t, m, tcp(t, 1, 2, layers.TCP{ACK: true, Seq: 10, Window: 78}), 4*time.Second)
	send(t, m, tcp(t, 1, 2, layers.TCP{FIN: true, ACK: true, Seq: 10}), 5*time.Second)
	send(t, m, tcp(t, 1, 2, layers.TCP{FIN: true, ACK: true, Seq: 10}), 11*time.Second)
	send(t, m, tcp(t, 2, 1, layers.TCP{FIN: true, ACK: true, Seq: 20}), 12*time.Second)
	finish(t, m, time.Hour)
	if len(m.Records) != 2 {
		t.Fatalf("%d records, want 2", len(m.Records))
	}
	for part, r := range m.Records {
		if r.Part != uint32(part) || r.Tcp[0].InitialWindow != 77 || r.AckNs-r.SynAckNs != uint64(time.Second) {
			t.Errorf("part %d: %+v", part, r)
		}
		if r.Tcp[0].Retransmitted != 1 {
			t.Errorf("part %d: %d retransmitted, want the SYN, then the FIN", part, r.Tcp[0].Retransmitted)
		}
	}
	if got := bpf.EndReason(m.Records[1].EndReason); got != bpf.WeirFlowEndReasonEND_OF_FLOW {
		t.Errorf("a FIN on each side of the split: %v", got)
	}
	closes(t, m)
}
