package differential

import "encoding/binary"

// Choices decide what a generator makes: a seeded *rand.Rand, or a fuzzer's
// input.
type Choices interface {
	// IntN is a number from 0 to n-1.
	IntN(n int) int
}

// An Input makes choices from a fuzzer's octets: one each, or more where n is
// larger, and 0 when there are none left. So every input is a valid one, and a
// small change of it is a small change of what it makes.
type Input struct{ Octets []byte }

// IntN implements Choices.
func (in *Input) IntN(n int) int {
	size := 1
	for limit := 256; limit < n; limit <<= 8 {
		size++
	}
	var b [8]byte
	copy(b[8-size:], in.take(size))
	return int(binary.BigEndian.Uint64(b[:]) % uint64(n))
}

func (in *Input) take(n int) []byte {
	n = min(n, len(in.Octets))
	b := in.Octets[:n]
	in.Octets = in.Octets[n:]
	return b
}

// Left tells whether there is more to choose from.
func (in *Input) Left() bool { return len(in.Octets) > 0 }

// pick is one of a list.
func pick[T any](c Choices, list ...T) T { return list[c.IntN(len(list))] }

// oneIn is true once in n times.
func oneIn(c Choices, n int) bool { return c.IntN(n) == n-1 }
