package pcapfile

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

func TestClock(t *testing.T) {
	cases := []struct {
		name    string
		tsresol byte
		offset  int64
		t       uint64
		want    uint64
		ok      bool
	}{
		{"seconds", 0, 0, 1_700_000_000, 1_700_000_000e9, true},
		{"milliseconds", 3, 0, 1_700_000_000_123, 1_700_000_000_123e6, true},
		{"microseconds", 6, 0, 1_700_000_000_123_456, 1_700_000_000_123_456_000, true},
		{"nanoseconds", 9, 0, 1_700_000_000_123_456_789, 1_700_000_000_123_456_789, true},
		{"picoseconds round down", 12, 0, 1_999, 1, true},
		{"10^-19", 19, 0, math.MaxUint64, 1_844_674_407, true},
		{"10^-28", 28, 0, math.MaxUint64, 1, true},
		{"10^-29 is less than a nanosecond in all", 29, 0, math.MaxUint64, 0, true},
		{"10^-127", 127, 0, math.MaxUint64, 0, true},
		{"2^0", 0x80, 0, 3, 3e9, true},
		{"2^-10", 0x80 | 10, 0, 1<<20 | 1<<9, 1024_500_000_000, true},
		{"2^-63", 0x80 | 63, 0, math.MaxUint64, 1_999_999_999, true},
		{"2^-64", 0x80 | 64, 0, math.MaxUint64, 999_999_999, true},
		{"2^-93", 0x80 | 93, 0, math.MaxUint64, 1, true},
		{"2^-127", 0xff, 0, math.MaxUint64, 0, true},
		{"over the top", 0, 0, math.MaxUint64, math.MaxInt64, false},
		{"just within", 9, 0, math.MaxInt64, math.MaxInt64, true},
		{"just beyond", 9, 0, math.MaxInt64 + 1, math.MaxInt64, false},
		{"offset", 6, 1_000_000_000, 1_500_000, 1_000_000_001_500_000_000, true},
		{"negative offset", 6, -1, 1_500_000, 500_000_000, true},
		{"before 1970", 6, -2, 1_500_000, 0, false},
		{"least offset", 6, math.MinInt64, math.MaxUint64, 0, false},
		{"greatest offset", 6, math.MaxInt64, 0, math.MaxInt64, false},
		{"an offset that brings the time back in range", 0, math.MinInt64, 1 << 63, 0, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			clock := resolution(c.tsresol)
			clock.offset = c.offset
			if ns, ok := clock.time(c.t); ns != c.want || ok != c.ok {
				t.Errorf("time is %d, %v; want %d, %v", ns, ok, c.want, c.ok)
			}
		})
	}
}

// exactTime is the definition, in numbers without bounds.
func exactTime(tsresol byte, offset int64, t uint64) (uint64, bool) {
	base, n := int64(10), int64(tsresol&0x7f)
	if tsresol&0x80 != 0 {
		base = 2
	}
	ns := new(big.Int).Mul(new(big.Int).SetUint64(t), big.NewInt(1e9))
	ns.Div(ns, new(big.Int).Exp(big.NewInt(base), big.NewInt(n), nil))
	ns.Add(ns, new(big.Int).Mul(big.NewInt(offset), big.NewInt(1e9)))
	switch {
	case ns.Sign() < 0:
		return 0, false
	case !ns.IsInt64():
		return math.MaxInt64, false
	}
	return ns.Uint64(), true
}

func TestE4ClockIsExactForEveryResolution(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	const resolutions, times = 256, 200
	for tsresol := range resolutions {
		for range times {
			// Every magnitude is as likely as any other.
			ts := random.Uint64() >> random.UintN(64)
			offset := int64(random.Uint64()) >> random.UintN(64)
			if random.UintN(3) == 0 {
				offset = 0
			}
			clock := resolution(byte(tsresol))
			clock.offset = offset
			ns, ok := clock.time(ts)
			if want, wantOK := exactTime(byte(tsresol), offset, ts); ns != want || ok != wantOK {
				t.Fatalf("tsresol %#x, offset %d, %d: time is %d, %v; want %d, %v", tsresol, offset, ts, ns, ok, want, wantOK)
			}
		}
	}
	t.Logf("measured: %d times in each of %d resolutions exact", times, resolutions)
}

func TestD5TimesOutOfRangeAreClampedAndCounted(t *testing.T) {
	minus := option{optionOffset, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}
	b := bigEndian().section().
		iface(1, 0, option{optionResolution, []byte{0}}).
		iface(1, 0, minus, option{optionResolution, []byte{9}}).
		iface(1, 0, option{optionResolution, []byte{9}}, minus).
		enhanced(0, math.MaxUint64, nil, 0).
		enhanced(1, 5, nil, 0).
		enhanced(2, 1e9+5, nil, 0)
	r := wantPackets(t, b.Bytes(), packet{timeNs: math.MaxInt64, link: 1}, packet{link: 1}, packet{timeNs: 5, link: 1})
	if r.TimesClamped() != 2 {
		t.Errorf("%d times were clamped, want 2", r.TimesClamped())
	}
}
