package sink

import (
	"unicode/utf8"

	"github.com/weirflow/weir/userspace/feature"
)

// A csvEncoder writes RFC 4180, but for line feeds instead of carriage return
// and line feed. Octets that are not UTF-8 become U+FFFD.
type csvEncoder struct {
	columns []feature.Column
	field   []byte
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

func (e *csvEncoder) appendFlow(dst []byte, r *feature.Row) []byte {
	for i := range e.columns {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = e.appendValue(dst, &e.columns[i], r)
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
	if bareInCSV(dst[start:]) {
		return dst
	}
	e.field = append(e.field[:0], dst[start:]...)
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
