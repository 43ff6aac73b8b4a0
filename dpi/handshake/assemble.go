package handshake

import "slices"

// spansMax bounds the gaps that are kept in a stream.
const spansMax = 64

// A span is octets from start to end, not included.
type span struct{ start, end int }

// An assembler puts the octets at the beginning of a stream in order. Of an
// octet that comes twice the first is kept.
type assembler struct {
	b    []byte
	have []span // sorted, none touches another
}

// add takes octets at an offset. It returns false where they are too far from
// the beginning, or lie about in too many pieces.
func (a *assembler) add(offset int, p []byte) bool {
	if len(p) == 0 {
		return true
	}
	if offset < 0 || offset > HelloMax || len(p) > HelloMax-offset {
		return false
	}
	end := offset + len(p)
	if len(a.b) < end {
		a.grow(end)
	}
	// Copy what falls in the gaps before, between and after the spans.
	at := offset
	for _, s := range a.have {
		if at < s.start && s.start > offset {
			copy(a.b[at:min(s.start, end)], p[at-offset:])
		}
		at = max(at, min(s.end, end))
	}
	if at < end {
		copy(a.b[at:end], p[at-offset:])
	}
	return a.cover(span{offset, end})
}

// grow makes room up to end; what it moves from is cleared.
func (a *assembler) grow(end int) {
	old := a.b
	a.b = slices.Grow(a.b, end-len(a.b))[:end]
	if len(old) > 0 && &old[0] != &a.b[0] {
		clear(old)
	}
}

// cover adds a span to those that are there, and joins those that touch.
func (a *assembler) cover(s span) bool {
	i := 0
	for i < len(a.have) && a.have[i].end < s.start {
		i++
	}
	j := i
	for j < len(a.have) && a.have[j].start <= s.end {
		s = span{min(s.start, a.have[j].start), max(s.end, a.have[j].end)}
		j++
	}
	a.have = slices.Replace(a.have, i, j, s)
	return len(a.have) <= spansMax
}

// prefix is the octets that are there from the beginning on.
func (a *assembler) prefix() []byte {
	if len(a.have) == 0 || a.have[0].start != 0 {
		return nil
	}
	return a.b[:a.have[0].end]
}

// size is the memory that is held.
func (a *assembler) size() int { return cap(a.b) + 16*cap(a.have) }

// drop leaves nothing behind of what was held.
func (a *assembler) drop() {
	clear(a.b[:cap(a.b)])
	a.b, a.have = nil, nil
}
