package pcapfile

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"slices"
	"testing"
	"testing/iotest"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/weirflow/weir/userspace"
)

// A capture cut at any octet ends cleanly only where a record ends.
func TestE1TruncationAtEveryOctet(t *testing.T) {
	for _, s := range seeds() {
		t.Run(s.name, func(t *testing.T) {
			whole, _, err := readAll(bytes.NewReader(s.raw))
			if err != io.EOF || len(whole) != s.packets {
				t.Fatalf("the whole capture has %d packets and ends with %v, want %d and io.EOF", len(whole), err, s.packets)
			}
			for cut := range len(s.raw) {
				packets, _, err := readAll(bytes.NewReader(s.raw[:cut]))
				checkCut(t, cut, s.ends, err)
				if !slices.Equal(packets, whole[:len(packets)]) {
					t.Errorf("cut at %d: the packets before the cut differ", cut)
				}
			}
		})
	}
}

func checkCut(t *testing.T, cut int, ends []int, err error) {
	t.Helper()
	if slices.Contains(ends, cut) {
		if err != io.EOF {
			t.Errorf("cut at %d, where a record ends: %v, want io.EOF", cut, err)
		}
		return
	}
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("cut at %d: %v, want an *Error", cut, err)
	}
	last := 0
	for _, end := range ends {
		if end < cut {
			last = end
		}
	}
	switch {
	case cut < 4:
		if e.Kind != NotCapture {
			t.Errorf("cut at %d: %v, want one that says it is not a capture", cut, err)
		}
	case e.Kind != Damaged || e.Offset != int64(last) || !errors.Is(err, io.ErrUnexpectedEOF):
		t.Errorf("cut at %d: %v, want damage at byte %d and io.ErrUnexpectedEOF below", cut, err, last)
	}
}

// A compressed capture cut at any octet never ends cleanly, not even where
// what was decompressed ends at a record: the checksum is missing.
func TestE1TruncationOfCompressedCaptures(t *testing.T) {
	for _, s := range seeds() {
		compressed := map[string][]byte{"gzip": gzipped(t, s.raw), "zstd": zstandard(t, s.raw, zstd.WithEncoderCRC(true))}
		for name, raw := range compressed {
			t.Run(s.name+" "+name, func(t *testing.T) {
				packets, _, err := readAll(bytes.NewReader(raw))
				if err != io.EOF || len(packets) != s.packets {
					t.Fatalf("%d packets, then %v; want %d and io.EOF", len(packets), err, s.packets)
				}
				for cut := range len(raw) {
					_, _, err := readAll(bytes.NewReader(raw[:cut]))
					kind := Damaged
					if cut < 4 {
						kind = 0
					}
					if e := (*Error)(nil); !errors.As(err, &e) || kind != 0 && e.Kind != kind {
						t.Fatalf("cut at %d of %d: %v, want damage", cut, len(raw), err)
					}
				}
			})
		}
	}
}

func TestCorruptCompression(t *testing.T) {
	capture := seeds()[0].raw
	garbage := func(raw []byte) []byte { return append(slices.Clone(raw), "garbage"...) }
	flipped := func(raw []byte) []byte {
		raw = slices.Clone(raw)
		raw[len(raw)-6] ^= 1 // the CRC-32 of gzip
		return raw
	}
	cases := []struct {
		name string
		raw  []byte
		kind Kind
		want int
	}{
		{"gzip with a wrong checksum", flipped(gzipped(t, capture)), Damaged, 3},
		{"gzip with garbage after it", garbage(gzipped(t, capture)), Damaged, 3},
		{"zstd with garbage after it", garbage(zstandard(t, capture)), Damaged, 3},
		{"gzip of nothing", gzipped(t, nil), NotCapture, 0},
		{"zstd of nothing", append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0x20, 0}, 1, 0, 0), NotCapture, 0},
		{"gzip of three octets", gzipped(t, capture[:3]), NotCapture, 0},
		{"gzip of a text", gzipped(t, []byte("hello, world")), NotCapture, 0},
		{"gzip in gzip", gzipped(t, gzipped(t, capture)), NotCapture, 0},
		{"gzip of a capture that is cut", gzipped(t, capture[:len(capture)-1]), Damaged, 2},
		{"zstd of a capture that is cut", zstandard(t, capture[:len(capture)-1]), Damaged, 2},
		{"gzip header that breaks off", gzipped(t, capture)[:5], Damaged, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			packets, _, err := readAll(bytes.NewReader(c.raw))
			if e := wantError(t, err, c.kind); len(packets) != c.want || e.Compression == "" {
				t.Errorf("%d packets, then %v; want %d and the compression named", len(packets), err, c.want)
			}
		})
	}
}

func TestSeveralMembersAreOneCapture(t *testing.T) {
	s := seeds()[0]
	skippable := []byte{0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 'a', 'b', 'c'}
	for name, raw := range map[string][]byte{
		"gzip":                    append(gzipped(t, s.raw[:30]), gzipped(t, s.raw[30:])...),
		"zstd":                    append(zstandard(t, s.raw[:30]), zstandard(t, s.raw[30:])...),
		"zstd, skippable frame 1": append(skippable, zstandard(t, s.raw)...),
	} {
		if packets, _, err := readAll(bytes.NewReader(raw)); err != io.EOF || len(packets) != s.packets {
			t.Errorf("%s: %d packets, then %v; want %d and io.EOF", name, len(packets), err, s.packets)
		}
	}
}

// Whatever a length field claims, little is allocated and the answer is quick.
func TestE2HostileLengthsAllocateLittle(t *testing.T) {
	const most = 1<<32 - 1
	ng := func() *builder { return littleEndian().section().iface(1, 0) }
	cases := map[string]*builder{
		"pcap captured length":     littleEndian().pcapHeader(magicMicroseconds, 2, 4, most, 1).u32(0, 0, most, most),
		"pcap at the limit":        littleEndian().pcapHeader(magicMicroseconds, 2, 4, most, 1).u32(0, 0, MaxRecord, most),
		"pcap of the old order":    littleEndian().pcapHeader(magicMicroseconds, 2, 2, most, 1).u32(0, 0, most, most),
		"section length":           littleEndian().u32(blockSection, most-3, byteOrderMagic).u16(1, 0).u64(0),
		"interface length":         littleEndian().section().u32(blockInterface, MaxRecord, 1, 0),
		"enhanced length":          ng().u32(blockEnhanced, most-3, 0, 0, 0, most, most),
		"enhanced at the limit":    ng().u32(blockEnhanced, MaxRecord, 0, 0, 0, MaxRecord-32, most),
		"enhanced captured length": ng().u32(blockEnhanced, 32, 0, 0, 0, most, most, 32),
		"simple length":            ng().u32(blockSimple, MaxRecord, most),
		"obsolete length":          ng().u32(blockPacket, MaxRecord, 0, 0, 0, most, most),
		"unknown length":           ng().u32(77, most-3),
	}
	worst := uint64(0)
	for name, b := range cases {
		t.Run(name, func(t *testing.T) {
			for _, raw := range [][]byte{b.Bytes(), gzipped(t, b.Bytes())} {
				start := time.Now()
				allocated := allocatedBy(func() {
					_, _, err := readAll(bytes.NewReader(raw))
					wantError(t, err, Damaged)
				})
				worst = max(worst, allocated)
				if took := time.Since(start); allocated > 1<<20 || took > time.Second {
					t.Errorf("%d octets allocated in %v for a file of %d, want under 1 MiB and 1 s", allocated, took, len(raw))
				}
			}
		})
	}
	t.Logf("measured: %d hostile lengths, plain and compressed: a typed error, at most %d octets allocated", len(cases), worst)
}

// A zstd frame can ask for any window; the decoder's is bounded.
func TestE2HostileZstdWindow(t *testing.T) {
	for _, descriptor := range []byte{16 << 3, 21 << 3, 31<<3 | 7} { // 2^26 and more
		raw := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, descriptor, 1, 0, 0}
		allocated := allocatedBy(func() {
			_, _, err := readAll(bytes.NewReader(raw))
			e := wantError(t, err, Damaged)
			if !errors.Is(err, zstd.ErrWindowSizeExceeded) {
				t.Errorf("the error is %v, want the window's size named", e)
			}
		})
		if allocated > 64<<20 {
			t.Errorf("window descriptor %#x: %d octets allocated", descriptor, allocated)
		}
	}
}

func allocatedBy(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestReadersThatReturnLittle(t *testing.T) {
	for _, s := range seeds() {
		for name, src := range map[string]io.Reader{
			"an octet at a time": iotest.OneByteReader(bytes.NewReader(s.raw)),
			"half":               iotest.HalfReader(bytes.NewReader(s.raw)),
			"data with EOF":      iotest.DataErrReader(bytes.NewReader(s.raw)),
		} {
			if packets, _, err := readAll(src); err != io.EOF || len(packets) != s.packets {
				t.Errorf("%s, %s: %d packets, then %v; want %d and io.EOF", s.name, name, len(packets), err, s.packets)
			}
		}
	}
}

var errDisk = errors.New("disk on fire")

// An error of the input is not an end of the capture, wherever it comes.
func TestErrorsOfTheInput(t *testing.T) {
	for _, s := range seeds() {
		for cut := range s.raw {
			src := io.MultiReader(bytes.NewReader(s.raw[:cut]), iotest.ErrReader(errDisk))
			_, _, err := readAll(src)
			kind := Damaged
			if cut < 4 {
				kind = CannotOpen
			}
			if wantError(t, err, kind); !errors.Is(err, errDisk) {
				t.Errorf("%s, error at %d: %v, want one that wraps the input's", s.name, cut, err)
			}
		}
	}
}

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

func TestReaderWithoutProgress(t *testing.T) {
	s := seeds()[0]
	packets, _, err := readAll(io.MultiReader(bytes.NewReader(s.raw), stuck{}))
	if wantError(t, err, Damaged); len(packets) != s.packets || !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("%d packets, then %v; want %d and io.ErrNoProgress", len(packets), err, s.packets)
	}
}

func TestTheEndIsFinal(t *testing.T) {
	s := seeds()[7]
	for _, raw := range [][]byte{s.raw, s.raw[:len(s.raw)-1]} {
		r, err := NewReader(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		var p userspace.CapturedPacket
		for err == nil {
			err = r.ReadPacket(&p)
		}
		for range 3 {
			if again := r.ReadPacket(&p); again != err {
				t.Errorf("after %v comes %v", err, again)
			}
		}
	}
}
