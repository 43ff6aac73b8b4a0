package feature

import (
	"math"
	"math/bits"
)

// mean is sum / (n·unit) rounded once, and 0 for n = 0.
func mean(sum, n, unit uint64) float64 {
	if n == 0 || sum == 0 {
		return 0
	}
	_, q, shift := quotient(0, sum, 55, n, unit)
	return math.Ldexp(float64(q), -shift)
}

// deviation is the sample standard deviation of n integers in 1/unit, from
// their sum and their sum of squares: the root of (n·squares - sum²) /
// (n·(n-1)·unit²), every step exact and rounded once at the end. It is 0 for
// n < 2, and NaN where squares cannot be right, having run over 64 bits.
func deviation(sum, squares, n, unit uint64) float64 {
	if n < 2 {
		return 0
	}
	hi, lo := bits.Mul64(n, squares)
	sumHi, sumLo := bits.Mul64(sum, sum)
	lo, borrow := bits.Sub64(lo, sumLo, 0)
	hi, borrow = bits.Sub64(hi, sumHi, borrow)
	switch {
	case borrow != 0:
		return math.NaN()
	case hi|lo == 0:
		return 0
	}
	hi, lo, shift := quotient(hi, lo, 109, n, n-1, unit*unit)
	return math.Ldexp(float64(root(hi, lo)), -shift/2)
}

// quotient divides hi:lo·2^shift by all divisors, for an even shift that it
// chooses so that the quotient has at least the wanted number of bits. The
// lowest bit of the quotient is set if there was a remainder; with two bits
// more than a float64 holds, converting it rounds the exact value.
func quotient(hi, lo uint64, wanted int, divisors ...uint64) (qhi, qlo uint64, shift int) {
	length := bits.Len64(lo)
	if hi != 0 {
		length = 64 + bits.Len64(hi)
	}
	shift = wanted - length
	for _, d := range divisors {
		shift += bits.Len64(d)
	}
	shift = max(0, shift+shift&1)
	// The dividend has at most 109 + 1 + 64 + 64 + 20 bits, and is written in
	// three words of which the last may be zero.
	var words [7]uint64
	place, up := shift/64, shift%64
	words[place], words[place+1], words[place+2] = lo<<up, hi<<up|lo>>(64-up), hi>>(64-up)
	var remainder uint64
	for _, d := range divisors {
		var r uint64
		for i := len(words) - 1; i >= 0; i-- {
			if r|words[i] != 0 {
				words[i], r = bits.Div64(r, words[i], d)
			}
		}
		remainder |= r
	}
	if remainder != 0 {
		words[0] |= 1
	}
	return words[1], words[0], shift
}

// root is the integer square root of hi:lo, which is at least 1 and below
// 2^127; its lowest bit is set if it is not the exact root.
func root(hi, lo uint64) uint64 {
	r := uint64(math.Sqrt(math.Ldexp(float64(hi), 64) + float64(lo)))
	// One step of Newton's takes the estimate, good to 2^-51, to within 1 or 2.
	q, _ := bits.Div64(hi, lo, r)
	r = r/2 + q/2 + (r&1+q&1)/2
	for above(r, hi, lo) {
		r--
	}
	for !above(r+1, hi, lo) {
		r++
	}
	if h, l := bits.Mul64(r, r); h != hi || l != lo {
		r |= 1
	}
	return r
}

// above tells whether r² exceeds hi:lo.
func above(r, hi, lo uint64) bool {
	h, l := bits.Mul64(r, r)
	return h > hi || h == hi && l > lo
}
