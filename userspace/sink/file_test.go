package sink

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// Files are moved away and reopened while another goroutine writes: together they
// hold every record once, each with its header.
func TestC2RotationNeitherLosesNorRepeats(t *testing.T) {
	const rotations, flows = 100, 20_000
	path := filepath.Join(t.TempDir(), "flows.csv")
	s := mustOpen(t, path, everything, nil)
	var writing sync.WaitGroup
	writing.Go(func() {
		for n := range uint64(flows) {
			if err := s.Write(numbered(n)); err != nil {
				t.Error(err)
			}
		}
	})
	for n := range rotations {
		if err := os.Rename(path, fmt.Sprintf("%s.%d", path, n)); err != nil {
			t.Fatal(err)
		}
		if err := s.Reopen(); err != nil {
			t.Fatal(err)
		}
	}
	writing.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) != rotations+1 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	seen := map[string]int{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		header, rest, found := strings.Cut(string(content), "\n")
		if !found || !strings.HasPrefix(header, "id,") {
			t.Fatalf("%s begins with %q", file, header)
		}
		for line := range strings.Lines(rest) {
			id, _, _ := strings.Cut(line, ",")
			seen[id]++
		}
	}
	for n := range flows {
		if got := seen[fmt.Sprint(n)]; got != 1 {
			t.Fatalf("record %d is there %d times", n, got)
		}
	}
	t.Logf("measured: %d rotations while %d records are written: %d records, each once", rotations, flows, len(seen))
}

func TestReopeningAFileThatIsStillThereContinuesIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "flows.csv")
	s := mustOpen(t, path, everything, nil)
	for n := range uint64(3) {
		if err := errors.Join(s.Write(numbered(n)), s.Reopen()); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if got := strings.Count(string(content), "\n"); err != nil || got != 4 || strings.Count(string(content), "id,expiration_id,") != 1 {
		t.Errorf("%d lines, %v; want a header and 3 flows:\n%s", got, err, content)
	}
}

// A FIFO without a reader cannot be opened without waiting for one.
func TestReopeningAFIFOOnlyFlushes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "flows.csv")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, path, everything, nil)
	if err := errors.Join(s.Write(numbered(1)), reader.Close(), s.Reopen()); !errors.Is(err, ErrReaderGone) {
		t.Errorf("reopened: %v", err)
	}
	_ = s.Close()
}

func TestWhereNoFileCanBeOpenedTheOldOneGoesOn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, filepath.Join(dir, "flows.csv"), everything, nil)
	moved := dir + ".moved"
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	var e *Error
	if err := s.Reopen(); !errors.As(err, &e) || !errors.Is(err, os.ErrNotExist) || e.Flows != 0 {
		t.Errorf("reopening in a directory that is gone: %v", err)
	}
	if err := errors.Join(s.Write(numbered(1)), s.Close()); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(moved, "flows.csv"))
	if got := strings.Count(string(content), "\n"); err != nil || got != 2 {
		t.Errorf("%d lines, %v; want a header and a flow", got, err)
	}
}
