package bpf_test

import (
	"net"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/bpftest"
)

const xdpPass = 2

// frame builds an Ethernet frame around the layers.
func frame(t testing.TB, ls ...gopacket.SerializableLayer) []byte {
	t.Helper()
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true}
	if err := gopacket.SerializeLayers(buf, opts, ls...); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func ethernet(src, dst byte) *layers.Ethernet {
	return &layers.Ethernet{
		SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, src}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, dst},
		EthernetType: layers.EthernetTypeIPv4,
	}
}

// udp is a UDP packet over IPv4 from 10.0.0.src:sport to 10.0.0.dst:dport.
func udp(t testing.TB, src, dst byte, sport, dport uint16, payload int) []byte {
	return frame(t, ethernet(src, dst),
		&layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP,
			SrcIP: net.IP{10, 0, 0, src}, DstIP: net.IP{10, 0, 0, dst}},
		&layers.UDP{SrcPort: layers.UDPPort(sport), DstPort: layers.UDPPort(dport)},
		gopacket.Payload(make([]byte, payload)))
}

func send(t testing.TB, m *bpftest.Meter, data []byte, at time.Duration) {
	t.Helper()
	verdict, err := m.Frame(data, uint64(at), uint32(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	if verdict != xdpPass {
		t.Fatalf("verdict %d, want XDP_PASS", verdict)
	}
}

// closes settles the ledger before the end of the test, which does it too.
func closes(t testing.TB, m *bpftest.Meter) bpf.LedgerCount {
	t.Helper()
	l, err := m.Settle()
	if err != nil {
		t.Error(err)
	}
	return l
}

func finish(t testing.TB, m *bpftest.Meter, at time.Duration) {
	t.Helper()
	if err := m.Finish(uint64(at)); err != nil {
		t.Fatal(err)
	}
}

func TestBothDirectionsAreOneRecord(t *testing.T) {
	m := bpftest.New(t, bpftest.Options{LinkType: 1, Statistics: true, SPLT: 4})
	send(t, m, udp(t, 2, 1, 5000, 53, 30), 1*time.Second)
	send(t, m, udp(t, 1, 2, 53, 5000, 100), 1*time.Second+34127*time.Microsecond)
	finish(t, m, 2*time.Second)
	if len(m.Records) != 1 {
		t.Fatalf("%d records, want 1", len(m.Records))
	}
	r := m.Records[0]
	if r.Dir[0].Packets != 1 || r.Dir[1].Packets != 1 || r.Dir[0].Octets != 72 || r.Dir[1].Octets != 142 {
		t.Errorf("directions %+v", r.Dir)
	}
	if r.Key.Port[r.SrcEnd] != 5000 {
		t.Errorf("the source is not the first packet's sender: %+v", r.Key)
	}
	if r.IatUs != 34127 || r.SpltDirection != 2 || r.SpltIatUs[1] != 34127 || r.SpltSize[1] != 142 {
		t.Errorf("gaps and vectors: %+v", r)
	}
	if r.EndReason != uint8(bpf.WeirFlowEndReasonEND_FORCED) {
		t.Errorf("end reason %d", r.EndReason)
	}
	closes(t, m)
}

func TestIdleFlowIsClosedByItsOwnPacketOrBySweep(t *testing.T) {
	for _, sweep := range []bool{false, true} {
		m := bpftest.New(t, bpftest.Options{LinkType: 1, IdleNs: uint64(10 * time.Second)})
		send(t, m, udp(t, 1, 2, 1, 2, 8), 1*time.Second)
		if sweep {
			if _, err := m.Sweep(bpf.Sweep{NowNs: uint64(11 * time.Second)}); err != nil {
				t.Fatal(err)
			}
		}
		send(t, m, udp(t, 2, 1, 2, 1, 8), 11*time.Second)
		finish(t, m, 12*time.Second)
		if len(m.Records) != 2 {
			t.Fatalf("sweep %v: %d records, want 2", sweep, len(m.Records))
		}
		if got := m.Records[0].EndReason; got != uint8(bpf.WeirFlowEndReasonEND_IDLE) {
			t.Errorf("sweep %v: end reason %d, want idle", sweep, got)
		}
		if m.Records[0].SrcEnd == m.Records[1].SrcEnd || m.Records[0].FlowId == m.Records[1].FlowId {
			t.Errorf("sweep %v: the second flow took direction or id from the first", sweep)
		}
		closes(t, m)
	}
}

func TestActiveTimeoutKeepsDirectionAndIdentity(t *testing.T) {
	m := bpftest.New(t, bpftest.Options{LinkType: 1, ActiveNs: uint64(10 * time.Second)})
	send(t, m, udp(t, 1, 2, 1, 2, 8), 1*time.Second)
	if s, err := m.Sweep(bpf.Sweep{NowNs: uint64(12 * time.Second)}); err != nil || s.Closed != 0 || s.Open != 1 || s.PacketsOpen != 1 {
		t.Fatalf("the sweep closed an active flow: %+v %v", s, err)
	}
	send(t, m, udp(t, 2, 1, 2, 1, 8), 12*time.Second)
	finish(t, m, 13*time.Second)
	a, b := m.Records[0], m.Records[1]
	if a.EndReason != uint8(bpf.WeirFlowEndReasonEND_ACTIVE) || b.FlowId != a.FlowId || b.Part != 1 || b.SrcEnd != a.SrcEnd {
		t.Errorf("first %+v\nsecond %+v", a, b)
	}
	if b.Dir[1].Packets != 1 || b.Dir[0].Packets != 0 {
		t.Errorf("the answer is not in the reverse direction: %+v", b.Dir)
	}
	closes(t, m)
}

// A packet sends the part that is over, and opens the next a few instructions later.
// Whatever sweeps in between, the flow's id is there to go on with.
func TestSweepLeavesWhatIsBetweenTwoParts(t *testing.T) {
	m := bpftest.New(t, bpftest.Options{LinkType: 1})
	send(t, m, udp(t, 1, 2, 1, 2, 8), time.Second)
	forced := bpf.Sweep{NowNs: uint64(2 * time.Second), Mode: uint32(bpf.WeirSweepModeSWEEP_FORCED)}
	if s, err := m.Sweep(forced); err != nil || s.Closed != 1 {
		t.Fatalf("the sweep closed nothing: %+v %v", s, err)
	}
	if err := m.Drain(); err != nil {
		t.Fatal(err)
	}
	if err := m.HoldSplit(m.Records[0].Key); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		s, err := m.Sweep(forced)
		if err != nil || s.Closed+s.Deleted+s.Open != 0 {
			t.Fatalf("the sweep took the entry: %+v %v", s, err)
		}
	}
	send(t, m, udp(t, 2, 1, 2, 1, 8), 3*time.Second)
	finish(t, m, 4*time.Second)
	if a, b := m.Records[0], m.Records[1]; b.FlowId != a.FlowId || b.Part != 1 || b.SrcEnd != a.SrcEnd || b.Dir[1].Packets != 1 {
		t.Errorf("first %+v\nsecond %+v", a, b)
	}
	closes(t, m)
}

func TestFullTableSendsSinglePackets(t *testing.T) {
	m := bpftest.New(t, bpftest.Options{LinkType: 1, MaxFlows: 1})
	for port := range uint16(50) {
		send(t, m, udp(t, 1, 2, 1000+port, 2, 8), time.Second)
	}
	finish(t, m, 2*time.Second)
	l := closes(t, m)
	if l.TableFull == 0 || uint64(len(m.Packets)) != l.OverflowPackets || len(m.Packets) != 50-len(m.Records) {
		t.Errorf("%d records, %d single packets, ledger %+v", len(m.Records), len(m.Packets), l)
	}
}

func TestA4FullRingLosesNoAggregatedFlow(t *testing.T) {
	m := bpftest.New(t, bpftest.Options{LinkType: 1, RingOctets: 4096, MaxFlows: 4})
	for round := range 10 {
		for port := range uint16(40) {
			send(t, m, udp(t, 1, 2, 1000+port, 2, 8), time.Duration(round)*time.Second)
		}
	}
	s, err := m.Sweep(bpf.Sweep{NowNs: uint64(20 * time.Second), Mode: uint32(bpf.WeirSweepModeSWEEP_FORCED)})
	if err != nil || s.Deferred != 1 {
		t.Fatalf("sweep into a full ring: %+v %v", s, err)
	}
	finish(t, m, 20*time.Second)
	l := closes(t, m)
	if l.LostPackets == 0 || len(m.Records) == 0 {
		t.Errorf("nothing lost: the ring was not full; %+v", l)
	}
	for _, r := range m.Records {
		if r.Dir[0].Packets != 10 {
			t.Errorf("a flow with a place in the table has %d packets, want 10", r.Dir[0].Packets)
		}
	}
	t.Logf("measured: %d flows with a place are whole, %d single packets lost and counted, residual 0", len(m.Records), l.LostPackets)
}

func TestClosedEntriesAreDeletedBySecondSweep(t *testing.T) {
	m := bpftest.New(t, bpftest.Options{LinkType: 1})
	send(t, m, udp(t, 1, 2, 1, 2, 8), time.Second)
	forced := bpf.Sweep{NowNs: uint64(2 * time.Second), Mode: uint32(bpf.WeirSweepModeSWEEP_FORCED)}
	first, _ := m.Sweep(forced)
	second, _ := m.Sweep(forced)
	if first.Closed != 1 || first.Deleted != 0 || second.Closed != 0 || second.Deleted != 1 {
		t.Errorf("first %+v, second %+v", first, second)
	}
}

func TestA6PressureClosesHalfOpenFlowsFirst(t *testing.T) {
	m := bpftest.New(t, bpftest.Options{LinkType: 1})
	send(t, m, udp(t, 1, 2, 1, 2, 8), time.Second)
	send(t, m, udp(t, 2, 1, 2, 1, 8), time.Second)
	send(t, m, udp(t, 1, 2, 3, 4, 8), time.Second)
	s, err := m.Sweep(bpf.Sweep{NowNs: uint64(3 * time.Second), PressureNs: uint64(8 * time.Second), Mode: uint32(bpf.WeirSweepModeSWEEP_PRESSURE)})
	if err != nil || s.Closed != 1 || s.Open != 1 {
		t.Fatalf("%+v %v", s, err)
	}
	if err := m.Drain(); err != nil || m.Records[0].EndReason != uint8(bpf.WeirFlowEndReasonEND_LACK_OF_RESOURCES) {
		t.Errorf("%+v %v", m.Records, err)
	}
	finish(t, m, 3*time.Second)
	closes(t, m)
	t.Logf("measured: pressure closed %d half-open flow, reason 5, and left the one that was answered", s.Closed)
}

func TestSamplesAreFirstPacketThenPayload(t *testing.T) {
	m := bpftest.New(t, bpftest.Options{LinkType: 1, Samples: 3, SampleOctets: 600})
	// gopacket pads a frame to 60 octets; a sample goes to the end of the frame
	for i, payload := range []int{0, 0, 10, 0, 1000, 50} {
		send(t, m, udp(t, 1, 2, 1, 2, payload), time.Duration(i)*time.Second)
	}
	finish(t, m, 10*time.Second)
	var lengths []uint32
	for i, s := range m.Samples {
		lengths = append(lengths, s.Length)
		if int(s.Number) != i || s.Data[0] != 0x45 || s.FlowId != m.Records[0].FlowId {
			t.Errorf("sample %d: %+v", i, s.SampleEvent)
		}
	}
	if len(lengths) != 3 || lengths[0] != 46 || lengths[1] != 46 || lengths[2] != 600 || m.Samples[2].WireLength != 1028 {
		t.Errorf("sample lengths %v", lengths)
	}
}

func TestDoneStopsSamplesOfThatFlowOnly(t *testing.T) {
	m := bpftest.New(t, bpftest.Options{LinkType: 1, Samples: 20})
	send(t, m, udp(t, 1, 2, 1, 2, 10), time.Second)
	send(t, m, udp(t, 1, 2, 3, 4, 10), time.Second)
	if err := m.Drain(); err != nil {
		t.Fatal(err)
	}
	first := m.Samples[0]
	if err := m.Done(bpf.DPIDone{Key: first.Key, FlowId: first.FlowId}, bpf.DPIDone{Key: m.Samples[1].Key, FlowId: 12345}); err != nil {
		t.Fatal(err)
	}
	send(t, m, udp(t, 1, 2, 1, 2, 10), 2*time.Second)
	send(t, m, udp(t, 1, 2, 3, 4, 10), 2*time.Second)
	finish(t, m, 3*time.Second)
	if len(m.Samples) != 3 || m.Samples[2].FlowId == first.FlowId {
		t.Errorf("%d samples", len(m.Samples))
	}
}

func TestEveryIgnoredFrameHasItsReason(t *testing.T) {
	m := bpftest.New(t, bpftest.Options{LinkType: 1})
	arp := make([]byte, 42)
	arp[12], arp[13] = 8, 6
	short := udp(t, 1, 2, 1, 2, 8)[:30]
	send(t, m, arp, time.Second)
	send(t, m, short, time.Second)
	send(t, m, udp(t, 1, 2, 1, 2, 8)[:38], time.Second)
	l := closes(t, m)
	for _, s := range []bpf.Status{bpf.WeirDecodeStatusSTATUS_ARP, bpf.WeirDecodeStatusSTATUS_IP_TRUNCATED, bpf.WeirDecodeStatusSTATUS_TRANSPORT_TRUNCATED} {
		if l.IgnoredPackets[s] != 1 {
			t.Errorf("ignored[%s] = %d, want 1", s, l.IgnoredPackets[s])
		}
	}
	if l.IgnoredOctets[bpf.WeirDecodeStatusSTATUS_ARP] != 42 {
		t.Errorf("octets of ignored ARP: %d", l.IgnoredOctets[bpf.WeirDecodeStatusSTATUS_ARP])
	}
}
