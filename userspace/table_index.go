package userspace

import (
	"hash/maphash"
	"unsafe"

	"github.com/weirflow/weir/bpf"
)

// The index: open addressing with linear probing, at most half full; deletion
// moves later slots back, so there are no tombstones to clean up.

func keyBytes(k *bpf.Key) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(k)), unsafe.Sizeof(*k))
}

// keyEqual compares words: a key has no padding.
func keyEqual(a, b *bpf.Key) bool {
	type words = [unsafe.Sizeof(*a) / 8]uint64
	return *(*words)(unsafe.Pointer(a)) == *(*words)(unsafe.Pointer(b))
}

// tag is the key's hash, in this table only.
func (t *table) tag(k *bpf.Key) uint32 { return uint32(maphash.Bytes(t.seed, keyBytes(k))) }

// find is the entry of a key, 0 if it has none.
func (t *table) find(tag uint32, key *bpf.Key) uint32 {
	mask := uint32(len(t.slots) - 1)
	for i := tag & mask; ; i = (i + 1) & mask {
		s := &t.slots[i]
		if s.entry == 0 || s.tag == tag && keyEqual(&t.entry(s.entry).key, key) {
			return s.entry
		}
	}
}

// insert is for a flow that is counted already, and not in the index.
func (t *table) insert(tag, entry uint32) {
	if 2*t.flows > len(t.slots) {
		t.grow()
	}
	place(t.slots, slot{tag, entry})
}

func (t *table) grow() {
	slots := make([]slot, 2*len(t.slots))
	for _, s := range t.slots {
		if s.entry != 0 {
			place(slots, s)
		}
	}
	t.slots = slots
}

func place(slots []slot, s slot) {
	mask := uint32(len(slots) - 1)
	i := s.tag & mask
	for slots[i].entry != 0 {
		i = (i + 1) & mask
	}
	slots[i] = s
}

// delete takes an entry out, and moves each slot behind it into the gap if the
// gap is on its way from its home.
func (t *table) delete(tag, entry uint32) {
	mask := uint32(len(t.slots) - 1)
	gap := tag & mask
	for t.slots[gap].entry != entry {
		gap = (gap + 1) & mask
	}
	for i := (gap + 1) & mask; t.slots[i].entry != 0; i = (i + 1) & mask {
		home := t.slots[i].tag & mask
		if (i-home)&mask >= (i-gap)&mask {
			t.slots[gap] = t.slots[i]
			gap = i
		}
	}
	t.slots[gap] = slot{}
}
