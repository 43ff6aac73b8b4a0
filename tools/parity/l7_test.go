package main

import (
	"io"
	"maps"
	"strings"
	"testing"

	"github.com/weirflow/weir/dpi"
)

// needNDPI skips where there is no nDPI to ask.
func needNDPI(t *testing.T) {
	t.Helper()
	if !dpi.Available() {
		t.Skip("built without nDPI")
	}
}

// printed is what a report prints.
func printed(r interface{ print(io.Writer) }) string {
	var text strings.Builder
	r.print(&text)
	return text.String()
}

// TestLabelsEqualTheReference holds the nine L7 columns against the marks, and
// wants a rule for each that differs. Of another nDPI than the answers', which has
// other labels, it wants the same flows, each with a whole verdict.
func TestLabelsEqualTheReference(t *testing.T) {
	needNDPI(t)
	needReference(t)
	r, err := runLabels(t.Context(), []string{referenceCaptures + "/nfstream", referenceCaptures + "/cases"})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(printed(r))
	if !r.matched() {
		t.Error("fewer of the reference's flows than wanted are there, or some without a whole verdict")
	}
	if needOracle() == nil && !r.met() {
		t.Error("fewer flows than wanted have the reference's labels")
	}
	for _, l := range r.results {
		for _, d := range l.differences {
			if d.rule == "" && (needOracle() == nil || d.column == "(flow)") {
				t.Errorf("%s at %d: %s: %s: want %q, got %q", l.name, d.dissections, d.flow, d.column, d.want, d.got)
			}
		}
	}
}

func flow(server string, port, first float64, columns ...any) row {
	r := row{"src_ip": "192.0.2.1", "src_port": 40000.0, "dst_ip": server, "dst_port": port, "protocol": 6.0, "vlan_id": 0.0,
		"bidirectional_first_seen_ms": first, "src2dst_packets": 1.0, "dst2src_packets": 1.0}
	for i := 0; i < len(columns); i += 2 {
		r[columns[i].(string)] = columns[i+1]
	}
	return r
}

func TestFlowsArePairedByTimeThenWithoutIt(t *testing.T) {
	theirs := []row{flow("a", 80, 1, "n", 1), flow("a", 80, 2, "n", 2), flow("b", 80, 1, "n", 3), flow("c", 80, 1, "n", 4)}
	ours := []row{flow("b", 80, 9, "n", 3), flow("a", 80, 2, "n", 2), flow("a", 80, 1, "n", 1), flow("d", 80, 1, "n", 5)}
	p := pair(theirs, ours, identity, conversation)
	for _, pair := range p.pairs {
		if pair[0]["n"] != pair[1]["n"] {
			t.Errorf("%v is taken for %v", pair[1], pair[0])
		}
	}
	if len(p.pairs) != 3 || len(p.missing) != 1 || p.missing[0]["n"] != 4 || len(p.extra) != 1 || p.extra[0]["n"] != 5 {
		t.Errorf("%+v", p)
	}
}

func TestALabelThatDiffersHasItsRuleOrNone(t *testing.T) {
	full, cheap := &testCase{answered: 20, dissections: 20}, &testCase{answered: 20, dissections: 8}
	http := flow("a", 80, 1, "application_name", "HTTP", "content_type", "")
	for _, c := range []struct {
		name   string
		test   *testCase
		want   row
		got    row
		agreed bool
		rule   rule
	}{
		{"another name", full, http, flow("a", 80, 1, "application_name", "TLS"), false, ""},
		{"other packets, by a frame that is read otherwise", otherFrames(), http, flow("192.0.2.2", 80, 1, "src2dst_packets", 2.0), false, otherPackets},
		{"other packets, without a reason", full, http, flow("a", 80, 1, "src2dst_packets", 2.0), false, ""},
		{"fewer inspected, and equal otherwise", cheap, http, http, true, fewerDissections},
		{"fewer inspected, and never equal", cheap, http, http, false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.test.labelRule(t.Context(), c.want, c.got, c.agreed); got != c.rule {
				t.Errorf("the rule is %q, want %q", got, c.rule)
			}
		})
	}
}

// otherFrames is a case in which a flow has a frame that the reference reads
// otherwise.
func otherFrames() *testCase {
	c := &testCase{answered: 20, dissections: 20, frames: newFrames()}
	of := tupleOfRow(flow("192.0.2.2", 80, 1)).key()
	c.frames.ours[of] = []*frame{{timeMs: 1, reading: laterFragments}}
	return c
}

// A packet that is kept from nDPI explains the labels of its flow, and of no other
// flow of the capture.
func TestAPacketKeptFromNDPIExplainsItsFlowAlone(t *testing.T) {
	needNDPI(t)
	if err := needOracle(); err != nil {
		t.Log(err) // no label needs a reason then
		return
	}
	c := readerCase(projectCaptures+"/built-udp-odd/udp-odd.pcap", false)
	rows, err := c.ours(t.Context())
	if err != nil || !c.guarded {
		t.Fatalf("%d flows, some packets kept: %v: %v", len(rows), c.guarded, err)
	}
	kept := 0
	for _, r := range rows {
		got := maps.Clone(r)
		got["application_name"] = "another"
		if rule := c.labelRule(t.Context(), r, got, false); rule == guarded {
			kept++
		} else if rule != "" {
			t.Errorf("%s: %s", conversation(r), rule)
		}
	}
	if kept == 0 || kept == len(rows) {
		t.Errorf("%d of %d flows have their reason", kept, len(rows))
	}
}

func TestMarksAreHeld(t *testing.T) {
	result := func(reference, explained, at20, at8 int) *labelled {
		return &labelled{reference: reference, explained: explained, equal: []int{at20, at8}}
	}
	for _, c := range []struct {
		name    string
		results []*labelled
		met     bool
	}{
		{"nothing to compare", nil, false},
		{"all equal", []*labelled{result(1000, 0, 1000, 1000)}, true},
		{"one in a thousand", []*labelled{result(1000, 0, 999, 997)}, true},
		{"two in a thousand", []*labelled{result(1000, 0, 998, 1000)}, false},
		{"four in a thousand at 8", []*labelled{result(1000, 0, 1000, 996)}, false},
		{"missing, by a rule", []*labelled{result(1002, 2, 1000, 1000)}, true},
		{"missing, without one", []*labelled{result(1002, 0, 1000, 1000)}, false},
		{"an answer of few dissections is not held against the second", []*labelled{result(1000, 0, 1000, 1000), result(100, 0, 100, -1)}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if r := (&labelReport{results: c.results}); r.met() != c.met {
				t.Errorf("met is %v", r.met())
			}
		})
	}
}

func TestFlowsAreMatchedWhateverTheirLabels(t *testing.T) {
	for _, c := range []struct {
		name    string
		one     labelled
		matched bool
	}{
		{"nothing", labelled{}, false},
		{"all, with other labels", labelled{reference: 1000, paired: 1000, equal: []int{0, 0}}, true},
		{"two of a thousand are missing", labelled{reference: 1000, paired: 998}, false},
		{"by a rule", labelled{reference: 1000, explained: 2, paired: 998}, true},
		{"one without a verdict", labelled{reference: 1000, paired: 1000, broken: 1}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if r := (&labelReport{results: []*labelled{&c.one}}); r.matched() != c.matched {
				t.Errorf("matched is %v", r.matched())
			}
		})
	}
	verdict := flow("a", 80, 1, "application_name", "HTTP", "application_category_name", "Web", "application_confidence", 4.0)
	if !whole(verdict) || whole(flow("a", 80, 1, "application_name", "HTTP", "application_category_name", "")) {
		t.Error("a verdict without a category is taken for whole, or a whole one is not")
	}
}
