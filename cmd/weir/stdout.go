package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/userspace/sink"
)

// errStdoutClosed is a standard output that does not exist: weir >&-.
var errStdoutClosed = errors.New("write standard output: it is closed: leave it open, or send it to /dev/null")

// standardOutput is where weir writes what it is asked for.
func standardOutput() io.Writer {
	if stdoutClosed() {
		return noStdout{}
	}
	return os.Stdout
}

// A noStdout is standard output that is closed.
type noStdout struct{}

func (noStdout) Write([]byte) (int, error) { return 0, errStdoutClosed }

// forChild is what a child has for standard output: nil, which is /dev/null, where there
// is none.
func forChild(stdout io.Writer) io.Writer {
	if _, none := stdout.(noStdout); none {
		return nil
	}
	return stdout
}

// needStdout refuses to write flows to a standard output that is closed.
func needStdout(stdout io.Writer, outputs []string) error {
	if _, none := stdout.(noStdout); !none {
		return nil
	}
	if len(outputs) == 0 {
		return fmt.Errorf("%w, or name another output with -o", errStdoutClosed)
	}
	for _, spec := range outputs {
		if _, path, err := sink.Parse(spec); err == nil && path == "-" {
			return fmt.Errorf("output %q: %w", spec, errStdoutClosed)
		}
	}
	return nil
}

// A helpWriter remembers that help could not be written, which the library that writes
// it does not tell of.
type helpWriter struct {
	io.Writer
	err error // the first
}

func (w *helpWriter) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	if w.err == nil && err != nil && !errors.Is(err, unix.EPIPE) {
		w.err = err
	}
	return n, err
}
