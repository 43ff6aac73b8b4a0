//go:build cgo && !nodpi

package worker

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/weirflow/weir/dpi/ndpi"
	"github.com/weirflow/weir/userspace"
)

func newClassifier(t testing.TB, h Hello) *Classifier {
	t.Helper()
	m, err := ndpi.Open(ndpi.Files{})
	if err != nil {
		t.Fatal(err)
	}
	c := NewClassifier(m, h)
	t.Cleanup(c.End)
	return c
}

func (c *Classifier) take(id uint64, number uint8, packet []byte) bool {
	return c.Sample(&userspace.Sample{FlowID: id, Number: number, TimeNs: 1e9, WireLength: uint32(len(packet)), Packet: packet})
}

func (c *Classifier) verdict(t testing.TB, id uint64) *userspace.L7 {
	t.Helper()
	l7, err := ParseVerdict(c.Close(FlowRef{FlowID: id}, nil))
	if err != nil {
		t.Fatal(err)
	}
	return l7
}

// answer turns a datagram to port 53 round.
func answer() []byte {
	b := udp(53, dnsAnswer)
	copy(b[12:], []byte{192, 0, 2, 2, 192, 0, 2, 1})
	binary.BigEndian.PutUint16(b[20:], 53)
	binary.BigEndian.PutUint16(b[22:], 40001)
	return b
}

func TestDoneIsSaidOnceAndWhenNoMoreCanBeLearnt(t *testing.T) {
	c := newClassifier(t, Hello{Dissections: 20, MaxFlows: 10})
	var said []int
	for i, packet := range [][]byte{udp(53, dnsQuery), answer(), answer()} {
		if c.take(1, uint8(i), packet) {
			said = append(said, i)
		}
	}
	// Whether a release waits for the answer is its own business.
	if len(said) != 1 || strings.HasPrefix(ndpi.Version(), "4.2.") && said[0] != 1 {
		t.Fatalf("done is said at samples %v", said)
	}
	if shown := c.Counts().Shown; shown != uint64(said[0]+1) {
		t.Errorf("nDPI was shown %d samples, and done at sample %d", shown, said[0])
	}
	if l7 := c.verdict(t, 1); l7.ApplicationName != "DNS" || l7.RequestedServerName != "a.example.org" {
		t.Errorf("%+v", l7)
	}
}

func TestInspectionEndsAtTheNumberOfDissections(t *testing.T) {
	c := newClassifier(t, Hello{Dissections: 3, MaxFlows: 10})
	for i := range 10 {
		if c.take(1, uint8(i), udp(40003, "zzzzzzzz")) {
			t.Errorf("sample %d: done is said, although no more samples come", i)
		}
	}
	if shown := c.Counts().Shown; shown != 3 {
		t.Errorf("nDPI was shown %d samples", shown)
	}
	if l7 := c.verdict(t, 1); l7.ApplicationName != "Unknown" || l7.Reason != "" {
		t.Errorf("%+v", l7)
	}
}

func TestH13FlowFedLeastRecentlyIsJudgedForTheBound(t *testing.T) {
	c := newClassifier(t, Hello{Dissections: 20, MaxFlows: 3})
	for _, id := range []uint64{1, 2, 3, 1, 4} { // 2 has to go
		c.take(id, 0, udp(53, dnsQuery))
	}
	if n := c.Counts().Evicted; n != 1 || c.live.n != 3 {
		t.Errorf("%d evicted, %d live", n, c.live.n)
	}
	if e := c.flows[FlowRef{FlowID: 2}]; e == nil || !e.done {
		t.Error("flow 2 is still inspected")
	}
	for id := uint64(1); id <= 4; id++ {
		if l7 := c.verdict(t, id); l7.ApplicationName != "DNS" {
			t.Errorf("flow %d: %+v", id, l7)
		}
	}
	if len(c.flows) != 0 || c.live.n != 0 || c.finished.n != 0 {
		t.Errorf("%d flows are left", len(c.flows))
	}
}

func TestH13VerdictsThatAreNotFetchedAreBounded(t *testing.T) {
	c := newClassifier(t, Hello{Dissections: 1, MaxFlows: 2})
	for id := range uint64(100) {
		c.take(id, 0, udp(53, dnsQuery))
	}
	if n := len(c.flows); n != 2*verdictsPerFlow {
		t.Errorf("%d verdicts are kept", n)
	}
}

// sizeOfFlow is what nDPI holds for a flow that is kept for reuse.
func sizeOfFlow(t *testing.T) uint64 {
	t.Helper()
	c := newClassifier(t, Hello{Dissections: 20, MaxFlows: 10})
	take := func(flows uint64) uint64 {
		for id := range flows {
			c.take(id, 0, udp(40003, "zzzzzzzz"))
		}
		for id := range flows {
			c.verdict(t, id)
		}
		return c.module.Memory()
	}
	one := take(1)
	return take(2) - one
}

// TestH13MemoryOfFlowsIsBounded has more flows than nDPI has memory for, each of
// which takes some.
func TestH13MemoryOfFlowsIsBounded(t *testing.T) {
	c := newClassifier(t, Hello{Dissections: 20, MaxFlows: 100000})
	packet := append(toSSH(), "GET /"+strings.Repeat("a", 300)+" HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: x\r\n\r\n"...)
	binary.BigEndian.PutUint16(packet[2:], uint16(len(packet)))
	binary.BigEndian.PutUint16(packet[22:], 80)
	before := c.module.Memory()
	c.maxMemory = before + 1<<20
	c.module.Bound(c.maxMemory)
	const flows = 5000
	for id := range uint64(flows) {
		c.take(id, 0, packet)
		if held := c.Counts().Memory; held > c.maxMemory+64<<10 {
			t.Fatalf("at flow %d nDPI holds %d octets, %d are allowed", id, held, c.maxMemory)
		}
	}
	if live := c.live.n; c.counts.Evicted == 0 || live < 100 || live+int(c.counts.Evicted) != flows {
		t.Errorf("%d evicted, %d live", c.counts.Evicted, live)
	}
	for id := range uint64(flows) {
		if l7 := c.verdict(t, id); l7.ApplicationName != "HTTP" {
			t.Fatalf("flow %d: %+v", id, l7)
		}
	}
	// 1,024 flows are kept for reuse, each of which is as large as the release has it.
	if held := c.module.Memory(); before == 0 || held > before+1024*(sizeOfFlow(t)+800) {
		t.Errorf("nDPI held %d octets before, and %d when all flows are gone", before, held)
	}
}

func TestWhatALabelIsMadeOfIsGivenBack(t *testing.T) {
	c := newClassifier(t, Hello{Dissections: 20, MaxFlows: 1000, Labels: true})
	for id := range uint64(100) {
		c.take(id, 0, udp(40003, "zzzzzzzz"))
	}
	for id := range uint64(100) {
		c.take(100+id, 0, udp(53, dnsQuery)) // told at once
		if len(c.Label()) == 0 {
			t.Fatal("it is not told")
		}
	}
	if n := len(c.noted); n != 1 {
		t.Errorf("100 labels took %d buffers", n)
	}
	for id := range uint64(100) {
		c.verdict(t, id)
	}
	if n := len(c.noted); n != 101 {
		t.Errorf("%d buffers came back of 101", n)
	}
}

func TestVerdictsThatAreNotFetchedAreBoundedByOctets(t *testing.T) {
	c := newClassifier(t, Hello{Dissections: 1, MaxFlows: 1000})
	c.maxOctets = 1000
	for id := range uint64(100) {
		c.take(id, 0, udp(53, dnsQuery))
	}
	if c.octets > 1000 || c.octets < 900 || c.counts.Evicted != uint64(100-len(c.flows)) {
		t.Errorf("%d verdicts of %d octets are kept, %d evicted", len(c.flows), c.octets, c.counts.Evicted)
	}
	for ref := range c.flows {
		c.Close(ref, nil)
	}
	if c.octets != 0 {
		t.Errorf("%d octets are left of none", c.octets)
	}
}

func TestAFlowThatHasItsVerdictHoldsNoReading(t *testing.T) {
	c := newClassifier(t, Hello{Dissections: 1, MaxFlows: 20, Details: true})
	for id := range uint64(100) {
		c.take(id, 0, udp(53, dnsQuery))
		if e := c.flows[FlowRef{FlowID: id}]; !e.done || e.reading != nil {
			t.Fatalf("flow %d: done %v, reading %+v", id, e.done, e.reading)
		}
	}
	if n := len(c.readings.spare); n != 1 {
		t.Errorf("%d readings were made for one flow at a time", n)
	}
	if l7 := c.verdict(t, 99); l7.Details.DNSQuery != "a.example.org" {
		t.Errorf("%+v", l7.Details)
	}
}

func TestAfterARestartTheMiddleOfAFlowIsNotInspected(t *testing.T) {
	c := newClassifier(t, Hello{Dissections: 20, MaxFlows: 10, Restarted: true})
	if !c.take(1, 1, udp(53, dnsQuery)) || c.Counts().Shown != 0 {
		t.Error("the second sample of an unknown flow is inspected")
	}
	if l7 := c.verdict(t, 1); l7.ApplicationName != "Unknown" || l7.Reason != ReasonEngineCrashed {
		t.Errorf("%+v", l7)
	}
	c.take(2, 0, udp(53, dnsQuery))
	if l7 := c.verdict(t, 2); l7.ApplicationName != "DNS" {
		t.Errorf("a new flow: %+v", l7)
	}
}

func TestAFlowWithAQuarantinedSampleSaysSo(t *testing.T) {
	c := newClassifier(t, Hello{Dissections: 20, MaxFlows: 10})
	c.take(1, 0, udp(53, dnsQuery))
	for id := uint64(1); id <= 2; id++ {
		c.Quarantine(&userspace.Sample{FlowID: id, Number: 1})
		if c.take(id, 2, answer()) {
			t.Errorf("flow %d goes on", id)
		}
		if l7 := c.verdict(t, id); l7.ApplicationName != "Unknown" || l7.Reason != ReasonQuarantined {
			t.Errorf("flow %d: %+v", id, l7)
		}
	}
	c.take(3, 0, udp(53, dnsQuery))
	c.take(3, 1, answer())
	c.Quarantine(&userspace.Sample{FlowID: 3, Number: 2})
	if l7 := c.verdict(t, 3); l7.ApplicationName != "DNS" {
		t.Errorf("a flow that had its verdict: %+v", l7)
	}
	if len(c.flows) != 0 {
		t.Errorf("%d flows are left", len(c.flows))
	}
}

func TestAFlowWithoutSamplesSaysSo(t *testing.T) {
	c := newClassifier(t, Hello{Dissections: 20, MaxFlows: 10})
	if l7 := c.verdict(t, 1); l7.ApplicationName != "Unknown" || l7.Reason != ReasonNotSampled {
		t.Errorf("%+v", l7)
	}
}

func TestClassifyingAllocatesNothingPerFlow(t *testing.T) {
	c := newClassifier(t, Hello{Dissections: 20, MaxFlows: 10})
	query, reply, b := udp(53, dnsQuery), answer(), make([]byte, 0, 1024)
	id := uint64(0)
	n := testing.AllocsPerRun(1000, func() {
		id++
		c.take(id, 0, query)
		c.take(id, 1, reply)
		c.Close(FlowRef{FlowID: id}, b)
	})
	if n > 0 {
		t.Errorf("%v allocations a flow", n)
	}
}

// TestAHostsNameIsNDPIs holds the name that weir fills in against the one that
// nDPI finds itself.
func TestAHostsNameIsNDPIs(t *testing.T) {
	for _, name := range []string{"WWW.Example.org", strings.Repeat("Label-of-16-oct.", 7) + "example"} {
		c := newClassifier(t, Hello{Dissections: 20, MaxFlows: 10, Details: true})
		packet := append(toSSH(), helloWith(name, 2)...)
		binary.BigEndian.PutUint16(packet[2:], uint16(len(packet)))
		binary.BigEndian.PutUint16(packet[22:], 443)
		c.take(1, 0, packet)
		if l7 := c.verdict(t, 1); l7.RequestedServerName != string(hostName(name)) || l7.Details.TLSServerName != name {
			t.Errorf("%s: %q, in full %q", name, l7.RequestedServerName, l7.Details.TLSServerName)
		}
	}
}

// toSSH is a TCP segment to port 22 without payload.
func toSSH() []byte {
	b := udp(22, "\x00\x00\x00\x01\x00\x00\x00\x01\x50\x10\xff\xff")
	b[9] = protocolTCP
	copy(b[24:], "\x00\x00\x00\x01\x00\x00\x00\x01\x50\x10\xff\xff\x00\x00\x00\x00")
	return b
}

func TestALabelIsToldOnceAndAsSoonAsItIsKnown(t *testing.T) {
	c := newClassifier(t, Hello{Dissections: 3, MaxFlows: 10, Labels: true})
	names := func(id uint64, number uint8, packet []byte) string {
		c.take(id, number, packet)
		body := c.Label()
		if len(body) == 0 {
			return ""
		}
		l, err := ParseLabel(body)
		if err != nil || l.FlowID != id {
			t.Fatalf("flow %d: %+v, %v", id, l, err)
		}
		return fmt.Sprintf("%s after %d", l.L7.ApplicationName, len(l.Packets))
	}
	for i, step := range []struct {
		id     uint64
		packet []byte
		want   string
	}{
		{1, udp(53, dnsQuery), "DNS after 1"},
		{1, answer(), ""},
		{2, udp(40003, "zzzzzzzz"), ""},
		{2, udp(40003, "zzzzzzzz"), ""},
		{2, udp(40003, "zzzzzzzz"), ""}, // the last: Unknown is no label
		{3, toSSH(), ""},
		{3, toSSH(), ""},
		{3, toSSH(), "SSH after 3"}, // a guess by port, when no more come
	} {
		if got := names(step.id, uint8(i), step.packet); got != step.want {
			t.Errorf("step %d: %q, want %q", i, got, step.want)
		}
	}
	if l7 := c.verdict(t, 1); l7.ApplicationName != "DNS" || l7.RequestedServerName != "a.example.org" {
		t.Errorf("the verdict after a label: %+v", l7)
	}
}
