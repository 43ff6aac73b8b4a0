package userspace

// The order of the longest quiet, and the memory of entries.

// link puts an entry at the end: it has just been seen.
func (t *table) link(i uint32) {
	last := t.links[0].prev
	t.links[last].next = i
	t.links[i] = link{prev: last, seen: t.clock}
	t.links[0].prev = i
}

func (t *table) unlink(i uint32) {
	l := t.links[i]
	t.links[l.prev].next = l.next
	t.links[l.next].prev = l.prev
}

// touch moves an entry to the end.
func (t *table) touch(i uint32) {
	if t.links[0].prev == i {
		t.links[i].seen = t.clock
		return
	}
	t.unlink(i)
	t.link(i)
}

// allocate takes an entry from the free ones, after making more if there are
// none.
func (t *table) allocate() uint32 {
	if t.free == 0 {
		t.addSlab()
	}
	i := t.free
	t.free = t.links[i].next
	return i
}

// addSlab leaves entry 0 unused: it stands for "none" in the index and for the
// two ends of the list.
func (t *table) addSlab() {
	first, end := len(t.slabs)*slabEntries, (len(t.slabs)+1)*slabEntries
	t.slabs = append(t.slabs, new([slabEntries]entry))
	t.links = append(t.links, make([]link, end-len(t.links))...)
	for i := end - 1; i >= max(first, 1); i-- {
		t.release(uint32(i))
	}
}

func (t *table) release(i uint32) {
	t.links[i].next = t.free
	t.free = i
}
