package sink

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/weirflow/weir/userspace"
)

// A reluctant writer takes 1 to 7 octets a call, without an error or with one
// that asks to try again.
type reluctant struct {
	bytes.Buffer
	r *rand.Rand
}

func (w *reluctant) Write(p []byte) (int, error) {
	n, _ := w.Buffer.Write(p[:min(len(p), 1+w.r.IntN(7))])
	switch w.r.IntN(4) {
	case 0:
		return n, syscall.EINTR
	case 1:
		if w.r.IntN(50) == 0 {
			return n, syscall.EAGAIN
		}
	}
	return n, nil
}

func TestG4PartialWritesGiveTheSameOctets(t *testing.T) {
	var want bytes.Buffer
	got := &reluctant{r: rand.New(rand.NewPCG(1, 1))}
	for _, w := range []io.Writer{&want, got} {
		s := mustOpen(t, "csv:-", everything, w)
		for range 100 {
			if err := s.Write(web()); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(got.Bytes(), want.Bytes()) {
		t.Errorf("%d octets differ from the %d that a willing writer got", got.Len(), want.Len())
	}
	t.Logf("measured: %d octets through partial writes are the same", got.Len())
}

// A limited writer takes so many octets, then fails with err; raising the limit
// lets it go on.
type limited struct {
	bytes.Buffer
	limit int
	err   error
}

func (w *limited) Write(p []byte) (int, error) {
	if room := w.limit - w.Len(); len(p) > room {
		n, _ := w.Buffer.Write(p[:room])
		return n, w.err
	}
	return w.Buffer.Write(p)
}

// A fickle writer takes everything and complains all the same.
type fickle struct{ bytes.Buffer }

func (w *fickle) Write(p []byte) (int, error) {
	n, _ := w.Buffer.Write(p)
	return n, syscall.EIO
}

func TestErrorAfterAWholeWriteRefusesNothing(t *testing.T) {
	w := new(fickle)
	s := mustOpen(t, "csv:-", everything, w)
	var refused tally
	for range 500 {
		refused.add(t, s.Write(numbered(1)))
	}
	refused.add(t, s.Close())
	if got := written(t, w.String()); got != 500 || refused.flows != 0 {
		t.Errorf("%d flows written, %d refused; want 500 and 0", got, refused.flows)
	}
}

// tally adds up what a sink's errors say was not sent.
type tally struct {
	flows uint64
	count userspace.Count
}

func (c *tally) add(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v is not an *Error", err)
	}
	c.flows += e.Flows
	c.count = c.count.Plus(e.NotSent)
}

// numbered is a flow of n packets and 10 n octets, so that sums tell which flows
// they are of.
func numbered(n uint64) *userspace.Flow {
	f := lookup()
	f.Record.Dir[0].Packets, f.Record.Dir[0].Octets = n, 10*n
	return f
}

// written counts the packets in a CSV and checks that ids go up by 1.
func written(t *testing.T, text string) (packets uint64) {
	t.Helper()
	column := -1
	id := 0
	for line := range strings.Lines(text) {
		fields, err := parseCSV(line)
		if err != nil {
			t.Fatalf("a record is not whole: %v", err)
		}
		if column < 0 {
			for i, name := range fields {
				if name == "bidirectional_packets" {
					column = i
				}
			}
			continue
		}
		if fields[0] != strconv.Itoa(id) {
			t.Fatalf("id %s, want %d", fields[0], id)
		}
		id++
		n, err := strconv.ParseUint(fields[column], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		packets += n
	}
	return packets
}

func TestG2WhatAnOutputRefusesIsCountedAndTheRestIsWritten(t *testing.T) {
	const flows = 2000
	const total = flows * (flows + 1) / 2
	for _, limit := range []int{0, 100, 64 << 10, 100_001, 300_000} {
		w := &limited{limit: limit, err: syscall.ENOSPC}
		s := mustOpen(t, "csv:-", everything, w)
		var refused tally
		for n := uint64(1); n <= flows; n++ {
			if n == flows/2 {
				w.limit = 1 << 30 // space returns
			}
			refused.add(t, s.Write(numbered(n)))
		}
		refused.add(t, s.Close())
		if got := written(t, w.String()); got+refused.count.Packets != total || refused.count.Octets != 10*refused.count.Packets {
			t.Errorf("limit %d: %d packets written, %d packets and %d octets refused; they should add up to %d",
				limit, got, refused.count.Packets, refused.count.Octets, total)
		}
		if limit < 300_000 && refused.flows == 0 {
			t.Errorf("limit %d: nothing refused", limit)
		}
	}
}

func TestG2BufferStaysBoundedWhileNothingIsTaken(t *testing.T) {
	s := mustOpen(t, "csv:-", everything, &limited{err: syscall.ENOSPC})
	for range 5000 {
		if err := s.Write(web()); err != nil && !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
	if len(s.buffer) > flushAt {
		t.Errorf("%d octets buffered, bound is %d", len(s.buffer), flushAt)
	}
}

func TestFlowsGivenUpAtCloseAreCounted(t *testing.T) {
	s := mustOpen(t, "csv:/dev/full", everything, nil)
	for n := uint64(1); n <= 3; n++ {
		if err := s.Write(numbered(n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Flush(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Flush: %v, want no space", err)
	}
	err := s.Close()
	var e *Error
	if !errors.As(err, &e) || e.Flows != 3 || e.NotSent != (userspace.Count{Packets: 6, Octets: 60}) {
		t.Errorf("Close: %v, want 3 flows with 6 packets and 60 octets not sent", err)
	}
	const want = "write csv:/dev/full: no space left on device; free space there, or choose another place; flows not sent: 3"
	if err.Error() != want {
		t.Errorf("Close says %q, want %q", err, want)
	}
}

func TestReaderThatWentIsTyped(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	s := mustOpen(t, "ndjson:-", everything, w)
	r.Close()
	if err := s.Write(web()); err != nil {
		t.Fatal(err)
	}
	if err := s.Flush(); !errors.Is(err, ErrReaderGone) || !errors.Is(err, syscall.EPIPE) {
		t.Errorf("Flush: %v, want ErrReaderGone", err)
	}
	var e *Error
	if err := s.Close(); !errors.As(err, &e) || e.Flows != 1 {
		t.Errorf("Close: %v, want 1 flow not sent", err)
	}
}

// A file size limit stands for a full disk: it cuts a write short in the same
// way, and needs no privilege.
func TestG1FileHoldsWholeRecordsWhenTheDiskIsFull(t *testing.T) {
	signal.Ignore(syscall.SIGXFSZ)
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	limit := func(octets uint64) {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: octets, Max: old.Max}); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { limit(old.Cur) })

	path := filepath.Join(t.TempDir(), "x.csv")
	s := mustOpen(t, path, everything, nil)
	var refused tally
	read := func() string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	const flows, full = 1500, 100_001
	for n := uint64(1); n <= flows; n++ {
		switch n {
		case 1:
			limit(full)
		case 1000:
			text := read()
			written(t, text)
			if len(text) > full || len(text) < full-2000 {
				t.Errorf("%d octets in the file, want nearly %d", len(text), full)
			}
			limit(old.Cur)
		}
		refused.add(t, s.Write(numbered(n)))
	}
	refused.add(t, s.Close())
	if got := written(t, read()); got+refused.count.Packets != flows*(flows+1)/2 || refused.flows == 0 {
		t.Errorf("%d packets written, %d packets in %d flows refused; they should add up", got, refused.count.Packets, refused.flows)
	}
	t.Logf("measured: full at %d octets: %d flows of %d refused and counted, all others whole", full, refused.flows, flows)
}

func TestFlushingFromAnotherGoroutine(t *testing.T) {
	var out bytes.Buffer
	s := mustOpen(t, "csv:-", everything, &out)
	var flushing sync.WaitGroup
	flushing.Go(func() {
		for range 200 {
			if err := s.Flush(); err != nil {
				t.Error(err)
			}
		}
	})
	for n := uint64(1); n <= 500; n++ {
		if err := s.Write(numbered(n)); err != nil {
			t.Fatal(err)
		}
	}
	flushing.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := written(t, out.String()); got != 500*501/2 {
		t.Errorf("%d packets written, want %d", got, 500*501/2)
	}
}
