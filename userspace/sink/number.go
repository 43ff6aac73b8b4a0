package sink

import (
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/weirflow/weir/userspace/feature"
)

// appendNumber appends the value of a column that is a number, and tells whether
// the column is one. What is not known is appended as missing.
func appendNumber(dst []byte, c *feature.Column, r *feature.Row, missing string) ([]byte, bool) {
	switch {
	case c.Uint != nil:
		return strconv.AppendUint(dst, c.Uint(r), 10), true
	case c.Int != nil:
		return strconv.AppendInt(dst, c.Int(r), 10), true
	case c.Float != nil:
		if f := c.Float(r); !math.IsNaN(f) {
			return appendFloat(dst, f), true
		}
		return append(dst, missing...), true
	}
	return dst, false
}

// appendFloat writes the shortest decimal that reads back as f, as Python's
// repr does: a whole number ends in .0, and an exponent is used below 1e-4 and
// from 1e16.
func appendFloat(dst []byte, f float64) []byte {
	switch a := math.Abs(f); {
	case a < 1<<53 && f == math.Trunc(f):
		return append(strconv.AppendInt(dst, int64(f), 10), ".0"...)
	case a < 1e-4 || a >= 1e16:
		return strconv.AppendFloat(dst, f, 'e', -1, 64)
	case f == math.Trunc(f):
		return append(strconv.AppendFloat(dst, f, 'f', -1, 64), ".0"...)
	}
	return strconv.AppendFloat(dst, f, 'f', -1, 64)
}

// appendList writes [0, 1, -1]: JSON, and Python's text for a list.
func appendList(dst []byte, v *feature.Vector, r *feature.Row) []byte {
	dst = append(dst, '[')
	for i := range v.Length {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		if x := v.At(r, i); x == math.Trunc(x) {
			dst = strconv.AppendInt(dst, int64(x), 10)
		} else {
			dst = strconv.AppendFloat(dst, x, 'f', -1, 64)
		}
	}
	return append(dst, ']')
}

// replacement stands for an octet that is not UTF-8.
const replacement = string(utf8.RuneError)
