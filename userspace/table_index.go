package userspace

import (
	"hash/maphash"
	"unsafe"

	"github.com/weirflow/weir/bpf"
)

// The index: open addressing with linear probing, at most half full; deletion
// moves later slots back, so there are no tombstones to clean up.

// slot is one place of the hash index. Its home is the tag's low bits, so the
// index grows without a look at the entries.
type slot struct {
	tag   uint32
	entry uint32 // 0 is none
}

// minSlots is the size of an empty index, a power of two.
const minSlots = 1024

func keyBytes(k *bpf.Key) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(k)), unsafe.Sizeof(*k))
}

// keyEqual compares words: a key has no padding.
func keyEqual(a, b *bpf.Key) bool {
	type words = [unsafe.Sizeof(*a) / 8]uint64
	return *(*words)(unsafe.Pointer(a)) == *(*words)(unsafe.Pointer(b))
}

// tag is the key's hash, in this store only.
func (s *store) tag(k *bpf.Key) uint32 { return uint32(maphash.Bytes(s.seed, keyBytes(k))) }

// find is the entry of a key, 0 if it has none.
func (s *store) find(tag uint32, key *bpf.Key) uint32 {
	mask := uint32(len(s.slots) - 1)
	for i := tag & mask; ; i = (i + 1) & mask {
		at := &s.slots[i]
		if at.entry == 0 || at.tag == tag && keyEqual(&s.entry(at.entry).key, key) {
			return at.entry
		}
	}
}

// insert is for an entry that is counted already, and not in the index.
func (s *store) insert(tag, entry uint32) {
	if 2*s.flows > len(s.slots) {
		s.index(2 * len(s.slots))
	}
	place(s.slots, slot{tag, entry})
}

// index makes an index with so many slots, a power of two, of the one there is.
func (s *store) index(slots int) {
	larger := make([]slot, slots)
	for _, at := range s.slots {
		if at.entry != 0 {
			place(larger, at)
		}
	}
	s.slots = larger
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
func (s *store) delete(tag, entry uint32) {
	mask := uint32(len(s.slots) - 1)
	gap := tag & mask
	for s.slots[gap].entry != entry {
		gap = (gap + 1) & mask
	}
	for i := (gap + 1) & mask; s.slots[i].entry != 0; i = (i + 1) & mask {
		home := s.slots[i].tag & mask
		if (i-home)&mask >= (i-gap)&mask {
			s.slots[gap] = s.slots[i]
			gap = i
		}
	}
	s.slots[gap] = slot{}
}
