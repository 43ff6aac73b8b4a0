package feature

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/fields.md anew from the schema")

const fieldsPage = "../../docs/fields.md"

const fieldsIntroduction = `# Fields

Every column that weir writes, in the order in which it writes them. This page is made from the schema that the
program itself uses (` + "`weir schema`" + ` prints it); a test keeps the two equal, and
` + "`go test ./userspace/feature -update`" + ` writes the page anew.

Groups ` + "`core`" + ` to ` + "`l7`" + ` are nfstream's, under its names and in its order; weir's own follow. A group that is off
is absent: ` + "`statistics`" + ` comes with ` + "`--statistics`" + `, ` + "`splt`" + ` with ` + "`--splt N`" + `, ` + "`l7`" + ` unless
` + "`--dissections 0`" + ` or a build without nDPI, ` + "`l7_full`" + ` with ` + "`--l7 full`" + `, ` + "`tcp`" + ` with ` + "`--tcp-statistics`" + `, ` + "`ip`" + ` with ` + "`--ip-statistics`" + `,
` + "`tunnel_id`" + `, ` + "`tunnel_key`" + `, ` + "`tunnel_src_ip`" + ` and ` + "`tunnel_dst_ip`" + ` unless ` + "`--decode-tunnels=false`" + `.

- **Direction.** ` + "`src`" + ` sent the flow's first packet. ` + "`src2dst`" + ` is its direction, ` + "`dst2src`" + ` the other, all 0 when nothing
  came back; ` + "`bidirectional`" + ` is both. A flow that the active timeout splits keeps its direction.
- **Sizes** are in the accounting mode (` + "`--accounting`" + `): the frame's original length, or what the IP header, the
  transport header or the payload make of it.
- **Times** are kept in nanoseconds. ` + "`*_ms`" + ` times are cut to milliseconds, and durations are the difference of two such.
- **Inter-arrival times** (` + "`piat`" + `) are between packets of the same scope, on times cut to microseconds; they are
  written in milliseconds with up to three decimals. A packet older than the one before it makes a gap of 0.
- **Mean and deviation** come from exact integer sums and are rounded once. A deviation that cannot be known, because
  the sum of squares ran over 64 bits, is empty in CSV and ` + "`null`" + ` in NDJSON; so is a time of a handshake that was not seen.
- **Retransmitted and late.** Of each direction the highest sequence number is kept, and the latest gap below it. A TCP packet
  below the highest number is *out of order* when it falls into that gap, since it had not been seen before, and
  *retransmitted* otherwise. Holes further back are forgotten, so that a late packet for one of them counts as retransmitted.
- **Learnt by** tells who fills a column of classification: libndpi from that release on, or weir itself with any release.
  "weir itself; nDPI from 4.10" is nDPI's from 4.10 on and weir's own before, or where nDPI has nothing. Which releases weir
  runs with is in [nDPI](reference/ndpi.md). A text is at most 255 octets long.
- **IPFIX** names the information element of the same meaning; *reverse* is RFC 5103's reverse of it. Of which
  columns weir sends which elements is in [IPFIX](reference/ipfix.md).

In CSV (RFC 4180 with line feeds) and NDJSON, an ` + "`f64`" + ` is the shortest decimal that reads back the same, whole numbers
as ` + "`5.0`" + `; lists are ` + "`[0, 1, -1]`" + `, in CSV inside quotes. Octets that are not UTF-8 are written U+FFFD.

Texts come from packets, and whoever sends these chooses them. In NDJSON, what does not print is escaped. In CSV, a text that a
spreadsheet could take for a formula, as its first character that shows is one of ` + "`= + - @`" + `, and one that begins with an apostrophe,
has an apostrophe in front: taking one off wherever a text begins with it gives back every text as it was. ` + "`csv:PATH?formulas=keep`" + `
writes them as they are. Control characters are in CSV as they came, inside quotes: a table or NDJSON is what a terminal should show.
`

// A bar would end a table's cell.
var cell = strings.NewReplacer("|", `\|`)

// learntBy puts the library's name before a bare release.
func learntBy(who string) string {
	if who[0] >= '0' && who[0] <= '9' {
		return "nDPI " + who
	}
	return who
}

// fieldsText renders the schema as docs/fields.md.
func fieldsText() string {
	var b strings.Builder
	b.WriteString(fieldsIntroduction)
	group := ""
	for _, f := range Schema(everything) {
		if f.Group != group {
			group = f.Group
			fmt.Fprintf(&b, "\n## %s\n\n", group)
			if f.Learnt != "" {
				b.WriteString("| column | type | unit | definition | learnt by | IPFIX |\n| --- | --- | --- | --- | --- | --- |\n")
			} else {
				b.WriteString("| column | type | unit | definition | IPFIX |\n| --- | --- | --- | --- | --- |\n")
			}
		}
		learnt := ""
		if f.Learnt != "" {
			learnt = " | " + learntBy(f.Learnt)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s%s | %s |\n", f.Name, f.Type, f.Unit, cell.Replace(f.Definition), learnt, f.IPFIX)
	}
	return b.String()
}

func TestFieldsPageIsTheSchema(t *testing.T) {
	want := fieldsText()
	if *update {
		if err := os.WriteFile(fieldsPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(fieldsPage)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the schema says; write it anew with go test ./userspace/feature -update and read the difference", fieldsPage)
	}
}
