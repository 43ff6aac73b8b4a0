package sink

import (
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/weirflow/weir/userspace/feature"
)

// An ndjsonEncoder writes one JSON object (RFC 8259) a line. Octets that are not
// UTF-8 become U+FFFD; everything that does not print is escaped, so that a terminal
// finds no command in it, nor one that turns the direction of text.
type ndjsonEncoder struct {
	columns []feature.Column
	// keys are what stands before each value, from the brace or comma on.
	keys  []string
	value []byte
}

func newNDJSONEncoder(columns []feature.Column) *ndjsonEncoder {
	e := &ndjsonEncoder{columns: columns, keys: make([]string, len(columns))}
	for i := range columns {
		key := appendJSONEscaped([]byte(`, "`), []byte(columns[i].Name))
		if i == 0 {
			key = append([]byte{'{'}, key[2:]...)
		}
		e.keys[i] = string(append(key, `": `...))
	}
	return e
}

func (e *ndjsonEncoder) appendHeader(dst []byte) []byte { return dst }

func (e *ndjsonEncoder) appendFlow(dst []byte, r *feature.Row, g *guard) []byte {
	for i := range e.columns {
		dst = append(dst, e.keys[i]...)
		if c := &e.columns[i]; g == nil {
			dst = e.appendValue(dst, c, r)
		} else {
			dst = g.value(dst, c, "null", func(dst []byte) []byte { return e.appendValue(dst, c, r) })
		}
	}
	return append(dst, "}\n"...)
}

func (e *ndjsonEncoder) appendValue(dst []byte, c *feature.Column, r *feature.Row) []byte {
	if c.List != nil {
		return appendList(dst, c.List, r)
	}
	if dst, ok := appendNumber(dst, c, r, "null"); ok {
		return dst
	}
	dst = append(dst, '"')
	start := len(dst)
	dst = c.Text(dst, r)
	if !bareInJSON(dst[start:]) {
		e.value = append(e.value[:0], dst[start:]...)
		dst = appendJSONEscaped(dst[:start], e.value)
	}
	return append(dst, '"')
}

func bareInJSON(text []byte) bool {
	for _, c := range text {
		if c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			return false
		}
	}
	return true
}

func appendJSONEscaped(dst, text []byte) []byte {
	for len(text) > 0 {
		c, n := utf8.DecodeRune(text)
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', byte(c))
		case c == utf8.RuneError:
			dst = append(dst, replacement...)
		case c > 0xffff && !unicode.IsPrint(c):
			high, low := utf16.EncodeRune(c)
			dst = appendJSONUnit(appendJSONUnit(dst, high), low)
		case !unicode.IsPrint(c):
			dst = appendJSONUnit(dst, c)
		default:
			dst = append(dst, text[:n]...)
		}
		text = text[n:]
	}
	return dst
}

// appendJSONUnit escapes a character below U+10000 by number.
func appendJSONUnit(dst []byte, c rune) []byte {
	const digits = "0123456789abcdef"
	return append(dst, '\\', 'u', digits[c>>12&15], digits[c>>8&15], digits[c>>4&15], digits[c&15])
}
