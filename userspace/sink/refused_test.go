package sink

import (
	"math/rand/v2"
	"testing"

	"github.com/weirflow/weir/userspace"
)

// Whatever happens to a queue, what it says was refused of the first flows is what was
// refused of exactly these.
func TestRefusalsAreToldOfTheFirstFlowsAndOfNoOther(t *testing.T) {
	one := userspace.Count{Packets: 1, Octets: 10}
	fewer, asked := 0, 0
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		q := newQueue(1+r.IntN(6), 1<<20)
		var refused []bool // by flow
		position := int64(0)
		for range 3000 {
			switch r.IntN(12) {
			case 0, 1, 2, 3:
				took := q.add([]byte("x"), 1, one)
				if !took {
					q.refuse(1, one)
				}
				refused = append(refused, !took)
			case 4:
				q.add([]byte("label"), 0, userspace.Count{})
			case 5:
				q.refuse(0, userspace.Count{})
			case 6, 7, 8:
				data, _ := q.take(position)
				position += int64(len(data))
			case 9, 10:
				q.settle(position - int64(r.IntN(3)))
			case 11:
				if r.IntN(10) == 0 {
					settled, _ := q.settled()
					q.giveUp(position)
					for i := settled; i < uint64(len(refused)); i++ {
						refused[i] = true
					}
				}
			}
			settled, most := q.settled()
			n := settled
			if n > 0 {
				n -= uint64(r.IntN(int(min(n, 20)) + 1))
			}
			of, got := q.refusedOf(n)
			want := userspace.Count{}
			for _, yes := range refused[:of] {
				if yes {
					want = want.Plus(one)
				}
			}
			if got != want || of > n || of == settled && got != most {
				t.Fatalf("seed %d: of %d flows %v are refused, want %v; of %d settled %v", seed, of, got, want, settled, most)
			}
			asked++
			if of < n {
				fewer++
			}
		}
	}
	if fewer == 0 || fewer > asked/2 {
		t.Errorf("%d of %d answers are about fewer flows than asked for", fewer, asked)
	}
}

func TestRefusalsTakeBoundedMemory(t *testing.T) {
	var r refusalLog
	for n := uint64(1); n <= 10*refusalsMax; n++ {
		r = r.add(2*n, 2*n, userspace.Count{Packets: n})
	}
	if len(r) != refusalsMax || cap(r) > 4*refusalsMax {
		t.Errorf("%d are kept in room for %d, want %d", len(r), cap(r), refusalsMax)
	}
	const all = 20 * refusalsMax
	for _, c := range []struct{ n, of, packets uint64 }{{all, all, all / 2}, {all - 1, all - 1, all/2 - 1}, {all - 2, all - 2, all/2 - 1}, {5, 1, 0}} {
		if of, got := r.of(c.n); of != c.of || got.Packets != c.packets {
			t.Errorf("of the first %d: %d of %d, want %d of %d", c.n, got.Packets, of, c.packets, c.of)
		}
	}
}
