package sink

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
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
