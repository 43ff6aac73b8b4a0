package sink

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/netsampler/goflow2/v2/decoders/netflow"
	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/userspace"
	"github.com/weirflow/weir/userspace/feature"
	"github.com/weirflow/weir/userspace/sink/ipfix"
)

// A session is what an independent reader makes of one connection.
type session struct {
	withdrawals []int // messages that withdraw all templates
	messages    int
	templates   []int            // messages with templates, by number
	flows       []uint64         // packets of both directions, in order
	last        map[string]int64 // of the last options record of each kind, by element
}

// readSession holds messages to the protocol: templates before data, and sequence numbers
// that count every data record.
func readSession(t *testing.T, messages [][]byte) session {
	t.Helper()
	return readFrom(t, messages, 0)
}

// readFlows reads a file that another went before, whose numbers it goes on with.
func readFlows(t *testing.T, file []byte) []uint64 {
	t.Helper()
	return readFrom(t, split(t, string(file)), binary.BigEndian.Uint32(file[8:])).flows
}

func readFrom(t *testing.T, messages [][]byte, sequence uint32) (s session) {
	t.Helper()
	known := netflow.CreateTemplateSystem()
	s.last = map[string]int64{}
	for _, message := range messages {
		var p netflow.IPFIXPacket
		if err := netflow.DecodeMessageVersion(bytes.NewBuffer(message), known, nil, &p); err != nil {
			t.Fatalf("message %d: %v", s.messages, err)
		}
		if p.SequenceNumber != sequence {
			t.Errorf("message %d is of sequence %d, want %d", s.messages, p.SequenceNumber, sequence)
		}
		for _, set := range p.FlowSets {
			switch set := set.(type) {
			case netflow.TemplateFlowSet:
				if set.Records[0].FieldCount == 0 { // all are withdrawn
					s.withdrawals = append(s.withdrawals, s.messages)
					continue
				}
				if n := len(s.templates); n == 0 || s.templates[n-1] != s.messages {
					s.templates = append(s.templates, s.messages)
				}
			case netflow.DataFlowSet:
				sequence += uint32(len(set.Records))
				for _, r := range set.Records {
					s.flows = append(s.flows, packetsOf(r))
				}
			case netflow.OptionsDataFlowSet:
				sequence += uint32(len(set.Records))
				for _, r := range set.Records {
					for _, v := range r.OptionsValues {
						s.last[netflow.IPFIXTypeToString(v.Type)] = int64(valueOf(v))
					}
				}
			case netflow.RawFlowSet:
				t.Fatalf("message %d has data without a template", s.messages)
			}
		}
		s.messages++
	}
	return s
}

func packetsOf(r netflow.DataRecord) (n uint64) {
	for _, v := range r.Values {
		if v.Type == netflow.IPFIX_FIELD_packetDeltaCount {
			n += valueOf(v)
		}
	}
	return n
}

func valueOf(v netflow.DataField) (n uint64) {
	for _, b := range v.Value.([]byte) {
		n = n<<8 | uint64(b)
	}
	return n
}

// split takes a stream apart into whole messages; the last may be cut.
func split(t *testing.T, stream string) (messages [][]byte) {
	t.Helper()
	for len(stream) >= 16 {
		length := int(binary.BigEndian.Uint16([]byte(stream[2:])))
		if length < 16 {
			t.Fatalf("a message of %d octets", length)
		}
		if length > len(stream) {
			break
		}
		messages, stream = append(messages, []byte(stream[:length])), stream[length:]
	}
	return messages
}

// readMessages keeps what a connection brings until so many messages were read, or for 0
// to its end.
func (c *collector) readMessages(number int, conn net.Conn, messages int) {
	for n := 0; messages == 0 || n < messages; n++ {
		header := make([]byte, 16)
		if _, err := io.ReadFull(conn, header); err != nil {
			return
		}
		body := make([]byte, int(binary.BigEndian.Uint16(header[2:]))-16)
		n, _ := io.ReadFull(conn, body)
		c.mu.Lock()
		c.received[number] = append(append(c.received[number], header...), body[:n]...)
		c.mu.Unlock()
	}
}

func openExporter(t *testing.T, path string, opts ...Option) *exporter {
	t.Helper()
	s, err := Open("ipfix:"+path, everything, nil, append([]Option{quickly}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return s.(*exporter)
}

// checkArrivals holds each connection to flows in order, each once, and says how many there
// are of each.
func checkArrivals(t *testing.T, sessions []session) map[uint64]int {
	t.Helper()
	got := map[uint64]int{}
	for number, s := range sessions {
		if !slices.IsSorted(s.flows) || len(slices.Compact(slices.Clone(s.flows))) != len(s.flows) {
			t.Errorf("connection %d has flows twice, or out of order: %v", number, s.flows)
		}
		for _, n := range s.flows {
			got[n]++
		}
	}
	return got
}

// A collector that leaves again and again gets templates first on every connection, once,
// and misses nothing.
func TestG3TemplatesComeFirstOnEachConnection(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			const leaves = 8
			c := collect(t, network, func(c *collector, number int, conn net.Conn) {
				messages := 0
				if number < leaves {
					messages = 1 + 3*number
				}
				c.readMessages(number, conn, messages)
				if tcp, ok := conn.(*net.TCPConn); ok && number < leaves {
					_ = tcp.SetLinger(0)
				}
			})
			s := openExporter(t, c.path+"?message=1200", WithDrain(time.Minute), WithQueue(300, 1<<20))
			s.Patient()
			const flows = 2000
			refused := offer(t, s.remote, flows)
			var sessions []session
			for _, stream := range c.end() {
				sessions = append(sessions, readSession(t, split(t, stream)))
			}
			got := checkArrivals(t, sessions)
			for number, s := range sessions {
				if !slices.Equal(s.templates, []int{0}) && s.messages > 0 {
					t.Errorf("connection %d has templates in messages %v of %d, want in the first", number, s.templates, s.messages)
				}
			}
			if len(sessions) <= leaves || len(refused) > 0 {
				t.Errorf("%d connections; not sent: %v", len(sessions), refused)
			}
			missing := 0
			for n := uint64(1); n <= flows; n++ {
				if got[n] == 0 {
					missing++
				}
			}
			if network == "unix" && missing > 0 || got[flows] == 0 {
				t.Errorf("%d flows did not arrive", missing)
			}
			t.Logf("measured: %d flows over %d connections, %d that the reset threw away", flows, len(sessions), missing)
		})
	}
}

// A port gathers datagrams.
type port struct {
	*net.UDPConn
	mu   sync.Mutex
	from map[string][][]byte // by the sender's address
	all  []string            // senders, in order
	done chan struct{}
}

func gather(t *testing.T, address string) *port { return gatherNow(t, address, func() {}) }

// gatherNow is gather by somebody who does something else after each datagram.
func gatherNow(t *testing.T, address string, between func()) *port {
	t.Helper()
	a, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.ListenUDP("udp", a)
	if err != nil {
		t.Fatal(err)
	}
	p := &port{UDPConn: conn, from: map[string][][]byte{}, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		for buffer := make([]byte, 1<<16); ; between() {
			n, from, err := conn.ReadFromUDP(buffer)
			if err != nil {
				return
			}
			p.mu.Lock()
			if p.from[from.String()] == nil {
				p.all = append(p.all, from.String())
			}
			p.from[from.String()] = append(p.from[from.String()], slices.Clone(buffer[:n]))
			p.mu.Unlock()
		}
	}()
	t.Cleanup(func() { _ = conn.Close() })
	return p
}

// catchUp waits until every datagram that has come is read: the kernel has no room for many.
func (p *port) catchUp(t *testing.T) {
	t.Helper()
	raw, err := p.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for waiting := 1; waiting > 0; time.Sleep(time.Millisecond) {
		if err := raw.Control(func(fd uintptr) { waiting, err = unix.IoctlGetInt(int(fd), unix.SIOCINQ) }); err != nil {
			t.Fatal(err)
		}
	}
}

// messages is how many have come.
func (p *port) messages() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.from {
		n += len(m)
	}
	return n
}

// sessions ends the gathering.
func (p *port) sessions(t *testing.T) (all []session) {
	t.Helper()
	p.catchUp(t)
	_ = p.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	<-p.done
	for _, from := range p.all {
		for _, message := range p.from[from] {
			if len(message) > 1400 || len(message) != int(binary.BigEndian.Uint16(message[2:])) {
				t.Errorf("a datagram of %d octets, which holds a message of %d", len(message), binary.BigEndian.Uint16(message[2:]))
			}
		}
		all = append(all, readSession(t, p.from[from]))
	}
	return all
}

func waitSettled(t *testing.T, s Queued, flows uint64) {
	t.Helper()
	for start := time.Now(); time.Since(start) < 30*time.Second; time.Sleep(time.Millisecond) {
		if settled, _ := s.Settled(); settled >= flows {
			return
		}
	}
	t.Fatalf("%d flows are not settled after 30 s", flows)
}

// Over UDP templates come again after so many messages, since a collector may have missed
// them, or not have been there.
func TestG3TemplatesAreSentAgainAfterMessages(t *testing.T) {
	p := gather(t, "127.0.0.1:0")
	s := openExporter(t, "udp://"+p.LocalAddr().String(), WithDrain(time.Minute))
	const flows = 3000
	for n := uint64(1); n <= flows; n++ {
		if err := s.Write(numbered(n)); err != nil {
			t.Fatal(err)
		}
		if n%200 == 0 {
			waitSettled(t, s, n)
			p.catchUp(t)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	sessions := p.sessions(t)
	got := checkArrivals(t, sessions)
	if len(sessions) != 1 || len(got) != flows {
		t.Fatalf("%d flows in %d sessions", len(got), len(sessions))
	}
	first := sessions[0]
	for i, n := range first.templates {
		if want := i * (resendAfter + 1); n != want {
			t.Errorf("templates are in messages %v, want every %d", first.templates, resendAfter+1)
			break
		}
	}
	if want := first.messages / (resendAfter + 1); len(first.templates) < want || want < 3 {
		t.Errorf("templates came %d times in %d messages", len(first.templates), first.messages)
	}
	t.Logf("measured: %d flows in %d messages, templates %d times", len(got), first.messages, len(first.templates))
}

// … and after so much time, although there are no flows.
func TestG3TemplatesAreSentAgainAfterTime(t *testing.T) {
	p := gather(t, "[::1]:0")
	s := openExporter(t, "udp://"+p.LocalAddr().String()+"?templates=1s")
	begun := time.Now()
	for p.messages() < 5 && time.Since(begun) < 30*time.Second { // templates, and then both twice
		time.Sleep(10 * time.Millisecond)
	}
	if took := time.Since(begun); took < 1900*time.Millisecond {
		t.Errorf("templates came three times in %v", took)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	sessions := p.sessions(t)
	if len(sessions) != 1 || len(sessions[0].templates) < 3 {
		t.Errorf("in %v templates came %v", time.Since(begun), sessions)
	}
}

func TestG3NobodyListensOverUDPCostsWhatFindsNoRoom(t *testing.T) {
	p := gather(t, "127.0.0.1:0")
	_ = p.Close()
	s := openExporter(t, "udp://"+p.LocalAddr().String(), WithQueue(100, 1<<20))
	refused := offer(t, s.remote, 500)
	if err := s.reason(); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("the trouble is %v", err)
	}
	if got := refused["no connection"]; len(refused) != 1 || got.flows != 500 || got.count.Packets != sum(500) {
		t.Errorf("not sent: %+v, want all for want of a connection", refused)
	}
}

// What an ICMP message says of was not sent, and is sent again: a collector that starts
// late, or anew, misses little.
func TestG3CollectorThatComesLateOverUDPGetsWhatWaited(t *testing.T) {
	first := gather(t, "127.0.0.1:0")
	address := first.LocalAddr().String()
	s := openExporter(t, "udp://"+address, WithDrain(time.Minute))
	write := func(from, to uint64) {
		for n := from; n <= to; n++ {
			if err := s.Write(numbered(n)); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(1, 100)
	waitSettled(t, s, 100)
	sessions := first.sessions(t)
	_ = first.Close()
	write(101, 200)
	time.Sleep(300 * time.Millisecond)
	if flows, _ := s.Settled(); flows > 100 {
		t.Errorf("%d flows are settled while nobody listens", flows)
	}
	second := gather(t, address)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	sessions = append(sessions, second.sessions(t)...)
	got := checkArrivals(t, sessions)
	for n := uint64(1); n <= 200; n++ {
		if got[n] != 1 {
			t.Errorf("flow %d arrived %d times", n, got[n])
		}
	}
}

// The last that a collector hears is how many flows it should have, and how many it was
// not sent.
func TestStatisticsOfTheEndCount(t *testing.T) {
	for _, network := range []string{"unix", "udp"} {
		t.Run(network, func(t *testing.T) {
			held := make(chan struct{})
			var c *collector
			var p *port
			path := ""
			if network == "udp" {
				p = gather(t, "127.0.0.1:0")
				path = "udp://" + p.LocalAddr().String()
				close(held)
			} else {
				c = collect(t, network, func(c *collector, number int, conn net.Conn) { <-held; c.readMessages(number, conn, 0) })
				path = c.path
			}
			s := openExporter(t, path, WithQueue(1, 1<<20), func(l *limits) { l.drain, l.stall = time.Minute, time.Minute })
			s.Report(func() userspace.Ledger {
				return userspace.Ledger{Observed: userspace.Count{Packets: 70, Octets: 700}, Lost: userspace.Count{Packets: 3, Octets: 30}}
			})
			refused := refusals{}
			for n := uint64(1); n <= 50; n++ {
				refused.add(t, s.Write(numbered(n)))
			}
			if network == "unix" {
				close(held)
			}
			refused.add(t, s.Close())
			var got session
			if network == "udp" {
				got = p.sessions(t)[0]
			} else {
				got = readSession(t, split(t, c.end()[0]))
			}
			not := refused.total()
			for element, want := range map[string]int64{
				"exportedFlowRecordTotalCount": int64(len(got.flows)), "exportedMessageTotalCount": int64(got.messages) - 1,
				"notSentFlowTotalCount": int64(not.flows), "notSentPacketTotalCount": int64(not.count.Packets), "notSentOctetTotalCount": int64(not.count.Octets),
				"packetTotalCount": 70, "octetTotalCount": 700, "droppedPacketTotalCount": 3, "droppedOctetTotalCount": 30,
			} {
				if value, told := got.last[element]; !told || value != want {
					t.Errorf("%s is %d (told: %v), want %d", element, value, told, want)
				}
			}
			if len(got.flows)+int(not.flows) != 50 || not.flows == 0 {
				t.Errorf("%d flows arrived, %d were refused", len(got.flows), not.flows)
			}
		})
	}
}

// A keptLink keeps what is written to it, all of which arrives at once.
type keptLink struct{ messages [][]byte }

func (k *keptLink) write(_ context.Context, p []byte, arrived func(int64)) error {
	k.messages = append(k.messages, bytes.Clone(p))
	arrived(k.position())
	return nil
}

func (k *keptLink) look(func(int64)) error { return nil }
func (k *keptLink) hasArrived() bool       { return true }
func (k *keptLink) close()                 {}

func (k *keptLink) position() (n int64) {
	for _, m := range k.messages {
		n += int64(len(m))
	}
	return n
}

// Statistics are due whether or not there is ever a pause; and what arrives is told in
// octets of the records.
func TestStatisticsComeUnderLoad(t *testing.T) {
	e, all := ipfix.NewEncoder(everything, &ipfix.Options{}, 1400), ipfix.NewMessages(&ipfix.Options{}, 1400, time.Now)
	kept := &keptLink{}
	m := &messageLink{link: kept, messages: all, templates: e.AppendTemplates(nil), every: 1,
		statistics: func(dst []byte, m *ipfix.Messages) []byte { return m.AppendExporting(dst, ipfix.Refusal{}) }}
	var records []byte
	for n := range uint64(100) {
		records = e.AppendFlow(records, &feature.Row{Flow: numbered(n + 1)}, nil)
	}
	at := int64(0)
	for range 3 {
		if err := m.write(t.Context(), records, func(position int64) { at = position }); err != nil {
			t.Fatal(err)
		}
	}
	if at != int64(3*len(records)) || m.position() != at {
		t.Errorf("%d octets of records have arrived, %d were sent, want %d", at, m.position(), 3*len(records))
	}
	s := readSession(t, kept.messages)
	if got := s.last["exportedFlowRecordTotalCount"]; got != 200 || len(s.flows) != 300 {
		t.Errorf("the last statistics tell of %d flows of %d, want of the 200 before the last write", got, len(s.flows))
	}
}

// What a meter that runs on gives up, for want of room elsewhere, was not sent either.
func TestStatisticsCountWhatWasGivenUp(t *testing.T) {
	s := openExporter(t, "tcp://127.0.0.1:1")
	for n := uint64(1); n <= 20; n++ {
		if err := s.Write(numbered(n)); err != nil {
			t.Fatal(err)
		}
	}
	given := refusals{}
	given.add(t, s.GiveUp())
	if got, want := s.refusal(), given.total(); got.Flows != want.flows || got.Count != want.count || got.Flows != 20 {
		t.Errorf("statistics tell of %+v, the errors of %+v", got, want)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// Who is connected is told of the timeouts, before any flow.
func TestTimeoutsComeWithTheTemplatesOfAConnection(t *testing.T) {
	p := gather(t, "127.0.0.1:0")
	s := openExporter(t, "udp://"+p.LocalAddr().String(), WithDrain(30*time.Second), WithTimeouts(2*time.Minute, time.Hour))
	if err := s.Write(numbered(1)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if got := checkArrivals(t, p.sessions(t)); got[1] != 1 {
		t.Errorf("the flow arrived %d times", got[1])
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	// Set 262, of 12 octets: domain 0, 3600 s, 120 s.
	want := []byte{1, 6, 0, 12, 0, 0, 0, 0, 0x0e, 0x10, 0, 120}
	if first := p.from[p.all[0]][0]; !bytes.Contains(first, want) {
		t.Errorf("the first message holds no record of the timeouts: %x", first)
	}
}
