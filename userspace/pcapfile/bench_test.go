package pcapfile

import (
	"bytes"
	"io"
	"testing"

	"github.com/weirflow/weir/userspace"
)

// BenchmarkReadPacket is the cost of one packet in a file in the page cache,
// read through the system as replay does.
func BenchmarkReadPacket(b *testing.B) {
	for _, length := range []int{60, 800} {
		for name, s := range repeaters(200_000, length) {
			raw := append(bytes.Clone(s.header), bytes.Repeat(s.record, s.times)...)
			path := write(b, "capture", raw)
			b.Run(name+map[int]string{60: "/60", 800: "/800"}[length], func(b *testing.B) {
				benchmarkFile(b, path, len(s.record))
			})
		}
	}
}

func benchmarkFile(b *testing.B, path string, record int) {
	b.ReportAllocs()
	b.SetBytes(int64(record))
	r, err := Open(path)
	if err != nil {
		b.Fatal(err)
	}
	var p userspace.CapturedPacket
	for b.Loop() {
		err := r.ReadPacket(&p)
		if err == nil {
			continue
		}
		if err != io.EOF {
			b.Fatal(err)
		}
		r.Close()
		if r, err = Open(path); err != nil {
			b.Fatal(err)
		}
	}
	r.Close()
}
