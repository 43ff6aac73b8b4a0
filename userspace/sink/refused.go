package sink

import "github.com/weirflow/weir/userspace"

// A refusal is flows in a row that were all refused, by their numbers: the first flow
// that was offered is 1.
type refusal struct {
	first, last uint64
	after       userspace.Count // what was refused of all flows up to last
}

// A refusalLog tells what was refused of the flows offered first, however many these are:
// they are in order, and do not meet. Of many the oldest are put together, with what was
// taken between them.
type refusalLog []refusal

const refusalsMax = 1024

// add notes that flows were refused, after which all refusals come to a sum.
func (r refusalLog) add(first, last uint64, after userspace.Count) refusalLog {
	for n := len(r); n > 0 && r[n-1].last >= first-1; n = len(r) {
		first = min(first, r[n-1].first)
		r = r[:n-1]
	}
	r = append(r, refusal{first, last, after})
	if len(r) > refusalsMax {
		r[1].first = r[0].first
		r = r[1:]
	}
	return r
}

// of is what was refused of the first n flows, or of the most fewer that can be told of.
func (r refusalLog) of(n uint64) (of uint64, refused userspace.Count) {
	for i := len(r) - 1; i >= 0; i-- {
		switch {
		case r[i].last <= n:
			return n, r[i].after
		case r[i].first <= n:
			n = r[i].first - 1
		}
	}
	return n, userspace.Count{}
}
