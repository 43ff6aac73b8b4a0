package pcapfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"syscall"
)

// A Kind says at which stage a capture could not be read.
type Kind uint8

const (
	// CannotOpen: nothing of the input could be read at all.
	CannotOpen Kind = iota + 1
	// NotCapture: the input was read and is not a capture in a format or
	// version known here.
	NotCapture
	// Damaged: the input begins as a capture does and breaks off or makes no
	// sense later. Packets may have been read before.
	Damaged
)

// String names the kind as error messages do.
func (k Kind) String() string {
	switch k {
	case CannotOpen:
		return "cannot be opened"
	case NotCapture:
		return "not a capture"
	case Damaged:
		return "damaged"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// An Error says what is wrong with a capture. It is the only error of this
// package but for io.EOF.
type Error struct {
	// Path is the name the capture was opened by, "standard input" for "-".
	Path string
	Kind Kind
	// Offset is where the record, block or header at fault begins, in octets
	// from the start of the capture; for compressed input, of what it
	// decompresses to.
	Offset int64
	// Compression is "gzip" or "zstd", or empty.
	Compression string
	// Reason is the cause in words, with what the user can do about it where
	// there is something.
	Reason string
	// Err is the cause as a value, where there is one: an error of the
	// operating system or of a decompressor, io.ErrUnexpectedEOF where the
	// input breaks off.
	Err error
}

// Error is one line that names the capture, the place and the cause.
func (e *Error) Error() string {
	switch {
	case e.Kind == CannotOpen:
		return fmt.Sprintf("open capture %s: %s", e.Path, e.Reason)
	case e.Kind == NotCapture:
		return fmt.Sprintf("read capture %s: %s", e.Path, e.Reason)
	case e.Compression != "":
		return fmt.Sprintf("read capture %s: damaged at byte %d of the data inside %s: %s", e.Path, e.Offset, e.Compression, e.Reason)
	}
	return fmt.Sprintf("read capture %s: damaged at byte %d: %s", e.Path, e.Offset, e.Reason)
}

// Unwrap is the cause, nil where the content itself is at fault.
func (e *Error) Unwrap() error { return e.Err }

// cannotOpen words an error of the operating system.
func cannotOpen(path string, err error) *Error {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		err = pathError.Err
	}
	reason := err.Error()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		reason += "; check the path"
	case errors.Is(err, fs.ErrPermission):
		reason += "; run as a user who may read it"
	case errors.Is(err, syscall.EISDIR):
		reason += "; name the files in it"
	}
	return &Error{Path: path, Kind: CannotOpen, Reason: reason, Err: err}
}

// notCapture blames the input as a whole.
func (r *Reader) notCapture(format string, args ...any) error {
	return &Error{Path: r.path, Kind: NotCapture, Compression: r.compression, Reason: fmt.Sprintf(format, args...)}
}

// damaged blames the record that begins at the current position.
func (r *Reader) damaged(format string, args ...any) error {
	return &Error{Path: r.path, Kind: Damaged, Offset: r.offset(), Compression: r.compression, Reason: fmt.Sprintf(format, args...)}
}

// ended is io.EOF when the input ended right where a record would begin, and
// an error when it did so within what, of which want octets were looked for.
func (r *Reader) ended(what string, want int) error {
	if r.buffered() == 0 && r.stop == io.EOF {
		return io.EOF
	}
	return r.truncated(what, int64(want), r.offset())
}

// truncated says that of want octets of what, which begins at offset start,
// only those up to the end of the buffer were there.
func (r *Reader) truncated(what string, want, start int64) error {
	have := r.base + int64(r.end) - start
	return r.brokenOffAt(start, fmt.Sprintf(" after %d of the %d octets of %s", have, want, what))
}

// brokenOff blames whatever ended the stream.
func (r *Reader) brokenOff(where string) error { return r.brokenOffAt(r.offset(), where) }

func (r *Reader) brokenOffAt(start int64, where string) error {
	cause := r.stop
	reason := r.inputReason(cause) + where
	if cause == io.EOF {
		cause = io.ErrUnexpectedEOF
	}
	return &Error{Path: r.path, Kind: Damaged, Offset: start, Compression: r.compression, Reason: reason, Err: cause}
}
