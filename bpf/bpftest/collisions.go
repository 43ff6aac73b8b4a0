package bpftest

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"
	"math/rand/v2"
	"unsafe"

	"github.com/weirflow/weir/bpf"
)

const keyOctets = int(unsafe.Sizeof(bpf.Key{}))

type keyBytes [keyOctets]byte

// CollidingKeys are, by the name of a hash that anybody can compute, n different keys
// that it gives one value; by "random" as many keys as they come.
func CollidingKeys(n int) map[string][]bpf.Key {
	r := rand.New(rand.NewPCG(7, 7))
	all := map[string][]bpf.Key{}
	for name, make := range map[string]func(*rand.Rand, int) []keyBytes{
		"random": randomKeys, "CRC-32": crcKeys, "FNV-1a": fnvKeys, "jhash with seed 0": jhashKeys,
	} {
		for _, b := range make(r, n) {
			all[name] = append(all[name], *(*bpf.Key)(unsafe.Pointer(&b)))
		}
	}
	return all
}

func randomKeys(r *rand.Rand, n int) []keyBytes {
	keys := make([]keyBytes, n)
	for i := range keys {
		for at := 0; at < keyOctets; at += 8 {
			binary.NativeEndian.PutUint64(keys[i][at:], r.Uint64())
		}
	}
	return keys
}

// crcKeys have last octets that make up for the others.
func crcKeys(r *rand.Rand, n int) []keyBytes {
	keys := randomKeys(r, n)
	for i := range keys {
		tail := keys[i][keyOctets-4:]
		binary.LittleEndian.PutUint32(tail, crc32.ChecksumIEEE(keys[i][:keyOctets-4]))
	}
	return keys
}

// FNV is multiplication and exclusive or from the low bits up: the lowest bits of the
// value come of the lowest bits on the way, and each step can be undone.
const (
	fnvPrime, fnvInverse, fnvOffset = uint32(16777619), uint32(0x359c449b), uint32(2166136261)
	fnvBits                         = 20 // more than a table of that many keys looks at
)

// fnvKeys meet in the middle: all that two octets lead to, and two more lead back to
// from the value.
func fnvKeys(r *rand.Rand, n int) (keys []keyBytes) {
	for len(keys) < n {
		key := randomKeys(r, 1)[0]
		h := fnvOffset
		for _, b := range key[:keyOctets-4] {
			h = (h ^ uint32(b)) * fnvPrime
		}
		there := map[uint32]uint16{}
		for pair := range 1 << 16 {
			there[fnvPair(h, uint16(pair))&(1<<fnvBits-1)] = uint16(pair)
		}
		for pair := range 1 << 16 {
			back := (1*fnvInverse^uint32(pair>>8))*fnvInverse ^ uint32(pair&0xff)
			if first, met := there[back&(1<<fnvBits-1)]; met && len(keys) < n {
				binary.LittleEndian.PutUint16(key[keyOctets-4:], first)
				binary.LittleEndian.PutUint16(key[keyOctets-2:], uint16(pair))
				keys = append(keys, key)
			}
		}
	}
	return keys
}

func fnvPair(h uint32, pair uint16) uint32 {
	h = (h ^ uint32(pair&0xff)) * fnvPrime
	return (h ^ uint32(pair>>8)) * fnvPrime
}

// jhashKeys have a last third that is the kernel's jhash undone, from one value and
// whatever the two others are.
func jhashKeys(r *rand.Rand, n int) []keyBytes {
	keys := randomKeys(r, n)
	for i := range keys {
		state := jhashState(&keys[i])
		want := jhashUndo([3]uint32{r.Uint32(), r.Uint32(), 1})
		for word := range want {
			binary.NativeEndian.PutUint32(keys[i][keyOctets-12+4*word:], want[word]-state[word])
		}
	}
	return keys
}

// jhashState is jhash's state before the last three words, with seed 0.
func jhashState(key *keyBytes) (s [3]uint32) {
	start := uint32(0xdeadbeef) + uint32(keyOctets)
	s = [3]uint32{start, start, start}
	for at := 0; at < keyOctets-12; at += 12 {
		for word := range s {
			s[word] += binary.NativeEndian.Uint32(key[at+4*word:])
		}
		for i, rotate := range []int{4, 6, 8, 16, 19, 4} {
			a, b, c := i%3, (i+1)%3, (i+2)%3
			s[a] = (s[a] - s[c]) ^ bits.RotateLeft32(s[c], rotate)
			s[c] += s[b]
		}
	}
	return s
}

// jhashUndo is what jhash's last mix makes s of.
func jhashUndo(s [3]uint32) [3]uint32 {
	rotations := []int{14, 11, 25, 16, 4, 14, 24} // of c, a, b, c, a, b, c
	for i := len(rotations) - 1; i >= 0; i-- {
		to := (i + 2) % 3
		from := (to + 2) % 3
		s[to] = (s[to] + bits.RotateLeft32(s[from], rotations[i])) ^ s[from]
	}
	return s
}

// jhash is the kernel's hash of a key, with seed 0.
func jhash(key *keyBytes) uint32 {
	s := jhashState(key)
	for word := range s {
		s[word] += binary.NativeEndian.Uint32(key[keyOctets-12+4*word:])
	}
	for i, rotate := range []int{14, 11, 25, 16, 4, 14, 24} {
		to := (i + 2) % 3
		from := (to + 2) % 3
		s[to] = (s[to] ^ s[from]) - bits.RotateLeft32(s[from], rotate)
	}
	return s[2]
}
