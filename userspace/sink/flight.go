package sink

// A flight is what is under way, the oldest first. It allocates only to become longer.
type flight[T any] struct {
	all  []T
	head int // of all, those before have arrived
}

func (f *flight[T]) add(x T) {
	if f.head > len(f.all)/2 {
		f.all, f.head = append(f.all[:0], f.all[f.head:]...), 0
	}
	f.all = append(f.all, x)
}

// land takes away the oldest, as long as has says that they have arrived, and returns the
// last of them.
func (f *flight[T]) land(has func(*T) bool) (last T, landed bool) {
	for ; f.head < len(f.all) && has(&f.all[f.head]); f.head++ {
		last, landed = f.all[f.head], true
	}
	return last, landed
}

func (f *flight[T]) empty() bool { return f.head == len(f.all) }
