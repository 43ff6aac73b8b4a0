package pcapfile

import (
	"io"
	"sync/atomic"
)

const (
	// The buffer begins small, so that a thousand tiny files cost little, and
	// doubles while reads fill it.
	firstBuffer = 64 << 10
	fullBuffer  = 1 << 20
	// emptyReads is how often in a row a reader may return nothing.
	emptyReads = 100
)

// A stream is a window on a reader: buf[pos:end] was read and not yet used.
// The window grows past fullBuffer only when it is full of octets that one
// record needs, so what a length field claims is never allocated for.
type stream struct {
	src  io.Reader
	buf  []byte
	pos  int
	end  int
	base int64 // offset of buf[0] in the stream
	stop error // why src gives no more; io.EOF at its end
}

func newStream(src io.Reader) stream {
	return stream{src: src, buf: make([]byte, firstBuffer)}
}

// offset is the position of buf[pos] in the stream.
func (s *stream) offset() int64 { return s.base + int64(s.pos) }

// buffered is how many octets can be used without reading.
func (s *stream) buffered() int { return s.end - s.pos }

// need makes n octets available at buf[pos:]. It is false where the stream
// ends before; stop then says how.
func (s *stream) need(n int) bool { return s.end-s.pos >= n || s.fill(n) }

func (s *stream) fill(n int) bool {
	if s.stop == nil {
		s.compact()
	}
	for empty := 0; s.buffered() < n; empty++ {
		if s.stop == nil && empty == emptyReads {
			s.stop = io.ErrNoProgress
		}
		if s.stop != nil {
			return false
		}
		if s.read() > 0 {
			empty = 0
		}
	}
	return true
}

func (s *stream) read() int {
	if s.end == len(s.buf) {
		s.grow()
	}
	n, err := s.src.Read(s.buf[s.end:])
	s.end += n
	s.stop = err
	return n
}

// compact moves what is unused to the front, the start of one record at most.
// A buffer that the last reads filled is doubled, up to fullBuffer.
func (s *stream) compact() {
	if s.end == len(s.buf) && len(s.buf) < fullBuffer {
		s.grow()
		return
	}
	copy(s.buf, s.buf[s.pos:s.end])
	s.base += int64(s.pos)
	s.end -= s.pos
	s.pos = 0
}

func (s *stream) grow() {
	larger := make([]byte, 2*len(s.buf))
	copy(larger, s.buf[s.pos:s.end])
	s.base += int64(s.pos)
	s.buf, s.pos, s.end = larger, 0, s.buffered()
}

// discard drops n octets and keeps none of them. It is false where the stream
// ends before.
func (s *stream) discard(n int64) bool {
	for n > int64(s.buffered()) {
		n -= int64(s.buffered())
		s.pos = s.end
		if !s.fill(1) {
			return false
		}
	}
	s.pos += int(n)
	return true
}

// A remainder reads what a stream has buffered and then its source, so that a
// decompressor can take over a stream whose beginning was looked at.
type remainder stream

func (s *remainder) Read(p []byte) (int, error) {
	if s.pos < s.end {
		n := copy(p, s.buf[s.pos:s.end])
		s.pos += n
		return n, nil
	}
	if s.stop != nil {
		return 0, s.stop
	}
	return s.src.Read(p)
}

// A counter counts what is read through it. The count may be read while
// another goroutine reads.
type counter struct {
	src io.Reader
	n   atomic.Int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.src.Read(p)
	c.n.Add(int64(n))
	return n, err
}
