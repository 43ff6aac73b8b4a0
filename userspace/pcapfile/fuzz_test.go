package pcapfile

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/weirflow/weir/userspace"
)

// FuzzReader: for any input there is no panic, an end of one of the two known
// kinds that repeats, and no octet that is not in the input.
func FuzzReader(f *testing.F) {
	for _, s := range seeds() {
		f.Add(s.raw)
		f.Add(s.raw[:len(s.raw)-3])
		f.Add(gzipped(f, s.raw))
		f.Add(zstandard(f, s.raw))
	}
	f.Add(littleEndian().section().iface(1, 0, option{optionResolution, []byte{0x7f}}, option{optionResolution, []byte{0xff}}).
		enhanced(0, 1<<64-1, []byte("data"), 4).Bytes())
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := NewReader(bytes.NewReader(raw))
		if err != nil {
			checkEnd(t, err, len(raw))
			return
		}
		defer r.Close()
		captured, err := readChecked(t, r)
		if err != io.EOF {
			checkEnd(t, err, int(r.offset())+r.buffered())
		}
		if r.compression == "" && captured > len(raw) {
			t.Errorf("%d octets of packets in an input of %d", captured, len(raw))
		}
		if again := r.ReadPacket(&userspace.CapturedPacket{}); again != err {
			t.Errorf("after %v comes %v", err, again)
		}
	})
}

func readChecked(t *testing.T, r *Reader) (captured int, err error) {
	var p userspace.CapturedPacket
	for {
		if err := r.ReadPacket(&p); err != nil {
			return captured, err
		}
		captured += len(p.Data)
		if uint64(p.Length) < uint64(len(p.Data)) || p.TimeNs > 1<<63-1 || len(p.Interface) > maxName {
			t.Fatalf("length %d of %d captured octets, time %d, interface %q", p.Length, len(p.Data), p.TimeNs, p.Interface)
		}
	}
}

func checkEnd(t *testing.T, err error, length int) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Kind == 0 || e.Reason == "" || e.Kind != Damaged && e.Offset != 0 {
		t.Fatalf("the error is %#v, want a complete *Error", err)
	}
	if e.Compression == "" && (e.Offset < 0 || e.Offset > int64(length)) {
		t.Errorf("damage at byte %d of an input of %d", e.Offset, length)
	}
}
