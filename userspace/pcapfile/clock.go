package pcapfile

import (
	"math"
	"math/bits"
)

// A clock turns an interface's timestamps into nanoseconds since 1970:
// floor(t · mul / 2^shift / div) + offset. The arithmetic is exact for every
// if_tsresol and if_tsoffset, up to the clamp at the end.
type clock struct {
	mul    uint64
	div    uint64
	shift  uint
	offset int64 // seconds, if_tsoffset
}

// defaultResolution is microseconds (draft-ietf-opsawg-pcapng section 4.2).
const defaultResolution = 6

// resolution is the clock of an if_tsresol: units of 10^-n seconds, or 2^-n
// with the top bit set.
func resolution(tsresol byte) clock {
	n := uint(tsresol & 0x7f)
	switch {
	case tsresol&0x80 != 0:
		return clock{mul: 1e9, div: 1, shift: n}
	case n <= 9:
		return clock{mul: power10(9 - n), div: 1}
	case n <= 28:
		return clock{mul: 1, div: power10(n - 9)}
	}
	return clock{div: 1} // 2^64 units are less than a nanosecond
}

func power10(n uint) uint64 {
	p := uint64(1)
	for range n {
		p *= 10
	}
	return p
}

// time converts t. ok is false where the time is out of range and clamped to
// 0 or to the largest int64.
func (c *clock) time(t uint64) (ns uint64, ok bool) {
	hi, lo := bits.Mul64(t, c.mul)
	if c.shift != 0 {
		hi, lo = shiftRight(hi, lo, c.shift)
	}
	if c.div != 1 {
		hi, lo = 0, lo/c.div // mul is 1 here, so hi was 0
	}
	if c.offset != 0 {
		return addSeconds(hi, lo, c.offset)
	}
	return clamp(hi, lo)
}

// shiftRight shifts a 128-bit number; Go defines shifts of 64 and more.
func shiftRight(hi, lo uint64, n uint) (uint64, uint64) {
	if n >= 64 {
		return 0, hi >> (n - 64)
	}
	return hi >> n, lo>>n | hi<<(64-n)
}

// addSeconds adds in 128 bits: the time is below 2^94, the offset within ±2^93.
func addSeconds(hi, lo uint64, seconds int64) (uint64, bool) {
	magnitude := uint64(seconds)
	if seconds < 0 {
		magnitude = -magnitude
	}
	offHi, offLo := bits.Mul64(magnitude, 1e9)
	var carry uint64
	if seconds >= 0 {
		lo, carry = bits.Add64(lo, offLo, 0)
		hi, _ = bits.Add64(hi, offHi, carry)
		return clamp(hi, lo)
	}
	lo, carry = bits.Sub64(lo, offLo, 0)
	hi, carry = bits.Sub64(hi, offHi, carry)
	if carry != 0 {
		return 0, false
	}
	return clamp(hi, lo)
}

func clamp(hi, lo uint64) (uint64, bool) {
	if hi != 0 || lo > math.MaxInt64 {
		return math.MaxInt64, false
	}
	return lo, true
}
