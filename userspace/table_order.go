package userspace

// An order is a list of entries, the one whose turn it is first. Links are kept
// apart from the entries because moving one to the end touches three of them.
type order struct {
	links []link // by entry; 0 is the list's two ends
}

type link struct {
	prev, next uint32
	seen       uint64 // the clock when the entry was put here
}

// first is the entry whose turn it is, 0 in an empty list.
func (o *order) first() uint32 { return o.links[0].next }

// add puts an entry at the end.
func (o *order) add(i uint32, clock uint64) {
	last := o.links[0].prev
	o.links[last].next = i
	o.links[i] = link{prev: last, seen: clock}
	o.links[0].prev = i
}

func (o *order) remove(i uint32) {
	l := o.links[i]
	o.links[l.prev].next = l.next
	o.links[l.next].prev = l.prev
}

// touch moves an entry to the end.
func (o *order) touch(i uint32, clock uint64) {
	if o.links[0].prev == i {
		o.links[i].seen = clock
		return
	}
	o.remove(i)
	o.add(i, clock)
}

// grow makes room for entries more. It doubles: what is not used yet of fresh memory
// is not there yet either, while every move leaves garbage behind.
func (o *order) grow(entries int) {
	if entries <= len(o.links) {
		return
	}
	if entries > cap(o.links) {
		links := make([]link, len(o.links), 2*entries)
		copy(links, o.links)
		o.links = links
	}
	o.links = o.links[:entries]
}

// reserve makes room for so many entries in all, no more, and has the kernel give it.
func (o *order) reserve(entries int) {
	links := make([]link, len(o.links), entries)
	copy(links, o.links)
	clear(links[len(links):entries])
	o.links = links
}
