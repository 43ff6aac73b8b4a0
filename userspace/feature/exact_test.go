package feature

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// precise is far more than any quotient or root here needs to be rounded right.
const precise = 2000

func whole(n uint64) *big.Float {
	return new(big.Float).SetPrec(precise).SetInt(new(big.Int).SetUint64(n))
}

func bigMean(sum, n, unit uint64) float64 {
	q := new(big.Float).SetPrec(precise).Quo(whole(sum), new(big.Float).SetPrec(precise).Mul(whole(n), whole(unit)))
	f, _ := q.Float64()
	return f
}

// bigDeviation finds the variance as a fraction and takes its root with so many
// digits that rounding it is rounding the true value.
func bigDeviation(sum, squares, n, unit uint64) float64 {
	u := func(x uint64) *big.Int { return new(big.Int).SetUint64(x) }
	numerator := new(big.Int).Sub(new(big.Int).Mul(u(n), u(squares)), new(big.Int).Mul(u(sum), u(sum)))
	denominator := new(big.Int).Mul(new(big.Int).Mul(u(n), u(n-1)), new(big.Int).Mul(u(unit), u(unit)))
	variance := new(big.Float).SetPrec(precise).SetRat(new(big.Rat).SetFrac(numerator, denominator))
	f, _ := variance.Sqrt(variance).Float64()
	return f
}

// anyLength draws an integer of a random length of up to bits bits.
func anyLength(r *rand.Rand, bits int) uint64 { return r.Uint64() >> (64 - 1 - r.IntN(bits)) }

func TestMeanIsTheFractionRoundedOnce(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		sum, n, unit := anyLength(r, 64), max(1, anyLength(r, 64)), []uint64{1, 1000}[r.IntN(2)]
		if got, want := mean(sum, n, unit), bigMean(sum, n, unit); got != want {
			t.Fatalf("mean(%d, %d, %d) = %v, want %v", sum, n, unit, got, want)
		}
	}
}

func TestMeanOfNothingIsZero(t *testing.T) {
	if got := mean(0, 0, 1); got != 0 {
		t.Errorf("mean(0, 0, 1) = %v, want 0", got)
	}
}

func TestDeviationIsTheRootRoundedOnce(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 20000 {
		sum, squares, n := anyLength(r, 64), anyLength(r, 64), max(2, anyLength(r, 64))
		unit := []uint64{1, 1000}[r.IntN(2)]
		got := deviation(sum, squares, n, unit)
		if math.IsNaN(got) {
			continue // no n numbers have these sums; drawn often, so the rest still are thousands
		}
		if want := bigDeviation(sum, squares, n, unit); got != want {
			t.Fatalf("deviation(%d, %d, %d, %d) = %v, want %v", sum, squares, n, unit, got, want)
		}
	}
}

func TestDeviationOfValuesIsTheTextbookOne(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 2000 {
		values := make([]uint64, 2+r.IntN(40))
		span := 1 + anyLength(r, 27)
		var sum, squares uint64
		for i := range values {
			values[i] = r.Uint64N(span)
			sum += values[i]
			squares += values[i] * values[i]
		}
		want, n := new(big.Rat), uint64(len(values))
		average := new(big.Rat).SetFrac(new(big.Int).SetUint64(sum), new(big.Int).SetUint64(n))
		for _, v := range values {
			d := new(big.Rat).SetInt(new(big.Int).SetUint64(v))
			d.Sub(d, average)
			want.Add(want, d.Mul(d, d))
		}
		want.Quo(want, new(big.Rat).SetInt(new(big.Int).SetUint64(n-1)))
		root := new(big.Float).SetPrec(precise).SetRat(want)
		f, _ := root.Sqrt(root).Float64()
		if got := deviation(sum, squares, n, 1); got != f {
			t.Fatalf("deviation of %v = %v, want %v", values, got, f)
		}
	}
}

func TestDeviationAtTheEdges(t *testing.T) {
	for _, c := range []struct {
		name            string
		sum, squares, n uint64
		want            float64
	}{
		{"no value", 0, 0, 0, 0},
		{"one value", 1500, 2250000, 1, 0},
		{"equal values", 4500, 6750000, 3, 0},
		{"a variance of 2", 10, 52, 2, math.Sqrt2},
		{"largest sums", 0, math.MaxUint64, math.MaxUint64, 1},
		{"largest variance of two", 0, math.MaxUint64, 2, math.Sqrt(math.MaxUint64)},
		{"a sum of squares that ran over", 1 << 33, 12, 2, math.NaN()},
	} {
		got := deviation(c.sum, c.squares, c.n, 1)
		if got != c.want && !(math.IsNaN(got) && math.IsNaN(c.want)) {
			t.Errorf("%s: deviation(%d, %d, %d) = %v, want %v", c.name, c.sum, c.squares, c.n, got, c.want)
		}
	}
}

func BenchmarkDeviation(b *testing.B) {
	for b.Loop() {
		deviation(1234567, 987654321098, 1000, 1000)
	}
}

func BenchmarkMean(b *testing.B) {
	for b.Loop() {
		mean(1234567, 1000, 1000)
	}
}
