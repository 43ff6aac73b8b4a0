package ipfix

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/netsampler/goflow2/v2/decoders/netflow"

	"github.com/weirflow/weir/userspace/feature"
)

// names are the elements' names in IANA's registry. The library makes its table anew for
// each question.
var names = sync.OnceValue(func() map[uint16]string {
	all := map[uint16]string{httpUserAgent: "httpUserAgent", httpContentType: "httpContentType"}
	for id := range uint16(512) {
		if all[id] == "" {
			all[id] = netflow.IPFIXTypeToString(id)
		}
	}
	return all
})

func nameOf(id uint16) string { return names()[id] }

// implied are columns with an element of which the record tells otherwise.
var implied = []string{
	"bidirectional_duration_ms", "src2dst_duration_ms", "dst2src_duration_ms", // the end less the start
}

// The schema names the element of each column that has one, and the table has each that the
// schema names, for the column that it names it of.
func TestTableIsWhatTheSchemaSays(t *testing.T) {
	schema, sent := map[string]feature.Column{}, map[string]bool{}
	for _, c := range everything {
		schema[c.Name] = c
	}
	for _, e := range elements {
		columns := []string{firstOf(e.both, e.forward)}
		if e.paired || e.both != "" && e.forward != "" {
			columns = append(columns, e.forward, e.reverse)
		}
		for _, column := range columns {
			sent[column] = true
			c, found := schema[column]
			if !found {
				t.Errorf("%s comes from a column %q that does not exist", nameOf(e.id), column)
			}
			if e.kind != tcpControlBits && (!strings.Contains(c.IPFIX, nameOf(e.id)) || !strings.Contains(c.IPFIX, fmt.Sprint(e.id))) {
				t.Errorf("the schema of %s is %q and names no %s (%d)", column, c.IPFIX, nameOf(e.id), e.id)
			}
		}
	}
	for name, c := range schema {
		if c.IPFIX != "" && !sent[name] && !slices.Contains(implied, name) {
			t.Errorf("%s has the element %s, and it is not sent", name, c.IPFIX)
		}
	}
}

func TestRecordsFitTheSmallestMessage(t *testing.T) {
	for _, oneWay := range []bool{false, true} {
		for _, template := range newTemplates(everything, oneWay) {
			if template.least > leastOctets-HeaderOctets-setHeader {
				t.Errorf("records of %d octets, one way %v, do not fit messages of %d", template.least, oneWay, leastOctets)
			}
			t.Logf("template %d, one way %v: %d fields, %d octets", template.id, oneWay, len(template.records[0]), template.least)
		}
	}
}

var update = flag.Bool("update", false, "write docs/reference/ipfix.md anew from the table")

const page = "../../../docs/reference/ipfix.md"

const marker = "<!-- made from the table of elements; go test ./userspace/sink/ipfix -update -->\n"

// tableText is the table of elements as the page has it.
func tableText() string {
	var b strings.Builder
	b.WriteString("\n| element | | octets | of flows | column | reverse element |\n| --- | --- | --- | --- | --- | --- |\n")
	fmt.Fprintf(&b, "| `biflowDirection` | %d | 1 | all | 1: source is who sent the first packet | |\n", biflowDirection)
	for _, e := range elements {
		length, reverse := fmt.Sprint(e.kind.octets()), ""
		if e.kind == text {
			length = "variable"
		}
		if e.paired {
			reverse = "`" + e.reverse + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %d | %s | %s | %s | %s |\n", nameOf(e.id), e.id, length, familyText(e.in), columnOf(e), bitsOf(e, reverse))
	}
	return b.String()
}

func familyText(f family) string {
	var words []string
	for _, w := range []struct {
		f    family
		text string
	}{{ofICMP, "ICMP"}, {ofPorts, "but ICMP"}, {ofIPv4, "IPv4"}, {ofIPv6, "IPv6"}} {
		if f&w.f != 0 {
			words = append(words, w.text)
		}
	}
	switch {
	case len(words) == 0:
		return "all"
	case f == ofPorts:
		return "all but ICMP"
	}
	return strings.Join(words, ", ")
}

func columnOf(e element) string {
	column := "`" + firstOf(e.both, e.forward) + "`"
	switch e.kind {
	case outerVLAN:
		return "`vlan_outer_id`, or `vlan_id` of a frame with one tag"
	case innerVLAN:
		return "`vlan_id` under an outer tag, else 0"
	case typeAndCode:
		return "`icmp_type` × 256 + `icmp_code`"
	case tcpControlBits:
		return "bit set where `src2dst_*_packets` is above 0"
	}
	return column
}

func bitsOf(e element, reverse string) string {
	if e.kind == tcpControlBits {
		return "so of `dst2src_*_packets`"
	}
	return reverse
}

func TestPageIsTheTable(t *testing.T) {
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.SplitN(string(got), marker, 3)
	if len(parts) != 3 {
		t.Fatalf("%s has not the two marks that the table is between", page)
	}
	if *update {
		parts[1] = tableText()
		if err := os.WriteFile(page, []byte(strings.Join(parts, marker)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if parts[1] != tableText() {
		t.Errorf("%s is not the table of elements: write it anew with -update and read the difference", page)
	}
}

func TestElementsAreOnceInATemplate(t *testing.T) {
	for _, oneWay := range []bool{false, true} {
		for _, template := range newTemplates(everything, oneWay) {
			var seen []string
			for _, f := range template.records[0] {
				name := fmt.Sprint(f.id, f.reverse)
				if slices.Contains(seen, name) {
					t.Errorf("%s is twice in template %d", nameOf(f.id), template.id)
				}
				seen = append(seen, name)
			}
		}
	}
}
