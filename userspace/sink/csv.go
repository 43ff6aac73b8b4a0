package sink

import (
	"unicode"
	"unicode/utf8"

	"github.com/weirflow/weir/userspace/feature"
)

// A csvEncoder writes RFC 4180, but for line feeds instead of carriage return
// and line feed. Octets that are not UTF-8 become U+FFFD. A text that a spreadsheet
// could take for a formula, and one that begins with an apostrophe, gets an
// apostrophe in front: whoever takes one off where a text begins with it has the
// texts as they were.
type csvEncoder struct {
	columns  []feature.Column
	formulas bool // are let through
	field    []byte
}

func (e *csvEncoder) appendHeader(dst []byte) []byte {
	for i := range e.columns {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, e.columns[i].Name...)
	}
	return append(dst, '\n')
}

func (e *csvEncoder) appendFlow(dst []byte, r *feature.Row, g *guard) []byte {
	for i := range e.columns {
		if i > 0 {
			dst = append(dst, ',')
		}
		if c := &e.columns[i]; g == nil {
			dst = e.appendValue(dst, c, r)
		} else {
			dst = g.value(dst, c, "", func(dst []byte) []byte { return e.appendValue(dst, c, r) })
		}
	}
	return append(dst, '\n')
}

func (e *csvEncoder) appendValue(dst []byte, c *feature.Column, r *feature.Row) []byte {
	if c.List != nil {
		return append(appendList(append(dst, '"'), c.List, r), '"')
	}
	if dst, ok := appendNumber(dst, c, r, ""); ok {
		return dst
	}
	start := len(dst)
	dst = c.Text(dst, r)
	guard := !e.formulas && needsGuard(dst[start:])
	if !guard && bareInCSV(dst[start:]) {
		return dst
	}
	e.field = e.field[:0]
	if guard {
		e.field = append(e.field, '\'')
	}
	e.field = append(e.field, dst[start:]...)
	return appendCSVQuoted(dst[:start], e.field)
}

// bareInCSV tells whether a field needs neither quotes nor repair. Spaces at
// its ends are quoted, since some readers trim them.
func bareInCSV(field []byte) bool {
	for _, c := range field {
		if c < ' ' || c == '"' || c == ',' || c >= utf8.RuneSelf {
			return false
		}
	}
	return len(field) == 0 || field[0] != ' ' && field[len(field)-1] != ' '
}

// needsGuard tells whether a text could be taken for a formula: its first character
// that shows is one with which formulas begin, in ASCII or full width. Tab and
// carriage return are among those (OWASP, CSV injection).
func needsGuard(text []byte) bool {
	if len(text) == 0 {
		return false
	}
	switch c := text[0]; {
	case c == '\'' || c == '=' || c == '+' || c == '-' || c == '@' || c == '\t' || c == '\r' || c == '\n':
		return true
	case c > ' ' && c < 0x7f:
		return false
	}
	for len(text) > 0 {
		c, n := utf8.DecodeRune(text)
		switch c {
		case '=', '+', '-', '@', '＝', '＋', '－', '＠':
			return true
		}
		if c > ' ' && unicode.IsGraphic(c) && !unicode.IsSpace(c) {
			return false
		}
		text = text[n:]
	}
	return false
}

func appendCSVQuoted(dst, field []byte) []byte {
	dst = append(dst, '"')
	for len(field) > 0 {
		c, n := utf8.DecodeRune(field)
		switch {
		case c == '"':
			dst = append(dst, `""`...)
		case c == utf8.RuneError:
			dst = append(dst, replacement...)
		default:
			dst = append(dst, field[:n]...)
		}
		field = field[n:]
	}
	return append(dst, '"')
}
