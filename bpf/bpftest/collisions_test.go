package bpftest

import (
	"hash/crc32"
	"hash/fnv"
	"testing"
	"unsafe"

	"github.com/weirflow/weir/bpf"
)

func TestCollidingKeysCollide(t *testing.T) {
	const n = 10_000
	all := CollidingKeys(n)
	for name, hash := range map[string]func(*keyBytes) uint32{
		"CRC-32": func(b *keyBytes) uint32 { return crc32.ChecksumIEEE(b[:]) },
		"FNV-1a": func(b *keyBytes) uint32 {
			h := fnv.New32a()
			h.Write(b[:])
			return h.Sum32() & (1<<fnvBits - 1)
		},
		"jhash with seed 0": jhash,
	} {
		values, different := map[uint32]bool{}, map[bpf.Key]bool{}
		for i := range all[name] {
			values[hash((*keyBytes)(unsafe.Pointer(&all[name][i])))] = true
			different[all[name][i]] = true
		}
		if len(values) != 1 || len(different) != n {
			t.Errorf("%s: %d different keys have %d values, want %d and 1", name, len(different), len(values), n)
		}
	}
}
