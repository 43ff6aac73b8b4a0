package pcapfile

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/weirflow/weir/userspace"
)

func write(t testing.TB, name string, raw []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOpenRefuses(t *testing.T) {
	cases := []struct {
		name  string
		raw   string
		want  string // in the error, after the path
		cause error
		kind  Kind
	}{
		{"an empty file", "", "the file is empty", nil, NotCapture},
		{"two octets", "\xd4\xc3", "2 octets are too few", nil, NotCapture},
		{"a text", "hello, world\n", "it begins with 68 65 6c 6c", nil, NotCapture},
		{"xz", "\xfd7zXZ\x00", "decompress with xz -dc", nil, NotCapture},
		{"bzip2", "BZh91AY", "decompress with bzip2 -dc", nil, NotCapture},
		{"snoop", "snoop\x00\x00\x00", "convert with editcap", nil, NotCapture},
		{"something that begins as pcapng", "\n\r\r\n0123456789abcdef", "byte-order magic", nil, NotCapture},
		{"a pcap file header that breaks off", "\xd4\xc3\xb2\xa1\x02\x00", "damaged at byte 0: the input ends after 6 of the 24 octets of the file header", io.ErrUnexpectedEOF, Damaged},
		{"a section header that breaks off", "\n\r\r\n\x1c", "damaged at byte 0: the input ends after 5 of the 28 octets of a section header", io.ErrUnexpectedEOF, Damaged},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			path := write(t, "capture", []byte(c.raw))
			_, err := Open(path)
			e := wantError(t, err, c.kind)
			if e.Path != path || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("the error is %q, want one line with the path and %q", err, c.want)
			}
			if c.cause != nil && !errors.Is(err, c.cause) {
				t.Errorf("%v does not unwrap to %v", err, c.cause)
			}
		})
	}
}

func TestE8OpenWhatCannotBeOpened(t *testing.T) {
	directory := t.TempDir()
	loop := filepath.Join(directory, "loop")
	if err := os.Symlink(loop, loop); err != nil {
		t.Fatal(err)
	}
	for path, cause := range map[string]error{
		filepath.Join(directory, "absent"): fs.ErrNotExist,
		directory:                          syscall.EISDIR,
		loop:                               syscall.ELOOP,
	} {
		_, err := Open(path)
		if e := wantError(t, err, CannotOpen); !errors.Is(err, cause) || strings.Count(err.Error(), path) != 1 {
			t.Errorf("%v: want %v below, and the path once", e, cause)
		}
	}
}

// Root may read everything, so the words are checked without a file.
func TestWordsForAnUnreadableFile(t *testing.T) {
	err := cannotOpen("secret.pcap", &fs.PathError{Op: "open", Path: "secret.pcap", Err: syscall.EACCES})
	const want = "open capture secret.pcap: permission denied; run as a user who may read it"
	if err.Error() != want || !errors.Is(err, fs.ErrPermission) {
		t.Errorf("the error is %q, want %q", err, want)
	}
}

func TestE8DirectoryAsStandardInput(t *testing.T) {
	directory, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer directory.Close()
	_, err = NewReader(directory)
	if wantError(t, err, CannotOpen); !errors.Is(err, syscall.EISDIR) {
		t.Errorf("the error is %v, want EISDIR below", err)
	}
}

func TestStandardInput(t *testing.T) {
	f, err := os.Open(write(t, "capture", seeds()[0].raw))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	stdin := os.Stdin
	defer func() { os.Stdin = stdin }()
	os.Stdin = f
	r, err := Open("-")
	if err != nil {
		t.Fatal(err)
	}
	drain(t, r, seeds()[0].packets)
	if r.Size() != int64(len(seeds()[0].raw)) {
		t.Errorf("size %d, want %d: a file is redirected", r.Size(), len(seeds()[0].raw))
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if _, err := f.Stat(); err != nil {
		t.Errorf("standard input was closed: %v", err)
	}
}

// drain reads to a clean end.
func drain(t testing.TB, r *Reader, want int) {
	t.Helper()
	var p userspace.CapturedPacket
	for i := 0; ; i++ {
		err := r.ReadPacket(&p)
		if err == nil {
			continue
		}
		if err != io.EOF || i != want {
			t.Fatalf("%d packets, then %v; want %d and io.EOF", i, err, want)
		}
		return
	}
}

func TestProgressAndClose(t *testing.T) {
	for name, raw := range map[string][]byte{"plain": seeds()[7].raw, "gzip": gzipped(t, seeds()[7].raw), "zstd": zstandard(t, seeds()[7].raw)} {
		r, err := Open(write(t, "capture", raw))
		if err != nil {
			t.Fatal(err)
		}
		drain(t, r, seeds()[7].packets)
		if size := int64(len(raw)); r.Offset() != size || r.Size() != size {
			t.Errorf("%s: offset %d and size %d at the end, want %d for both", name, r.Offset(), r.Size(), size)
		}
		for range 2 {
			if err := r.Close(); err != nil {
				t.Errorf("%s: close: %v", name, err)
			}
		}
		if err := r.ReadPacket(&userspace.CapturedPacket{}); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("%s: read after close: %v, want fs.ErrClosed", name, err)
		}
	}
}

func TestE8FIFOIsReadAsItIsWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() { written <- os.WriteFile(path, seeds()[7].raw, 0) }()
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	drain(t, r, seeds()[7].packets)
	if r.Size() != 0 {
		t.Errorf("size %d, want 0: unknown", r.Size())
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
}

// A packet is handed out when it has arrived, not when the buffer is full.
func TestE8LivePipeIsNotHeldBack(t *testing.T) {
	src, dst := io.Pipe()
	go func() { dst.Write(littleEndian().pcapHeader(magicMicroseconds, 2, 4, 0, 1).Bytes()) }()
	r, err := NewReader(src)
	if err != nil {
		t.Fatal(err)
	}
	var p userspace.CapturedPacket
	for i := range 3 {
		go func() { dst.Write(littleEndian().record(uint32(i), 0, []byte("data"), 4).Bytes()) }()
		if err := r.ReadPacket(&p); err != nil || p.TimeNs != uint64(i)*1e9 {
			t.Fatalf("packet %d: time %d, %v", i, p.TimeNs, err)
		}
	}
}

// A repeater is a header and then one record over and over.
type repeater struct {
	header, record []byte
	times          int
}

// reader streams it without holding it.
func (r repeater) reader() io.Reader {
	chunk := bytes.Repeat(r.record, 1000)
	readers := []io.Reader{bytes.NewReader(r.header)}
	for range r.times / 1000 {
		readers = append(readers, bytes.NewReader(chunk))
	}
	return io.MultiReader(readers...)
}

func repeaters(times, length int) map[string]repeater {
	data := make([]byte, length)
	of := func(header, record *builder) repeater { return repeater{header.Bytes(), record.Bytes(), times} }
	return map[string]repeater{
		"pcap":            of(littleEndian().pcapHeader(magicMicroseconds, 2, 4, 65535, 1), littleEndian().record(1, 2, data, uint32(length))),
		"pcapBigEndian":   of(bigEndian().pcapHeader(magicNanoseconds, 2, 4, 65535, 1), bigEndian().record(1, 2, data, uint32(length))),
		"pcapng":          of(littleEndian().section().iface(1, 0, option{optionName, []byte("eth0")}), littleEndian().enhanced(0, 1<<50, data, uint32(length))),
		"pcapngBigEndian": of(bigEndian().section().iface(1, 0, option{optionResolution, []byte{9}}), bigEndian().enhanced(0, 1<<60, data, uint32(length))),
		"pcapngUnknown":   of(littleEndian().section().iface(1, 0), littleEndian().block(99, func(b *builder) { b.Write(data) }).enhanced(0, 1<<50, data, 900)),
	}
}

// The memory of a stream does not grow with its length.
func TestE8StreamsTakeConstantMemory(t *testing.T) {
	for name, s := range repeaters(100_000, 1000) {
		src := s.reader()
		var heap uint64
		allocated := allocatedBy(func() {
			r, err := NewReader(src)
			if err != nil {
				t.Fatal(err)
			}
			drain(t, r, s.times)
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			heap = m.HeapAlloc
		})
		// The buffer and the smaller ones before it.
		if allocated > 2*fullBuffer+4096 {
			t.Errorf("%s: %d octets allocated over 100 MB read (heap %d), want at most the buffer", name, allocated, heap)
		}
		t.Logf("measured: %s: %d packets, %d octets allocated", name, s.times, allocated)
	}
}

func TestNoAllocationPerPacket(t *testing.T) {
	for name, s := range repeaters(20_000, 60) {
		r, err := NewReader(s.reader())
		if err != nil {
			t.Fatal(err)
		}
		var p userspace.CapturedPacket
		next := func() {
			if err := r.ReadPacket(&p); err != nil {
				t.Fatal(err)
			}
		}
		for range 15_000 { // past the growth of the buffer
			next()
		}
		if n := testing.AllocsPerRun(4000, next); n != 0 {
			t.Errorf("%s: %v allocations a packet, want none", name, n)
		}
	}
}
