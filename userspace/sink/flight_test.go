package sink

import (
	"math/rand/v2"
	"testing"
)

func TestFlightsLandInOrderInBoundedRoom(t *testing.T) {
	var f flight[int]
	next, landed, most := 0, -1, 0
	for range 10000 {
		for range rand.N(4) {
			f.add(next)
			next++
		}
		until := min(next, landed+1+rand.N(4))
		last, any := f.land(func(x *int) bool { return *x < until })
		if any != (until > landed+1) || any && last != until-1 {
			t.Fatalf("%d landed (%v) of those below %d, after %d", last, any, until, landed)
		}
		if any {
			landed = last
		}
		if f.empty() != (landed == next-1) {
			t.Fatalf("empty is %v with %d of %d landed", f.empty(), landed+1, next)
		}
		most = max(most, next-1-landed)
		if len(f.all) > 2*most+8 {
			t.Fatalf("%d places for %d at most", len(f.all), most)
		}
	}
}

func TestFlightOfSteadyLengthAllocatesNothing(t *testing.T) {
	var f flight[int]
	for i := range 1000 {
		f.add(i)
	}
	n := 1000
	if allocations := testing.AllocsPerRun(10000, func() {
		f.add(n)
		f.land(func(x *int) bool { return *x <= n-1000 })
		n++
	}); allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
}
