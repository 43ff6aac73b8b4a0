package userspace

import (
	"hash/maphash"
	"math/bits"
)

// A store has the memory of entries, an index over them by key, and a list of them in
// the order in which they were put there or touched. Entries that are in neither are
// somebody's who allocated them.
type store struct {
	layout layout
	seed   maphash.Seed // secret: nobody can aim at one slot
	slots  []slot
	slabs  []slab
	quiet  order  // the entries in the index
	free   uint32 // a chain through quiet's next
	flows  int    // in the index
}

func newStore(l layout, seed maphash.Seed) store {
	return store{layout: l, seed: seed, slots: make([]slot, minSlots), quiet: order{make([]link, 1)}}
}

// reserve takes the memory of a new store now, for so many entries in the index and some
// besides, where it otherwise comes as it is needed. Writing to it has the kernel give it.
func (s *store) reserve(flows, besides int) {
	slabs := (flows+besides)/slabEntries + 1 // entry 0 is none
	s.index(max(minSlots, 1<<bits.Len(uint(2*flows-1))))
	clear(s.slots)
	s.quiet.reserve(slabs * slabEntries)
	for range slabs {
		s.addSlab()
		clear(s.slabs[len(s.slabs)-1])
	}
}

// entry is an entry's core, behind which its other parts are.
func (s *store) entry(i uint32) *core {
	return s.layout.coreAt(s.slabs[i/slabEntries], i%slabEntries)
}

// allocate takes an entry from the free ones, after making more if there are
// none.
func (s *store) allocate() uint32 {
	if s.free == 0 {
		s.addSlab()
	}
	i := s.free
	s.free = s.quiet.links[i].next
	return i
}

// addSlab leaves entry 0 unused: it stands for "none" in the index and for the
// two ends of the lists.
func (s *store) addSlab() {
	first, end := len(s.slabs)*slabEntries, (len(s.slabs)+1)*slabEntries
	s.slabs = append(s.slabs, s.layout.newSlab())
	s.quiet.grow(end)
	for i := end - 1; i >= max(first, 1); i-- {
		s.release(uint32(i))
	}
}

func (s *store) release(i uint32) {
	s.quiet.links[i].next = s.free
	s.free = i
}

// add puts an entry whose key is in no other into the index, and at the end of the list.
func (s *store) add(i, tag uint32, clock uint64) {
	s.entry(i).tag = tag
	s.flows++
	s.quiet.add(i, clock)
	s.insert(tag, i)
}

// remove takes an entry out of both.
func (s *store) remove(i uint32) {
	s.delete(s.entry(i).tag, i)
	s.quiet.remove(i)
	s.flows--
}
