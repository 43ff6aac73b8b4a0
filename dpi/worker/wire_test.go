package worker

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"testing"

	"github.com/weirflow/weir/dpi/ndpi"
	"github.com/weirflow/weir/userspace"
)

var aSample = userspace.Sample{
	FlowID: 1<<40 + 1, Part: 7, Number: 3, Reverse: true, BareReverse: true, Protocol: 6, IPVersion: 4,
	TimeNs: 1700000000123456789, WireLength: 9000, Packet: []byte("packet"),
}

func TestFramesComeBackAsTheyWere(t *testing.T) {
	hello := Hello{Dissections: 20, MaxFlows: 65536, Restarted: true, Details: true, Labels: true, Files: 5, Quarantine: []Digest{{1}, {2}}}
	ref := FlowRef{1 << 50, 3}
	ack := Ack{1, 2, 3, 4, 5, 6, 7}
	var b []byte
	b = AppendHello(b, hello)
	b = AppendWelcome(b, "4.2.0", "trouble")
	b = AppendSample(b, &aSample)
	b = AppendFlowFrame(b, KindClose, ref)
	b = AppendAck(b, ack)
	for _, want := range []struct {
		kind  Kind
		parse func(body []byte) (any, error)
		value any
	}{
		{KindHello, func(b []byte) (any, error) { return ParseHello(b) }, hello},
		{KindWelcome, func(b []byte) (any, error) {
			release, trouble, err := ParseWelcome(b)
			return [2]string{release, trouble}, err
		}, [2]string{"4.2.0", "trouble"}},
		{KindSample, func(b []byte) (any, error) {
			var s userspace.Sample
			err := ParseSample(b, &s)
			return s, err
		}, aSample},
		{KindClose, func(b []byte) (any, error) { return ParseFlowFrame(KindClose, b) }, ref},
		{KindAck, func(b []byte) (any, error) { return ParseAck(b) }, ack},
	} {
		kind, body, rest, err := NextFrame(b)
		if err != nil || kind != want.kind {
			t.Fatalf("kind %d, %v; want kind %d", kind, err, want.kind)
		}
		b = rest
		if got, err := want.parse(body); err != nil || !reflect.DeepEqual(got, want.value) {
			t.Errorf("kind %d: %+v, %v; want %+v", kind, got, err, want.value)
		}
		if _, err := want.parse(body[:len(body)-1]); kind != KindSample && err == nil {
			t.Errorf("kind %d: a body that is too short is taken", kind)
		}
	}
	if len(b) != 0 {
		t.Errorf("%d octets are left", len(b))
	}
}

func TestAVerdictIsUTF8AndWhole(t *testing.T) {
	payload := appendResult(nil, &ndpi.Result{
		Guessed: true, Confidence: 1, ApplicationName: []byte("TLS"), CategoryName: []byte("Web"), ServerName: []byte("a\xffb"),
		ClientFingerprint: []byte("c"), ServerFingerprint: []byte("s"), UserAgent: bytes.Repeat([]byte("u"), 300), ContentType: []byte("t"),
	})
	got, err := ParseVerdict(payload)
	want := userspace.L7{
		ApplicationName: "TLS", ApplicationCategoryName: "Web", ApplicationIsGuessed: true, ApplicationConfidence: 1,
		RequestedServerName: "ab", ClientFingerprint: "c", ServerFingerprint: "s",
		UserAgent: string(bytes.Repeat([]byte("u"), 255)), ContentType: "t",
	}
	if err != nil || *got != want {
		t.Errorf("%+v, %v", got, err)
	}
	for n := range payload {
		if _, err := ParseVerdict(payload[:n]); err == nil {
			t.Fatalf("%d of %d octets are taken for a verdict", n, len(payload))
		}
	}
	for name, bad := range map[string][]byte{
		"guessed twice":    append([]byte{2}, payload[1:]...),
		"confidence of 10": append([]byte{0, 10}, payload[2:]...),
		"more than whole":  append(bytes.Clone(payload), 0),
	} {
		if _, err := ParseVerdict(bad); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// An echo is an Inspector that holds nothing.
type echo struct{ samples, quarantined, closes, ends int }

func (e *echo) Sample(s *userspace.Sample) bool {
	e.samples++
	return s.Number == 3
}

func (e *echo) Quarantine(*userspace.Sample) { e.quarantined++ }

func (e *echo) Close(_ FlowRef, b []byte) []byte {
	e.closes++
	return appendUnknown(b, "")
}

func (e *echo) Label() []byte { return nil }

func (e *echo) Counts() Ack { return Ack{Shown: uint64(e.samples)} }

func (e *echo) End() { e.ends++ }

// A trickle is a connection that gives n octets at a time.
type trickle struct {
	in  *bytes.Reader
	n   int
	out bytes.Buffer
}

func (c *trickle) Read(b []byte) (int, error) { return c.in.Read(b[:min(c.n, len(b))]) }

func (c *trickle) Write(b []byte) (int, error) { return c.out.Write(b) }

func serve(t testing.TB, input []byte, n int) (*echo, []byte, error) {
	t.Helper()
	e := new(echo)
	c := &trickle{in: bytes.NewReader(input), n: n}
	err := Serve(c, nil, func(Hello) (Inspector, string, error) { return e, "echo", nil })
	return e, c.out.Bytes(), err
}

func session1() []byte {
	b := AppendHello(nil, Hello{Dissections: 20, MaxFlows: 10})
	for range 100 {
		b = AppendSample(b, &aSample)
		b = AppendFlowFrame(b, KindClose, FlowRef{aSample.FlowID, aSample.Part})
	}
	return b
}

func TestServeDoesNotDependOnHowOctetsArrive(t *testing.T) {
	for _, n := range []int{1, 7, 1000, 1 << 20} {
		input := session1()
		e, out, err := serve(t, input, n)
		if err != nil || e.samples != 100 || e.closes != 100 || e.ends != 1 {
			t.Fatalf("%d at a time: %+v, %v", n, e, err)
		}
		counts := make(map[Kind]int)
		var last Ack
		for len(out) > 0 {
			kind, body, rest, err := NextFrame(out)
			if err != nil || kind == 0 {
				t.Fatalf("answer: kind %d, %v", kind, err)
			}
			counts[kind]++
			if kind == KindAck {
				last, _ = ParseAck(body)
			}
			out = rest
		}
		if counts[KindWelcome] != 1 || counts[KindVerdict] != 100 || counts[KindDone] != 100 {
			t.Errorf("%d at a time: answers %v", n, counts)
		}
		if last.Octets != uint64(len(input)) || last.Done != 100 || last.Shown != 100 {
			t.Errorf("%d at a time: last ack %+v of %d octets", n, last, len(input))
		}
	}
}

func TestServeEndsAtAFrameThatCannotBe(t *testing.T) {
	hello := AppendHello(nil, Hello{Dissections: 20, MaxFlows: 10})
	for name, input := range map[string][]byte{
		"no hello":             AppendFlowFrame(nil, KindClose, FlowRef{}),
		"another version":      append(bytes.Clone(hello[:4]), append([]byte{9}, hello[5:]...)...),
		"no flows":             AppendHello(nil, Hello{}),
		"a second hello":       append(bytes.Clone(hello), hello...),
		"an answer":            AppendAck(bytes.Clone(hello), Ack{}),
		"an unknown kind":      append(bytes.Clone(hello), 0, 0, 0, 99),
		"a frame too long":     append(bytes.Clone(hello), 0xff, 0xff, 0xff, byte(KindSample)),
		"a sample too short":   append(bytes.Clone(hello), 1, 0, 0, byte(KindSample), 0),
		"a close of 3 octets":  append(bytes.Clone(hello), 3, 0, 0, byte(KindClose), 0, 0, 0),
		"a close of 13 octets": append(append(bytes.Clone(hello), 13, 0, 0, byte(KindClose)), make([]byte, 13)...),
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := serve(t, input, 1<<20)
			var broken *ProtocolError
			if !errors.As(err, &broken) {
				t.Errorf("%v", err)
			}
		})
	}
}

func FuzzHostileParent(f *testing.F) {
	f.Add(session1(), 1000)
	f.Add(AppendFlowFrame(AppendHello(nil, Hello{MaxFlows: 1}), KindClose, FlowRef{}), 1)
	f.Fuzz(func(t *testing.T, input []byte, n int) {
		e, out, err := serve(t, input, max(1, n&0xffff))
		if err != nil && errors.Is(err, io.ErrNoProgress) {
			t.Errorf("no progress")
		}
		for len(out) > 0 {
			kind, _, rest, err := NextFrame(out)
			if err != nil || kind == 0 {
				t.Fatalf("it answers what is no frame: %v", err)
			}
			out = rest
		}
		if e.ends > 1 || e.samples*SampleOverhead+e.closes*(headerLen+flowLen) > len(input) {
			t.Errorf("%+v of %d octets", e, len(input))
		}
	})
}
