package ipfix

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/netsampler/goflow2/v2/decoders/netflow"

	"github.com/weirflow/weir/userspace"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 999, time.UTC)

func atNoon() time.Time { return noon }

// Every header says how long the message is, when it was made, and how many data records
// were before it, templates and messages of other connections left out.
func TestHeadersCountDataRecords(t *testing.T) {
	o := &Options{Domain: 0x01020304}
	e, m := NewEncoder(everything, o, leastOctets), NewMessages(o, leastOctets, atNoon)
	for connection := range 2 {
		m.Restart()
		var flows []*userspace.Flow
		for range 200 {
			flows = append(flows, []*userspace.Flow{web(), ping(), unanswered()}[rand.N(3)])
		}
		templates, sequence := netflow.CreateTemplateSystem(), uint32(0)
		for i, message := range encode(e, m, flows...) {
			if len(message) > leastOctets || len(message) != int(binary.BigEndian.Uint16(message[2:])) {
				t.Fatalf("message %d of connection %d has %d octets; its header says %d", i, connection, len(message), binary.BigEndian.Uint16(message[2:]))
			}
			want := binary.BigEndian.AppendUint32([]byte{0, 10, message[2], message[3]}, uint32(noon.Unix()))
			want = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(want, sequence), 0x01020304)
			if !bytes.Equal(message[:HeaderOctets], want) {
				t.Fatalf("message %d of connection %d begins with %x, want %x", i, connection, message[:HeaderOctets], want)
			}
			sequence += uint32(len(decode(t, templates, message)))
		}
		if sequence != 200 {
			t.Errorf("connection %d has %d records, want 200", connection, sequence)
		}
	}
}

// Records wait behind each other whatever their templates; those of one share a set.
func TestRecordsOfOneTemplateShareASet(t *testing.T) {
	o := &Options{}
	e, m := NewEncoder(everything, o, StreamOctets), NewMessages(o, StreamOctets, atNoon)
	messages := encode(e, m, web(), web(), ping(), ping(), web())
	if len(messages) != 1 {
		t.Fatalf("%d messages, want 1", len(messages))
	}
	var p netflow.IPFIXPacket
	if err := netflow.DecodeMessageVersion(bytes.NewBuffer(messages[0]), netflow.CreateTemplateSystem(), nil, &p); err != nil {
		t.Fatal(err)
	}
	var sets []int
	for _, set := range p.FlowSets {
		if d, ok := set.(netflow.DataFlowSet); ok {
			sets = append(sets, len(d.Records))
		}
	}
	if len(sets) != 3 || sets[0] != 2 || sets[1] != 2 || sets[2] != 1 {
		t.Errorf("sets of %v records, want [2 2 1]", sets)
	}
}

func TestStatisticsTellOfMessagesAndTheLedger(t *testing.T) {
	o := &Options{Domain: 9}
	e, m := NewEncoder(everything, o, StreamOctets), NewMessages(o, StreamOctets, atNoon)
	templates := netflow.CreateTemplateSystem()
	flows := encode(e, m, web(), web(), ping())
	decode(t, templates, flows...)
	records := m.AppendExporting(nil, Refusal{Flows: 3, Count: userspace.Count{Packets: 30, Octets: 3000}})
	l := userspace.Ledger{Observed: userspace.Count{Packets: 100, Octets: 10000}, Lost: userspace.Count{Packets: 2, Octets: 200},
		LostWithConsumer: userspace.Count{Packets: 1, Octets: 100}}
	l.Ignored[1], l.Ignored[2] = userspace.Count{Packets: 4, Octets: 400}, userspace.Count{Packets: 5, Octets: 500}
	message, rest := m.Next(m.AppendMetering(records, &l))
	if len(rest) > 0 {
		t.Fatalf("%d octets are left", len(rest))
	}
	octets := uint64(0)
	for _, message := range flows {
		octets += uint64(len(message))
	}
	got := decode(t, templates, message)
	for i, want := range []map[string]uint64{
		{"observationDomainId": 9, "exportedMessageTotalCount": uint64(len(flows)), "exportedOctetTotalCount": octets, "exportedFlowRecordTotalCount": 3,
			"notSentFlowTotalCount": 3, "notSentPacketTotalCount": 30, "notSentOctetTotalCount": 3000},
		{"observationDomainId": 9, "packetTotalCount": 100, "octetTotalCount": 10000, "ignoredPacketTotalCount": 9, "ignoredOctetTotalCount": 900,
			"droppedPacketTotalCount": 3, "droppedOctetTotalCount": 300},
	} {
		if len(got) != 2 || len(got[i]) != len(want) {
			t.Fatalf("got %v", got)
		}
		for element, n := range want {
			if value := got[i][element]; len(value) < 4 || number(value) != n {
				t.Errorf("%s is %x, want %d", element, value, n)
			}
		}
	}
}

func number(value []byte) (n uint64) {
	for _, b := range value {
		n = n<<8 | uint64(b)
	}
	return n
}

func TestOptions(t *testing.T) {
	for s, want := range map[string]Options{
		"":           {Resend: DefaultResend, Rate: DefaultRate},
		"biflow=off": {Resend: DefaultResend, Rate: DefaultRate, OneWay: true},
		"domain=4294967295&message=1200&templates=5s": {Resend: 5 * time.Second, Rate: DefaultRate, Domain: 1<<32 - 1, Message: 1200},
		"rate=0":      {Resend: DefaultResend},
		"rate=100000": {Resend: DefaultResend, Rate: 100000},
	} {
		if got, err := ParseOptions(s); err != nil || *got != want {
			t.Errorf("%q is %+v, %v; want %+v", s, got, err, want)
		}
	}
	for _, s := range []string{"biflow=on", "biflow", "domain=-1", "domain=4294967296", "message=100", "message=65535", "message=x", "templates=5",
		"templates=10ms", "rate=-1", "rate=99999", "rate=2147483648", "rate=1M", "events=label", "&", "biflow=off&"} {
		if got, err := ParseOptions(s); err == nil {
			t.Errorf("%q is %+v, want an error", s, got)
		}
	}
}
