package sink

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/weirflow/weir/userspace"
	"github.com/weirflow/weir/userspace/feature"

	"github.com/weirflow/weir/userspace/sink/ipfix"
)

// writeNumbered opens a file of messages, and writes flows from one number to another.
func writeNumbered(t *testing.T, open func() (Sink, error), from, to uint64) {
	t.Helper()
	s, err := open()
	if err != nil {
		t.Fatal(err)
	}
	for n := from; n <= to; n++ {
		if err := s.Write(numbered(n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	all, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// withdrawal is of all templates of flows (RFC 7011, 8.1).
var withdrawal = []byte{0, 2, 0, 8, 0, 2, 0, 0}

// A file is gone on with after its last whole message, with templates again.
func TestFilesOfMessagesAreGoneOnWith(t *testing.T) {
	path := filepath.Join(t.TempDir(), "flows.ipfix")
	writeNumbered(t, func() (Sink, error) { return Open(path, everything, nil) }, 1, 300)
	whole := readFile(t, path)
	if s := readSession(t, split(t, string(whole))); len(s.flows) != 300 || s.messages != 301 {
		t.Errorf("%d flows in %d messages", len(s.flows), s.messages)
	}
	next := whole[:200] // a message, in part
	for _, torn := range []int{0, 1, 3, 4, 16, 199} {
		if err := os.WriteFile(path, append(bytes.Clone(whole), next[:torn]...), 0o600); err != nil {
			t.Fatal(err)
		}
		writeNumbered(t, func() (Sink, error) { return Resume(path, everything, nil) }, 301, 310)
		got := readFile(t, path)
		if !bytes.HasPrefix(got, whole) {
			t.Fatalf("after %d octets of a message the file begins otherwise", torn)
		}
		if s := readSession(t, split(t, string(got[len(whole):]))); len(s.flows) != 10 || len(s.templates) != 1 {
			t.Errorf("after %d octets of a message: %d flows, templates in messages %v", torn, len(s.flows), s.templates)
		}
		if withdrawn := got[len(whole)+ipfix.HeaderOctets:]; !bytes.HasPrefix(withdrawn, withdrawal) {
			t.Errorf("the templates before are not withdrawn: %x", withdrawn[:8])
		}
		if bytes.Contains(whole, withdrawal) {
			t.Error("templates are withdrawn where there were none")
		}
	}
}

func TestFileOfOtherThingsIsNotGoneOnWith(t *testing.T) {
	path := filepath.Join(t.TempDir(), "flows.ipfix")
	if err := os.WriteFile(path, []byte("id,expiration_id,src_ip\n"), fs.FileMode(0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := Resume(path, everything, nil); err == nil || !strings.Contains(err.Error(), "no IPFIX message") {
		t.Errorf("%v, want that it is no IPFIX message", err)
	}
	if got := readFile(t, path); string(got) != "id,expiration_id,src_ip\n" {
		t.Errorf("the file is %q now", got)
	}
}

// Behind a queue, a file that was moved away is followed by one that can be read by itself.
func TestFileThatIsReopenedHasTemplates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "flows.ipfix")
	for _, opts := range [][]Option{nil, {WithQueueing()}} {
		s, err := Open(path, everything, nil, opts...)
		if err != nil {
			t.Fatal(err)
		}
		for n := uint64(1); n <= 500; n++ {
			if err := s.Write(numbered(n)); err != nil {
				t.Fatal(err)
			}
			if n == 200 {
				if err := os.Rename(path, path+".1"); err != nil {
					t.Fatal(err)
				}
				if err := s.Reopen(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		flows := 0
		for _, path := range []string{path + ".1", path} {
			flows += len(readFlows(t, readFile(t, path)))
		}
		if flows != 500 {
			t.Errorf("%d flows in both files, want 500", flows)
		}
	}
}

// twoWay is a flow of which every other has packets both ways, and how many records these
// are by themselves.
func twoWay(n uint64) (f *userspace.Flow, directions int) {
	f = numbered(n)
	f.Record.Dir[1].Packets = n % 2
	return f, 1 + int(n%2)
}

// The numbers in a file are those of what is in it, in order: although flows wait when
// another part is begun, and others found no room.
func TestFilesOfMessagesAreNumberedAsTheyAreWritten(t *testing.T) {
	for _, ending := range []string{"", "?biflow=off"} {
		path := filepath.Join(t.TempDir(), "flows.ipfix")
		s, err := Open("ipfix:"+path+ending, everything, nil)
		if err != nil {
			t.Fatal(err)
		}
		b := &behind{stream: s.(*stream), closing: make(chan struct{}), reopens: make(chan chan error, 1), done: make(chan struct{})}
		b.entrance.init(b.stream.name, b.stream.encoder, nil, newLimits([]Option{WithQueue(500, 1<<20)}), b.why)
		refused, records := 0, 0
		for n := uint64(1); n <= 1200; n++ {
			f, directions := twoWay(n)
			switch {
			case b.Write(f) != nil:
				refused++
			case ending == "":
				records++
			default:
				records += directions
			}
			if n%600 == 0 {
				b.reopens <- make(chan error, 1) // taken after the first batch of several
				if err := b.write(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := b.stream.Close(); err != nil {
			t.Fatal(err)
		}
		read := readSession(t, split(t, string(readFile(t, path))))
		if len(read.flows) != records || len(read.templates) != 3 || refused != 200 {
			t.Errorf("%s: %d records, templates in messages %v, %d flows refused; want %d, three times and 200", ending, len(read.flows), read.templates, refused, records)
		}
		if len(read.withdrawals) != 2 || read.withdrawals[0] != read.templates[1]-1 || read.withdrawals[1] != read.templates[2]-1 {
			t.Errorf("%s: templates are withdrawn in messages %v, and come again in %v", ending, read.withdrawals, read.templates[1:])
		}
		if first, last := read.templates[1], read.templates[2]; first < 100 || first > 400 || last > read.messages-100 {
			t.Errorf("%s: templates are in messages %v of %d, want some amid flows that waited", ending, read.templates, read.messages)
		}
	}
}

// What a disk without room did not take leaves no gap.
func TestFlowsThatAFileRefusedHaveNoNumber(t *testing.T) {
	var out bytes.Buffer
	s, err := Open("ipfix:-?biflow=off", everything, &out)
	if err != nil {
		t.Fatal(err)
	}
	w := s.(*stream)
	refused, records := 0, 0
	for n := uint64(1); n <= 1000; n++ {
		w.writer = &out
		if n < 500 {
			w.writer = full{}
		}
		if f, directions := twoWay(n); s.Write(f) != nil {
			refused++
		} else {
			records += directions
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if read := readSession(t, split(t, out.String())); len(read.flows) != records || refused == 0 {
		t.Errorf("%d records, %d flows refused; want %d records, and some refused", len(read.flows), refused, records)
	}
}

func TestMessagesOfFilesAreAsLongAsIsAskedFor(t *testing.T) {
	columns := feature.Columns(feature.Options{Statistics: true, TCP: true, IP: true, L7: true, L7Full: true})
	long := numbered(1)
	text := strings.Repeat("x", 300)
	long.Interface, long.L7 = text, &userspace.L7{ApplicationName: text, ApplicationCategoryName: text, UserAgent: text, ContentType: text,
		Details: &userspace.L7Details{HTTPURL: text}}
	longest := map[string]int{}
	for _, ending := range []string{"?message=1200", ""} {
		var out bytes.Buffer
		s, err := Open("ipfix:-"+ending, columns, &out)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.Write(long), s.Close()); err != nil {
			t.Fatal(err)
		}
		messages := split(t, out.String())
		for _, m := range messages {
			longest[ending] = max(longest[ending], len(m))
		}
		if read := readSession(t, messages); len(read.flows) != 1 {
			t.Errorf("%q: %d flows", ending, len(read.flows))
		}
	}
	if longest["?message=1200"] > 1200 || longest[""] <= 1200 {
		t.Errorf("the longest messages have %v octets", longest)
	}
}

// full is a disk without room.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }
