package sink

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func openBehind(t *testing.T, spec string, stdout io.Writer, opts ...Option) *behind {
	t.Helper()
	s, err := Open(spec, everything, stdout, append([]Option{quickly, WithQueueing()}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return s.(*behind)
}

// A gate is a writer whose limit another goroutine may raise.
type gate struct {
	mu sync.Mutex
	w  limited
}

func (g *gate) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.w.Write(p)
}

func (g *gate) raise(limit int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.w.limit = limit
}

// What finds no space waits for it, as far as the queue goes.
func TestG1WhatWaitsForSpaceIsWrittenWhenItReturns(t *testing.T) {
	g := &gate{w: limited{limit: 20_000, err: syscall.ENOSPC}}
	s := openBehind(t, "csv:-", g, WithQueue(500, 1<<20))
	refused := refusals{}
	for n := uint64(1); n <= 1000; n++ {
		refused.add(t, s.Write(numbered(n)))
	}
	err := s.Flush()
	// whoever writes may not have come to the limit yet
	for deadline := time.Now().Add(10 * time.Second); !errors.Is(err, syscall.ENOSPC) && time.Now().Before(deadline); err = s.Flush() {
		time.Sleep(time.Millisecond)
	}
	if !errors.Is(err, ErrWaiting) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Flush: %v", err)
	}
	full := refused.total()
	if full.flows == 0 || full.flows > 500 {
		t.Errorf("%d flows were refused while nothing could be written, 500 wait", full.flows)
	}
	g.raise(1 << 30)
	for deadline := time.Now().Add(10 * time.Second); s.Flush() != nil && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
	}
	for n := uint64(1001); n <= 1400; n++ {
		refused.add(t, s.Write(numbered(n)))
	}
	refused.add(t, s.Close())
	if got, all := written(t, g.w.String()), refused.total(); got+all.count.Packets != sum(1400) || all != full {
		t.Errorf("%d packets written, not sent: %v, of these while nothing could be written %v", got, refused, full)
	}
	t.Logf("measured: %d of 1400 flows not sent, all while there was no space", full.flows)
}

func TestFullDiskAtTheEndIsCounted(t *testing.T) {
	s := openBehind(t, "csv:/dev/full", nil)
	refused := refusals{}
	for n := uint64(1); n <= 100; n++ {
		refused.add(t, s.Write(numbered(n)))
	}
	refused.add(t, s.Close())
	if all := refused["no space"]; len(refused) != 1 || all.flows != 100 || all.count.Packets != sum(100) {
		t.Errorf("not sent: %v", refused)
	}
}

// A pipe that nobody reads holds nothing up, not even the end.
func TestG2PipeThatIsNotReadHoldsNothingUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := openBehind(t, "ndjson:"+path, nil, WithQueue(100, 1<<20))
	refused := refusals{}
	begun := time.Now()
	const flows = 2000
	for n := uint64(1); n <= flows; n++ {
		refused.add(t, s.Write(numbered(n)))
		if n%100 == 0 {
			time.Sleep(2 * time.Millisecond)
		}
	}
	refused.add(t, s.Close())
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	text := make([]byte, 1<<20)
	n, _ := reader.Read(text)
	whole := strings.LastIndexByte(string(text[:n]), '\n') + 1
	arrived := uint64(0)
	for flow := range arrivals(t, []string{string(text[:whole])}) {
		arrived += flow
	}
	all := refused.total()
	if sent := sum(flows) - all.count.Packets; all.flows == 0 || arrived < sent || refused["too slow"].flows < flows/2 {
		t.Errorf("%d packets count as sent, %d are in the pipe; not sent: %v", sent, arrived, refused)
	}
	_ = reader.Close()
}

func TestReaderThatWentIsToldByFlush(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	s := openBehind(t, "ndjson:-", w)
	r.Close()
	if err := s.Write(numbered(7)); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if err = s.Flush(); errors.Is(err, ErrReaderGone) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("Flush: %v", err)
		}
	}
	var e *Error
	if err := s.Close(); !errors.As(err, &e) || e.Flows != 1 || !errors.Is(err, ErrReaderGone) {
		t.Errorf("Close: %v", err)
	}
}

func TestC2QueuedFilesRotateWithoutLoss(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "flows.csv")
	s := openBehind(t, path, nil)
	const flows, each = 2000, 100
	for n := uint64(1); n <= flows; n++ {
		if err := s.Write(numbered(n)); err != nil {
			t.Fatal(err)
		}
		if n%each == 0 {
			if err := os.Rename(path, filepath.Join(dir, "old"+time.Now().Format("150405.000000000"))); err != nil {
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
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != flows/each+1 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	var all bytes.Buffer
	for i, f := range append(files[1:], files[0]) { // flows.csv, the last, comes first
		text, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		header, rest, found := bytes.Cut(text, []byte("\n"))
		if !found || !bytes.HasPrefix(header, []byte("id,")) {
			t.Fatalf("%s begins with %q", f.Name(), header)
		}
		if i == 0 {
			rest = text
		}
		all.Write(rest)
	}
	if got := written(t, all.String()); got != sum(flows) {
		t.Errorf("%d packets, want %d", got, sum(flows))
	}
	t.Logf("measured: %d flows queued, in %d files, none lost", flows, len(files))
}
