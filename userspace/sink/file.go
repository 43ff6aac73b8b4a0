package sink

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
)

// openFile opens a file of the sink's own, and goes on at its end; mode is
// O_TRUNC to replace what is there.
func (s *stream) openFile(path string, mode int) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|mode, 0o666)
	if err != nil {
		return bare(err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return bare(err)
	}
	regular, length := (*os.File)(nil), int64(0)
	if info.Mode().IsRegular() {
		regular = f
		if length, err = f.Seek(0, io.SeekEnd); err != nil {
			f.Close()
			return bare(err)
		}
	}
	s.path, s.writer, s.owned, s.regular, s.length = path, f, f, regular, length
	return nil
}

// cutTorn takes a last record that a killed process has left in part off a regular
// file, if there is such a file.
func cutTorn(format, path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return nil
	}
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	whole := lastLineEnd
	if format == IPFIX {
		whole = lastMessageEnd
	}
	end, err := whole(f, info.Size())
	if err != nil || end == info.Size() {
		return err
	}
	return f.Truncate(end)
}

// lastLineEnd is where the last line ends that is whole. No record that is torn is
// longer than what is written at once.
func lastLineEnd(f *os.File, size int64) (end int64, err error) {
	tail := make([]byte, min(size, 2*flushAt))
	start := size - int64(len(tail))
	if _, err := f.ReadAt(tail, start); err != nil {
		return 0, err
	}
	line := bytes.LastIndexByte(tail, '\n')
	if line < 0 && start > 0 {
		return 0, errors.New("its end is no text of lines")
	}
	return start + int64(line) + 1, nil
}

// begin puts the header before what is buffered, in an output that is empty. Of IPFIX
// every part has templates of its own, which may differ from those before.
func (s *stream) begin() {
	if s.length > 0 && s.sequence == nil {
		return
	}
	header := s.encoder.appendHeader(nil)
	if e, ok := s.encoder.(*ipfixFile); ok && s.length > 0 {
		header = e.appendSuccession(nil)
	}
	if s.sequence != nil {
		next := s.sequence.first(s.buffer)
		next.number(header)
	}
	s.buffer = slices.Insert(s.buffer, 0, header...)
	for i := range s.records {
		s.records[i].end += len(header)
	}
	s.records = slices.Insert(s.records, 0, record{end: len(header)})
}

// Reopen implements Sink. The rest of a record of which part is in the old file
// must follow there: then the old file goes on.
func (s *stream) Reopen() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.drain()
	if s.regular == nil || s.torn {
		return s.reopened(err)
	}
	old := s.owned
	if failed := s.openFile(s.path, 0); failed != nil {
		return s.reopened(errors.Join(err, failed))
	}
	s.begin()
	return s.reopened(errors.Join(err, bare(old.Close())))
}

func (s *stream) reopened(err error) error {
	if err == nil {
		return nil
	}
	return &Error{Output: s.name, Err: err}
}
