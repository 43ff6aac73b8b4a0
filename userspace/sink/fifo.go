package sink

import (
	"errors"
	"io/fs"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// errNoReader is a FIFO that nothing has opened for reading yet.
var errNoReader = errors.New("nothing reads from it yet")

// A fifo is a FIFO that is opened when it can be: that takes a reader, and the kernel
// would have whoever opens it wait for one, signals and all.
type fifo struct {
	path  string
	waits bool // Write does, for a reader
	drain time.Duration
	until atomic.Int64 // when Write waits no longer, in Unix nanoseconds; 0: not known yet
	file  *os.File
}

// A Draining is a sink that waits by itself for who reads it. Drain says that the input
// is at an end, so that nobody is waited for longer than WithDrain says.
type Draining interface{ Drain() }

// Drain implements Draining, for a FIFO that nothing has opened for reading.
func (s *stream) Drain() {
	if f, is := s.owned.(*fifo); is {
		f.until.CompareAndSwap(0, time.Now().Add(f.drain).UnixNano())
	}
}

// givesUp tells whether nobody is waited for any more.
func (f *fifo) givesUp() bool {
	until := f.until.Load()
	return !f.waits || until != 0 && time.Now().UnixNano() > until
}

func isFIFO(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&fs.ModeNamedPipe != 0
}

// openFIFO finds out whether the FIFO may be written.
func openFIFO(path string, l limits) (*fifo, error) {
	f := &fifo{path: path, waits: !l.queueing, drain: l.drain}
	if err := f.open(); err != nil && !errors.Is(err, errNoReader) {
		return nil, err
	}
	return f, nil
}

func (f *fifo) open() error {
	file, err := os.OpenFile(f.path, os.O_WRONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ENXIO) {
		return errNoReader
	}
	f.file = file
	return bare(err)
}

// Write implements io.Writer.
func (f *fifo) Write(p []byte) (int, error) {
	for f.file == nil {
		err := f.open()
		switch {
		case err == nil:
		case !errors.Is(err, errNoReader) || f.givesUp():
			return 0, err
		default:
			time.Sleep(readerLook)
		}
	}
	return f.file.Write(p)
}

// readerLook is how often a reader is looked for.
const readerLook = 20 * time.Millisecond

// Close implements io.Closer.
func (f *fifo) Close() error {
	if f.file == nil {
		return nil
	}
	return f.file.Close()
}
