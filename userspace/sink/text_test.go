package sink

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/weirflow/weir/userspace"
	"github.com/weirflow/weir/userspace/feature"
)

// hostile are values that a peer can choose, to break a line or a reader.
var hostile = []string{
	"", "plain", `"`, `""`, ",", "a,b", "a\nb", "a\r\nb", "\r", "\x00", "\x1b[2J", "\x7f", "\u009b31m", "back\\", `x\`, `\"`, `\n`,
	" lead", "trail ", "=cmd|' /C calc'!A0", "@x", "+1", "-1", "\t=1", "\r=1", "\n=1", "'=1", "'", " =1", "\x00=1", "\ufeff=1", "＝1", "\x7f+", "\u202e=1", "\xff=1", "\xa0=1", "\xff", "a\xc3", "\xed\xa0\x80", "\u2028", "\u2029", "\u202eexe.txt", "\u2066x\u2069", "\u200f", "\U000e0001", "\ufffd", "\U0001F40C", "ä", "'", "</script>",
	"\xef\xbb\xbfbom", strings.Repeat(`"`, 300),
}

// textRow writes one text value between two others.
func textRow(e func([]feature.Column) encoder, value string) string {
	column := func(name, v string) feature.Column {
		return feature.Column{Field: feature.Field{Name: name}, Text: func(dst []byte, _ *feature.Row) []byte { return append(dst, v...) }}
	}
	columns := []feature.Column{column("a", "left"), column("b", value), column("c", "right")}
	return string(e(columns).appendFlow(nil, &feature.Row{}, nil))
}

// utf8Of is what must come back: the value, with U+FFFD for each octet that is
// not UTF-8.
func utf8Of(s string) string { return string([]rune(s)) }

// parseCSV reads one record by the grammar of RFC 4180 section 2, strictly.
func parseCSV(s string) (fields []string, err error) {
	for {
		if !strings.HasPrefix(s, `"`) {
			end := strings.IndexAny(s, ",\n")
			if end < 0 || strings.ContainsAny(s[:end], "\"\r") {
				return nil, fmt.Errorf("a bare field ends badly: %q", s)
			}
			fields, s = append(fields, s[:end]), s[end:]
		} else {
			var b strings.Builder
			for s = s[1:]; ; {
				end := strings.IndexByte(s, '"')
				if end < 0 {
					return nil, fmt.Errorf("a quoted field does not end: %q", s)
				}
				b.WriteString(s[:end])
				if s = s[end+1:]; !strings.HasPrefix(s, `"`) {
					break
				}
				b.WriteByte('"')
				s = s[1:]
			}
			fields = append(fields, b.String())
		}
		switch {
		case s == "\n":
			return fields, nil
		case !strings.HasPrefix(s, ","):
			return nil, fmt.Errorf("want a comma or the line's end: %q", s)
		}
		s = s[1:]
	}
}

// checkCSV has a value come back from CSV: as it is with ?formulas=keep, and
// otherwise behind an apostrophe where it could be taken for a formula, or for
// guarded.
func checkCSV(t *testing.T, value string) {
	t.Helper()
	for _, formulas := range []bool{true, false} {
		line := textRow(func(c []feature.Column) encoder { return &csvEncoder{columns: c, formulas: formulas} }, value)
		fields, err := parseCSV(line)
		if err != nil || len(fields) != 3 || fields[0] != "left" || fields[2] != "right" {
			t.Errorf("%q came back from CSV as %q (%v)", value, fields, err)
			continue
		}
		got := fields[1]
		if !formulas {
			shown := strings.TrimLeftFunc(got, func(c rune) bool { return !unicode.IsGraphic(c) || unicode.IsSpace(c) })
			if strings.IndexAny(shown, "=+-@＝＋－＠") == 0 || strings.HasPrefix(got, "\t") || strings.HasPrefix(got, "\r") {
				t.Errorf("%q is written as a formula: %q", value, got)
			}
			got = strings.TrimPrefix(got, "'")
		}
		if got != utf8Of(value) {
			t.Errorf("%q came back from CSV as %q", value, got)
		}
	}
}

func TestG5OnlyWhatLooksLikeAFormulaIsGuarded(t *testing.T) {
	for value, want := range map[string]string{
		"=1+1": "'=1+1", "+49": "'+49", "-": "'-", "@x": "'@x", "\tx": "'\tx", "\r=x": "'\r=x", "'quoted": "''quoted", " =x": "' =x", "\x00=x": "'\x00=x",
		"\ufeff=x": "'\ufeff=x", "＝x": "'＝x", "\u200b-x": "'\u200b-x",
		"": "", "a=b": "a=b", "www.example.org": "www.example.org", "Mozilla/5.0 (X11; -)": "Mozilla/5.0 (X11; -)", "::1": "::1", "ä=": "ä=", " x=": " x=", "_http._tcp": "_http._tcp",
	} {
		fields, err := parseCSV(textRow(func(c []feature.Column) encoder { return &csvEncoder{columns: c} }, value))
		if err != nil || fields[1] != want {
			t.Errorf("%q is written %q, want %q (%v)", value, fields, want, err)
		}
	}
}

func checkNDJSON(t *testing.T, value string) {
	t.Helper()
	line := textRow(func(c []feature.Column) encoder { return newNDJSONEncoder(c) }, value)
	if strings.Count(line, "\n") != 1 {
		t.Errorf("%q takes more than a line: %q", value, line)
	}
	var object map[string]string
	if err := json.Unmarshal([]byte(line), &object); err != nil || object["a"] != "left" || object["b"] != utf8Of(value) || object["c"] != "right" {
		t.Errorf("%q came back from NDJSON as %q (%v)", value, object, err)
	}
	for _, c := range strings.TrimSuffix(line, "\n") {
		if !unicode.IsPrint(c) {
			t.Errorf("%q lets character %#x through", value, c)
		}
	}
}

func TestG5HostileTextComesBack(t *testing.T) {
	for _, value := range hostile {
		checkCSV(t, value)
		checkNDJSON(t, value)
	}
	t.Logf("measured: %d hostile texts come back from CSV and NDJSON", len(hostile))
}

// Nothing that a peer chooses reaches a terminal through the table but what prints.
func TestG5NoTextCommandsATerminal(t *testing.T) {
	for _, value := range hostile {
		f := web()
		f.L7 = &userspace.L7{ApplicationName: value}
		line := string((&tableEncoder{}).appendFlow(nil, &feature.Row{Flow: f}, nil))
		for _, c := range strings.TrimSuffix(line, "\n") {
			if !unicode.IsPrint(c) {
				t.Errorf("%q lets character %#x through: %q", value, c, line)
			}
		}
	}
	t.Logf("measured: none of %d hostile texts commands a terminal", len(hostile))
}

func FuzzTextComesBack(f *testing.F) {
	for _, value := range hostile {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		checkCSV(t, value)
		checkNDJSON(t, value)
	})
}

// The texts are what Python 3's repr writes.
func TestFloatsAreWrittenAsPythonDoes(t *testing.T) {
	for f, want := range map[float64]string{
		0: "0.0", 5: "5.0", -1: "-1.0", 34.127: "34.127", 0.30000000000000004: "0.30000000000000004", 1. / 3: "0.3333333333333333",
		1e15: "1000000000000000.0", 1e16: "1e+16", 123456789012345678: "1.2345678901234568e+17", 9007199254740994: "9007199254740994.0",
		1e-4: "0.0001", 0.00001: "1e-05", 1.5e300: "1.5e+300", 4379.692307692308: "4379.692307692308",
	} {
		if got := string(appendFloat(nil, f)); got != want {
			t.Errorf("%g is written %s, want %s", f, got, want)
		}
	}
}

func FuzzFloatComesBack(f *testing.F) {
	f.Add(34.127)
	f.Add(9007199254740993.)
	f.Fuzz(func(t *testing.T, x float64) {
		if math.IsNaN(x) || math.IsInf(x, 0) || x == 0 {
			return // no column has infinities or a negative zero
		}
		text := string(appendFloat(nil, x))
		if back, err := strconv.ParseFloat(text, 64); err != nil || back != x || !strings.ContainsAny(text, ".e") {
			t.Errorf("%g is written %s and comes back as %g", x, text, back)
		}
	})
}

func TestUnknownDeviationIsMissing(t *testing.T) {
	columns := []feature.Column{{Field: feature.Field{Name: "d"}, Float: func(*feature.Row) float64 { return math.NaN() }}, everything[0]}
	row := &feature.Row{ID: 3}
	if got := string((&csvEncoder{columns: columns}).appendFlow(nil, row, nil)); got != ",3\n" {
		t.Errorf("CSV: %q, want an empty field", got)
	}
	if got := string(newNDJSONEncoder(columns).appendFlow(nil, row, nil)); got != `{"d": null, "id": 3}`+"\n" {
		t.Errorf("NDJSON: %q, want null", got)
	}
}
