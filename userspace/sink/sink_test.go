package sink

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/weirflow/weir/userspace"
	"github.com/weirflow/weir/userspace/goldentest"
)

func TestSpecificationNamesFormatAndPath(t *testing.T) {
	for _, c := range []struct{ spec, format, path string }{
		{"-", NDJSON, "-"},
		{"csv:-", CSV, "-"},
		{"table:-", Table, "-"},
		{"ndjson:out.csv", NDJSON, "out.csv"},
		{"csv:/dev/fd/3", CSV, "/dev/fd/3"},
		{"csv:a:b", CSV, "a:b"},
		{"flows.csv", CSV, "flows.csv"},
		{"/var/x.y/flows.ndjson", NDJSON, "/var/x.y/flows.ndjson"},
		{"flows.jsonl", NDJSON, "flows.jsonl"},
		{"./odd:name.csv", CSV, "./odd:name.csv"},
	} {
		format, path, err := Parse(c.spec)
		if err != nil || format != c.format || path != c.path {
			t.Errorf("Parse(%q) = %q, %q, %v; want %q, %q", c.spec, format, path, err, c.format, c.path)
		}
	}
}

func TestSpecificationThatNamesNoOutputIsRefused(t *testing.T) {
	for _, spec := range []string{"", "flows", "flows.txt", "csv:", "parquet:x", "flows.csv.gz", "xml:-"} {
		_, err := Open(spec, everything, io.Discard)
		if e := (*SpecError)(nil); !errors.As(err, &e) || !strings.Contains(err.Error(), "want csv:PATH") {
			t.Errorf("Open(%q): %v; want a *SpecError that says what is accepted", spec, err)
		}
	}
}

func TestOpenSaysOnWhatAndWhatToDo(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct{ spec, want string }{
		{"csv:" + dir + "/none/x", "open output csv:" + dir + "/none/x: no such file or directory; create the directory first"},
		{"csv:" + dir, "open output csv:" + dir + ": is a directory; name a file in it"},
	} {
		if _, err := Open(c.spec, everything, nil); err == nil || err.Error() != c.want {
			t.Errorf("Open(%q): %v, want %q", c.spec, err, c.want)
		}
	}
}

func TestGoldenOutputs(t *testing.T) {
	for _, format := range []string{CSV, NDJSON, Table} {
		t.Run(format, func(t *testing.T) {
			var out bytes.Buffer
			s := mustOpen(t, format+":-", everything, &out)
			if e, ok := s.encoder.(*tableEncoder); ok {
				e.local = time.UTC
			}
			for _, f := range []*userspace.Flow{web(), lookup(), bulk(), ping()} {
				if err := s.Write(f); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			goldentest.Equal(t, "testdata/flows."+format, out.String(), *update)
		})
	}
}

func TestHeaderIsWrittenWithoutFlows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.csv")
	if err := os.WriteFile(path, []byte("what was there"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := mustOpen(t, path, everything, nil).Close(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(got), "id,expiration_id,src_ip,") || strings.Count(string(got), "\n") != 1 {
		t.Errorf("file holds %q, want the header alone", got)
	}
}

func TestTableStaysWithin120Columns(t *testing.T) {
	var out bytes.Buffer
	s := mustOpen(t, "table:-", nil, &out)
	longest := lookup()
	longest.Record.Key.Addr[0] = longest.Record.Key.Addr[1]
	longest.Record.Dir[0].Packets, longest.Record.Dir[0].Octets = 1<<64-2, 1<<64-1
	longest.Record.Dir[0].LastNs = 1<<63 - 1
	longest.Record.Key.Protocol = 255
	for _, f := range []*userspace.Flow{longest, web(), bulk()} {
		if err := s.Write(f); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 120 {
			t.Errorf("%d columns: %s", n, line)
		}
		if strings.ContainsRune(line, 0x1b) {
			t.Errorf("an escape reached the terminal: %q", line)
		}
	}
}

func TestCountsAreShortened(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0", 99999: "99999", 100000: "100k", 999999: "999k", 1_000_000: "1.0M", 9_990_000: "9.9M", 10_000_000: "10M",
		999_999_999: "999M", 1 << 40: "1.0T", 1<<64 - 1: "18E",
	} {
		if got := string(appendCount(nil, n)); got != want {
			t.Errorf("%d is written %s, want %s", n, got, want)
		}
	}
}

func TestDurationsAreShortened(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0µs", 999_999: "999µs", time.Millisecond: "1ms", 1500 * time.Millisecond: "1.50s", 59_999 * time.Millisecond: "59.99s",
		61 * time.Second: "1m01s", 3*time.Hour + 4*time.Minute: "3h04m", 50 * time.Hour: "2d02h",
	} {
		if got := string(appendDuration(nil, d)); got != want {
			t.Errorf("%v is written %s, want %s", d, got, want)
		}
	}
}

func TestEncodersDoNotAllocate(t *testing.T) {
	for _, format := range []string{CSV, NDJSON, Table} {
		s, flow := mustOpen(t, format+":-", everything, io.Discard), web()
		write := func() {
			if err := s.Write(flow); err != nil {
				t.Fatal(err)
			}
		}
		for range 200 { // the buffers find their size
			write()
		}
		if n := testing.AllocsPerRun(1000, write); n != 0 {
			t.Errorf("%s: %v allocations a flow, want 0", format, n)
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	for _, format := range []string{CSV, NDJSON, Table} {
		b.Run(format, func(b *testing.B) {
			s, flow := mustOpen(b, format+":-", everything, io.Discard), web()
			b.ReportAllocs()
			for b.Loop() {
				if err := s.Write(flow); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestEveryErrorHasACause(t *testing.T) {
	for want, err := range map[string]error{
		"no space": syscall.ENOSPC, "no reader": errNoReader, "reader left": fmt.Errorf("%w: %w", ErrReaderGone, syscall.EPIPE),
		"no access": &fs.PathError{Op: "open", Path: "x", Err: syscall.EROFS}, "write error": syscall.EIO,
		"no connection": fmt.Errorf("%w: %w", ErrUnreachable, syscall.ECONNREFUSED), "too slow": ErrSlow, "not confirmed": ErrUnconfirmed,
	} {
		if got := (&Error{Err: err}).Cause(); got != want {
			t.Errorf("the cause of %v is %q, want %q", err, got, want)
		}
	}
}
