package sink

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func makeFIFO(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "flows.csv")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAFIFOWithoutAReaderHoldsUpNothing(t *testing.T) {
	path := makeFIFO(t)
	s := openBehind(t, path, nil)
	for n := range uint64(10) {
		if err := s.Write(numbered(n)); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		err := s.Flush()
		if errors.Is(err, ErrWaiting) && errors.Is(err, errNoReader) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("Flush: %v; want that nothing reads", err)
		}
	}
	content := make(chan []byte)
	go func() {
		b, _ := os.ReadFile(path)
		content <- b
	}()
	for deadline := time.Now().Add(10 * time.Second); s.Flush() != nil && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if n := bytes.Count(<-content, []byte("\n")); n != 11 {
		t.Errorf("the reader that came later has %d lines, want a header and 10 flows", n)
	}
}

func TestAFIFOThatNobodyReadsIsToldOf(t *testing.T) {
	s := openBehind(t, makeFIFO(t), nil)
	if err := s.Write(web()); err != nil {
		t.Fatal(err)
	}
	var e *Error
	if err := s.Close(); !errors.As(err, &e) || e.Flows != 1 || e.NotSent.Packets != 3 || !errors.Is(err, errNoReader) || e.Cause() != "no reader" {
		t.Errorf("Close: %v; want one flow of 3 packets that was not sent, for nothing reads", err)
	}
}

// Of files, an output is waited for.
func TestWithoutAQueueAFIFOIsWaitedFor(t *testing.T) {
	path := makeFIFO(t)
	s := mustOpen(t, path, everything, nil)
	if err := s.Write(web()); err != nil {
		t.Fatal(err)
	}
	closed := make(chan error)
	go func() { closed <- s.Close() }()
	select {
	case err := <-closed:
		t.Fatalf("Close does not wait for a reader: %v", err)
	case <-time.After(5 * readerLook):
	}
	reader, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if err := <-closed; err != nil {
		t.Error(err)
	}
}
