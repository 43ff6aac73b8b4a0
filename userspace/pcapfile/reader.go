package pcapfile

import (
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync/atomic"
	"syscall"

	"github.com/weirflow/weir/userspace"
)

// MaxRecord is the longest packet or block of metadata that is read, in
// octets. libpcap's bound is 256 KiB; a longer one in a file is damage.
const MaxRecord = 16 << 20

// A Reader reads the packets of one capture in file order. It is a
// [userspace.PacketSource]. Only Offset, Size and TimesClamped may be called
// from other goroutines.
type Reader struct {
	stream
	path        string
	compression string
	input       *counter
	size        int64
	closers     []func() error
	clamped     atomic.Uint64
	err         error // what ended the capture; repeated ever after

	bigEndian bool
	ng        bool
	pcap      pcapHeader
	links     []link // the interfaces of the section being read
}

// Open opens the capture at path, "-" for standard input, and reads its
// header. The error is an [*Error]; its Kind tells an input that is no capture
// from one that is damaged in its header.
func Open(path string) (*Reader, error) {
	if path == "-" {
		return open("standard input", os.Stdin, regularSize(os.Stdin))
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, cannotOpen(path, err)
	}
	if info, err := f.Stat(); err == nil && info.IsDir() {
		f.Close()
		return nil, cannotOpen(path, syscall.EISDIR)
	}
	r, err := open(path, f, regularSize(f))
	if err != nil {
		f.Close()
		return nil, err
	}
	r.closers = append(r.closers, f.Close)
	return r, nil
}

// NewReader reads a capture from src, which stays the caller's to close. A
// Name method of src, as os.File has, gives the name for error messages.
func NewReader(src io.Reader) (*Reader, error) {
	name := "input"
	if named, ok := src.(interface{ Name() string }); ok {
		name = named.Name()
	}
	return open(name, src, 0)
}

func open(path string, src io.Reader, size int64) (*Reader, error) {
	input := &counter{src: src}
	r := &Reader{stream: newStream(input), path: path, input: input, size: size}
	if err := r.readHeader(); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

func regularSize(f *os.File) int64 {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return 0
	}
	return info.Size()
}

// ReadPacket reads the next packet into p. It returns io.EOF after the last
// packet of a whole capture and an [*Error] where the capture is damaged; both
// are final. p.Data is valid until the next call. p.Length is raised to
// len(p.Data) where the file gives less, and Data is not cut to the snapshot
// length that the file announces: what is there was captured.
func (r *Reader) ReadPacket(p *userspace.CapturedPacket) error {
	if r.err != nil {
		return r.err
	}
	var err error
	if r.ng {
		err = r.readBlocks(p)
	} else {
		err = r.readRecord(p)
	}
	if err != nil {
		r.err = err
	}
	return err
}

// Offset is how many octets of the input, compressed or not, were read so
// far; it runs ahead of the packets by what is buffered. With Size it gives
// progress.
func (r *Reader) Offset() int64 { return r.input.n.Load() }

// Size is the size of the file as opened, in octets, or 0 where the input is
// no regular file.
func (r *Reader) Size() int64 { return r.size }

// TimesClamped is how many packets bore a time before 1970 or after
// 2262-04-11, beyond what signed 64-bit nanoseconds hold, and got the nearest
// time in range.
func (r *Reader) TimesClamped() uint64 { return r.clamped.Load() }

// Close releases the file and the decompressor. ReadPacket returns
// fs.ErrClosed after it.
func (r *Reader) Close() error {
	var first error
	for _, closer := range r.closers {
		if err := closer(); err != nil && first == nil {
			first = fmt.Errorf("close capture %s: %w", r.path, err)
		}
	}
	r.closers = nil
	r.err = fs.ErrClosed
	return first
}

// u16 and u32 read in the byte order of the file or section.
func (r *Reader) u16(b []byte) uint16 {
	if r.bigEndian {
		return binary.BigEndian.Uint16(b)
	}
	return binary.LittleEndian.Uint16(b)
}

func (r *Reader) u32(b []byte) uint32 {
	if r.bigEndian {
		return binary.BigEndian.Uint32(b)
	}
	return binary.LittleEndian.Uint32(b)
}
