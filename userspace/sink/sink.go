// Package sink writes flows to files, standard output and network addresses: CSV for
// data frames, NDJSON for pipes, a table for eyes, IPFIX for collectors of flows.
package sink

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/weirflow/weir/userspace"
	"github.com/weirflow/weir/userspace/feature"
	"github.com/weirflow/weir/userspace/sink/ipfix"
)

// A Sink is one output. All methods may be called from several goroutines, so
// that one can flush on a clock while another writes.
type Sink interface {
	// Write takes a flow, or returns an *Error that says it did not. What was
	// taken is buffered.
	Write(*userspace.Flow) error
	// Flush writes what is buffered. What it cannot write stays buffered.
	Flush() error
	// Reopen flushes, closes a file and opens its path anew, so that one that was
	// renamed is complete and its successor begins; one that is still there is
	// continued. What could not be written goes to the new file; where that cannot
	// be opened, to the old one as before. What is no regular file is only flushed.
	Reopen() error
	// Close flushes and closes; its *Error, or several joined, counts the flows that
	// were taken and could not be written. It does not close standard output.
	Close() error
	// Name is the output as FORMAT:PATH.
	Name() string
	// Panics counts, by column, the values that are missing because the column's
	// function panicked.
	Panics() map[string]uint64
}

// A Queued is a Sink whose flows go out later than Write returns: one to a network,
// or any that was opened WithQueueing.
// Its Flush does not wait, and its error is ErrWaiting while something is queued.
type Queued interface {
	Sink
	// Settled is how many of the flows given to Write first are known to have arrived
	// or were refused, and what was refused of them.
	Settled() (flows uint64, notSent userspace.Count)
	// Refused is what was refused of the flows given to Write first: of n of them, no
	// more than Settled told, or of the most fewer that it knows of.
	Refused(n uint64) (of uint64, notSent userspace.Count)
	// GiveUp empties the queue; its *Error, or several joined, counts what was in it.
	GiveUp() error
	// Patient has Write wait for room from now on, as long as the other side takes
	// anything at all: for flows that can wait, as those of files.
	Patient()
}

// An Error is an output that cannot take flows. The NotSent of all errors of a
// sink, Close's included, add up to what the ledger must be told.
type Error struct {
	Output string // the sink's name
	// Flows that this call gave up, and what is in them.
	Flows   uint64
	NotSent userspace.Count
	Err     error
}

// Cause is why flows were not sent, in a word or two, by which they are counted.
func (e *Error) Cause() string {
	switch is := func(target error) bool { return errors.Is(e.Err, target) }; {
	case errors.As(e.Err, new(*handshakeError)):
		return "no TLS"
	case is(ErrUnreachable):
		return "no connection"
	case is(ErrSlow):
		return "too slow"
	case is(ErrUnconfirmed):
		return "not confirmed"
	case is(ErrReaderGone):
		return "reader left"
	case is(errNoReader):
		return "no reader"
	case is(syscall.ENOSPC), is(syscall.EDQUOT):
		return "no space"
	case is(fs.ErrPermission), is(fs.ErrNotExist), is(syscall.EROFS):
		return "no access"
	}
	return "write error"
}

func (e *Error) Error() string {
	s := fmt.Sprintf("write %s: %v%s", e.Output, e.Err, advice(e.Err))
	if e.Flows > 0 {
		s += fmt.Sprintf("; flows not sent: %d", e.Flows)
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// ErrReaderGone is an output whose reader has closed its end, as head does. No
// later write can succeed; it is a reason to end in order, not a fault. A
// process that writes to standard output gets here only if it ignores SIGPIPE.
var ErrReaderGone = errors.New("the reader has gone")

// A SpecError is an output specification that names no output.
type SpecError struct {
	Spec   string
	Reason string
}

func (e *SpecError) Error() string {
	return fmt.Sprintf("output %q: %s; want csv:PATH, ndjson:PATH, table:PATH, ipfix:PATH, - for standard output, or a path ending in .csv, .ndjson, .jsonl or .ipfix; csv, ndjson and ipfix may have tcp://HOST:PORT, tls://HOST:PORT or unix:///PATH for a path, ipfix udp://HOST:PORT too; csv may end in ?formulas=keep, ndjson in ?events=label, ipfix in ?biflow=off, domain=N, message=OCTETS, rate=OCTETS, templates=DURATION", e.Spec, e.Reason)
}

// Open opens the output that spec names and writes its header. The path - is
// stdout; "-" alone is ndjson:-. A file that exists is replaced. Where the path is
// tcp://HOST:PORT, tls://HOST:PORT, udp://HOST:PORT or unix:///PATH, the output is a Queued; it connects when it can. A FIFO
// is opened when it has a reader: without WithQueueing, Write and Flush wait for one.
func Open(spec string, columns []feature.Column, stdout io.Writer, opts ...Option) (Sink, error) {
	return open(spec, columns, stdout, os.O_TRUNC, opts)
}

// Resume is Open, but goes on at the end of a file that exists. A last line that a
// killed process has left without its end is cut off.
func Resume(spec string, columns []feature.Column, stdout io.Writer, opts ...Option) (Sink, error) {
	format, path, err := Parse(spec)
	if err != nil {
		return nil, err
	}
	if _, _, remote := Remote(path); path != "-" && !remote {
		if err := cutTorn(format, path); err != nil {
			return nil, fmt.Errorf("go on with output %s: %w%s", spec, bare(err), advice(err))
		}
	}
	return open(spec, columns, stdout, 0, opts)
}

func open(spec string, columns []feature.Column, stdout io.Writer, mode int, opts []Option) (Sink, error) {
	format, path, err := Parse(spec)
	if err != nil {
		return nil, err
	}
	_, ending, _ := splitEnding(spec)
	s := &stream{name: format + ":" + path, encoder: newEncoder(format, columns, ending)}
	if ending.labels {
		s.labels = newLabelEncoder(columns)
	}
	if format == IPFIX {
		s.sequence = new(sequence)
	}
	limits := newLimits(opts)
	p, remote, _ := findPlace(path)
	switch {
	case remote && format == IPFIX:
		return newExporter(s.name, p, columns, ending.ipfix, limits), nil
	case remote:
		return newRemote(s.name, p, s.encoder, s.labels, limits).start(), nil
	}
	switch {
	case path == "-":
		s.writer = panicless{stdout}
	case isFIFO(path):
		var f *fifo
		if f, err = openFIFO(path, limits); err == nil {
			s.writer, s.owned = f, f
		}
	default:
		err = s.openFile(path, mode)
	}
	if err != nil {
		return nil, fmt.Errorf("open output %s: %w%s", s.name, err, advice(err))
	}
	s.begin()
	if limits.queueing {
		return newBehind(s, limits), nil
	}
	return s, nil
}

// The formats.
const (
	CSV    = "csv"
	NDJSON = "ndjson"
	Table  = "table"
	IPFIX  = "ipfix"
)

// Parse takes a specification apart into a format and a path without opening
// anything. Its error is a *SpecError.
func Parse(spec string) (format, path string, err error) {
	rest, ending, err := splitEnding(spec)
	if err != nil {
		return "", "", err
	}
	format, path, err = parse(rest)
	switch {
	case err == nil && ending.labels && format != NDJSON:
		err = &SpecError{spec, "labels are written as ndjson only"}
	case err == nil && ending.formulas && format != CSV:
		err = &SpecError{spec, "only csv guards formulas"}
	}
	if p, remote, reason := findPlace(path); err == nil && reason != "" {
		err = &SpecError{spec, reason}
	} else if err == nil && remote && format == Table {
		err = &SpecError{spec, "a table is for reading: csv, ndjson and ipfix go over a network"}
	} else if err == nil && p.network == networkUDP && format != IPFIX {
		err = &SpecError{spec, "lines need a connection: only ipfix goes over udp"}
	}
	return format, path, err
}

func parse(spec string) (format, path string, err error) {
	if spec == "-" {
		return NDJSON, spec, nil
	}
	if format, path, found := strings.Cut(spec, ":"); found && isWord(format) {
		switch {
		case format != CSV && format != NDJSON && format != Table && format != IPFIX:
			return "", "", &SpecError{spec, fmt.Sprintf("no format is called %q%s", format, beforeAddress(spec))}
		case path == "":
			return "", "", &SpecError{spec, "no path"}
		}
		return format, path, nil
	}
	switch filepath.Ext(spec) {
	case ".csv":
		return CSV, spec, nil
	case ".ndjson", ".jsonl":
		return NDJSON, spec, nil
	case ".ipfix":
		return IPFIX, spec, nil
	}
	return "", "", &SpecError{spec, "the format is not clear"}
}

// An ending is what may follow the path of a specification.
type ending struct {
	labels   bool // ?events=label: labels are written, too
	formulas bool // ?formulas=keep: texts are written as they are, formulas or not
	ipfix    *ipfix.Options
}

// splitEnding takes the ending off a specification.
func splitEnding(spec string) (rest string, e ending, err error) {
	if strings.HasPrefix(spec, IPFIX+":") {
		rest, options, _ := strings.Cut(spec, "?")
		if e.ipfix, err = ipfix.ParseOptions(options); err != nil {
			return "", ending{}, &SpecError{spec, err.Error()}
		}
		return rest, e, nil
	}
	e.ipfix, _ = ipfix.ParseOptions("")
	for _, k := range []struct {
		key, value string
		set        *bool
	}{{"events", "label", &e.labels}, {"formulas", "keep", &e.formulas}} {
		before, value, found := strings.Cut(spec, "?"+k.key+"=")
		switch {
		case !found:
		case value != k.value:
			return "", ending{}, &SpecError{spec, fmt.Sprintf("?%s= has no value %q but %s", k.key, value, k.value)}
		default:
			*k.set = true
			return before, e, nil
		}
	}
	return spec, e, nil
}

// beforeAddress says what is missing before an address that stands alone.
func beforeAddress(spec string) string {
	network, _, isAddress := strings.Cut(spec, "://")
	format := NDJSON
	switch {
	case !isAddress:
		return ""
	case network == networkUDP:
		format = IPFIX
	}
	return fmt.Sprintf(": write it before the address, as in %s:%s", format, spec)
}

// isWord tells a format's name from the beginning of a path that has a colon.
func isWord(s string) bool {
	for _, c := range s {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

// An encoder appends what a format writes: a header, then one record a flow, whose
// values g guards unless it is nil.
type encoder interface {
	appendHeader(dst []byte) []byte
	appendFlow(dst []byte, r *feature.Row, g *guard) []byte
}

func newEncoder(format string, columns []feature.Column, e ending) encoder {
	switch format {
	case CSV:
		return &csvEncoder{columns: columns, formulas: e.formulas}
	case NDJSON:
		return newNDJSONEncoder(columns)
	case IPFIX:
		return newIPFIXFile(columns, e.ipfix)
	}
	return &tableEncoder{}
}

// advice says what the user can do about an error, as the end of a sentence.
func advice(err error) string {
	switch {
	case errors.Is(err, ErrReaderGone), errors.Is(err, ErrUnconfirmed):
		return ""
	case errors.Is(err, ErrWaiting) && handshakeAdvice(err) != "":
		return "; trying again" + handshakeAdvice(err)
	case errors.Is(err, ErrWaiting):
		return "; trying again"
	case handshakeAdvice(err) != "":
		return handshakeAdvice(err)
	case errors.Is(err, ErrUnreachable):
		return "; see that something listens there"
	case errors.Is(err, errNoReader):
		return "; start what is to read it"
	case errors.Is(err, ErrSlow):
		return "; a larger queue bridges a peak, and nothing else"
	case errors.Is(err, fs.ErrNotExist):
		return "; create the directory first"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return "; choose a place that you may write to"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "; free space there, or choose another place"
	case errors.Is(err, syscall.EISDIR):
		return "; name a file in it"
	}
	return "; choose another output"
}
