package sink

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/weirflow/weir/userspace"
	"github.com/weirflow/weir/userspace/feature"
)

// flushAt is how many octets are gathered before they are written.
const flushAt = 64 << 10

// A stream writes whole records to a writer. Its buffer never holds more than
// flushAt octets and one record: when they cannot be written, the newest record
// is refused.
type stream struct {
	guard
	mu      sync.Mutex
	name    string
	encoder encoder
	labels  *labelEncoder // nil if none are wanted
	writer  io.Writer
	path    string    // of a file of its own, else empty
	owned   io.Closer // nil for standard output
	// regular is the writer if it is a file that can be cut back to its last
	// whole record, which ends at length.
	regular *os.File
	length  int64

	row    feature.Row
	buffer []byte
	// records are those in buffer, in order.
	records []record
	// torn is set when part of the first record in buffer has been written.
	torn bool
	// sequence numbers what is buffered, of IPFIX.
	sequence *sequence
}

// number is called with what was put at the end of the buffer.
func (s *stream) number(added []byte) {
	if s.sequence != nil {
		s.sequence.number(added)
	}
}

// A record is one that is buffered: the header, or a flow.
type record struct {
	end   int // in the buffer
	flows uint64
	count userspace.Count
}

func (s *stream) Name() string { return s.name }

func (s *stream) Write(f *userspace.Flow) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.row.Flow = f
	before := len(s.buffer)
	s.buffer = s.guard.append(s.encoder, s.buffer, &s.row)
	s.number(s.buffer[before:])
	s.row.Flow = nil
	s.row.ID++
	s.records = append(s.records, record{len(s.buffer), 1, userspace.Count{Packets: f.Packets(), Octets: f.Octets()}})
	if len(s.buffer) < flushAt {
		return nil
	}
	if err := s.drain(); err != nil {
		return s.refuse(err)
	}
	return nil
}

func (s *stream) Flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.drain(); err != nil {
		return &Error{Output: s.name, Err: err}
	}
	return nil
}

func (s *stream) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.drain()
	if s.owned != nil {
		err = errors.Join(err, bare(s.owned.Close()))
	}
	if err == nil {
		return nil
	}
	e := &Error{Output: s.name, Err: err}
	for _, r := range s.records {
		e.Flows += r.flows
		e.NotSent = e.NotSent.Plus(r.count)
	}
	s.buffer, s.records = nil, nil
	return e
}

// refuse takes the newest record back, unless it has been written, or part of
// it has: then the rest must follow, and nothing is given up yet.
func (s *stream) refuse(err error) *Error {
	e := &Error{Output: s.name, Err: err}
	last := len(s.records) - 1
	if last < 0 || last == 0 && s.torn {
		return e
	}
	e.Flows, e.NotSent = s.records[last].flows, s.records[last].count
	s.row.ID -= s.records[last].flows
	start := 0
	if last > 0 {
		start = s.records[last-1].end
	}
	if s.sequence != nil {
		*s.sequence = s.sequence.first(s.buffer[start:])
	}
	s.buffer, s.records = s.buffer[:start], s.records[:last]
	return e
}

// drain writes the buffer. On an error what was not written stays in it, in a
// regular file back to the beginning of the record that was cut.
func (s *stream) drain() error {
	n, err := writeAll(s.writer, s.buffer)
	if err == nil {
		s.length += int64(n)
		s.buffer, s.records, s.torn = s.buffer[:0], s.records[:0], false
		return nil
	}
	whole, end := 0, 0
	for whole < len(s.records) && s.records[whole].end <= n {
		end = s.records[whole].end
		whole++
	}
	torn := n > end || s.torn && whole == 0
	if torn && s.cutBack(end) {
		n, torn = end, false
	}
	s.length += int64(n)
	s.buffer = append(s.buffer[:0], s.buffer[n:]...)
	s.records = append(s.records[:0], s.records[whole:]...)
	for i := range s.records {
		s.records[i].end -= n
	}
	s.torn = torn
	return err
}

// cutBack takes what is written past end octets of the buffer out of a regular
// file again, so that the file holds whole records only.
func (s *stream) cutBack(end int) bool {
	if s.regular == nil {
		return false
	}
	to := s.length + int64(end)
	if _, err := s.regular.Seek(to, io.SeekStart); err != nil {
		return false
	}
	return s.regular.Truncate(to) == nil
}

// writeAll writes p, going on after partial writes, interrupted ones, and those
// that a non-blocking descriptor could not take yet.
func writeAll(w io.Writer, p []byte) (written int, err error) {
	for written < len(p) {
		n, err := w.Write(p[written:])
		written += n
		switch {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EAGAIN):
			time.Sleep(time.Millisecond)
		case errors.Is(err, syscall.EPIPE), errors.Is(err, io.ErrClosedPipe):
			return written, fmt.Errorf("%w: %w", ErrReaderGone, err)
		case err != nil:
			return written, bare(err)
		case n == 0:
			return written, io.ErrNoProgress
		}
	}
	return written, nil
}

// bare strips the operation and path from a file's error; the sink's own error
// names the output.
func bare(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
