package sink

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/weirflow/weir/userspace"
)

func aLabel() *userspace.Label {
	start := time.Unix(1700000000, 5)
	return &userspace.Label{
		FlowID: 7, Part: 1, Protocol: 6,
		Source: netip.MustParseAddrPort("192.0.2.1:40000"), Destination: netip.MustParseAddrPort("[2001:db8::2]:443"),
		Packets: []userspace.LabelPacket{{Time: start, Length: 60}, {Time: start.Add(1500), Length: 1200, Reverse: true}},
		L7:      &userspace.L7{ApplicationName: "TLS\"x", ApplicationCategoryName: "Web", Details: &userspace.L7Details{JA4: "t13"}},
	}
}

func TestALabelIsWrittenAtOnceBetweenFlows(t *testing.T) {
	var out bytes.Buffer
	s, err := Open("ndjson:-?events=label", everything, &out)
	if err != nil {
		t.Fatal(err)
	}
	l, ok := s.(Labeler)
	if !ok || !l.WantsLabels() || s.Name() != "ndjson:-" {
		t.Fatalf("%v wants no labels", s.Name())
	}
	if err := l.WriteLabel(aLabel()); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	for name, want := range map[string]any{
		"event": "label", "flow_uid": 7., "flow_part": 1., "bidirectional_first_seen_ns": 1700000000000000005., "label_ns": 1700000000000001505.,
		"src_ip": "192.0.2.1", "src_port": 40000., "dst_ip": "2001:db8::2", "dst_port": 443., "protocol": 6., "application_name": "TLS\"x",
		"application_category_name": "Web", "application_is_guessed": 0.,
	} {
		if got[name] != want {
			t.Errorf("%s = %v, want %v", name, got[name], want)
		}
	}
	if !strings.HasSuffix(out.String(), `"packets": [[0, 60, 0], [1500, 1200, 1]]}`+"\n") {
		t.Errorf("%s", out.String())
	}
	if err := s.Write(web()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "\n"); n != 2 || !strings.Contains(out.String(), `{"id": 0,`) {
		t.Errorf("%d lines: a label must not count as a row: %s", n, out.String())
	}
}

func TestALabelThatCannotBeWrittenIsNoFlow(t *testing.T) {
	s, err := Open("ndjson:-?events=label", everything, failing{})
	if err != nil {
		t.Fatal(err)
	}
	var e *Error
	if err := s.(Labeler).WriteLabel(aLabel()); !errors.As(err, &e) || e.Flows != 0 || e.NotSent.Packets != 0 {
		t.Errorf("%v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("a label that was given up is kept: %v", err)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("full") }

func TestEventsOfOtherKindsAreRefused(t *testing.T) {
	for spec, wants := range map[string]string{
		"ndjson:-?events=flow": "has no value", "csv:-?events=label": "ndjson", "flows.csv?events=label": "ndjson", "?events=label": "not clear",
	} {
		if _, err := Open(spec, everything, io.Discard); err == nil || !strings.Contains(err.Error(), wants) {
			t.Errorf("%s: %v", spec, err)
		}
	}
	if format, path, err := Parse("flows.ndjson?events=label"); err != nil || format != NDJSON || path != "flows.ndjson" {
		t.Errorf("%q %q %v", format, path, err)
	}
}
