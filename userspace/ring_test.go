package userspace

import (
	"encoding/binary"
	"errors"
	"os"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// A writer puts records into a real ring buffer: the octets 8 to 15 of a record
// are its number, the rest is zero.
type writer struct {
	t       *testing.T
	events  *ebpf.Map
	submit  *ebpf.Program
	discard *ebpf.Program
}

const writtenOctets = 1016 // with its header 1024

func newWriter(t *testing.T, octets uint32) *writer {
	t.Helper()
	events, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.RingBuf, MaxEntries: octets})
	if err != nil {
		t.Fatal(err)
	}
	w := &writer{t: t, events: events}
	w.submit = w.program(asm.FnRingbufSubmit)
	w.discard = w.program(asm.FnRingbufDiscard)
	t.Cleanup(func() { _ = events.Close(); _ = w.submit.Close(); _ = w.discard.Close() })
	return w
}

// program reserves a record, takes its number from the packet, and ends it. It
// answers 1 where there was no room.
func (w *writer) program(end asm.BuiltinFunc) *ebpf.Program {
	w.t.Helper()
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.XDP, License: "GPL", Instructions: asm.Instructions{
		asm.LoadMem(asm.R6, asm.R1, 0, asm.Word),
		asm.LoadMem(asm.R7, asm.R1, 4, asm.Word),
		asm.Mov.Reg(asm.R8, asm.R6), asm.Add.Imm(asm.R8, 8),
		asm.Mov.Imm(asm.R0, 2),
		asm.JGT.Reg(asm.R8, asm.R7, "out"),
		asm.LoadMem(asm.R9, asm.R6, 0, asm.DWord),
		asm.LoadMapPtr(asm.R1, w.events.FD()), asm.Mov.Imm(asm.R2, writtenOctets), asm.Mov.Imm(asm.R3, 0),
		asm.FnRingbufReserve.Call(),
		asm.Mov.Reg(asm.R1, asm.R0), asm.Mov.Imm(asm.R0, 1),
		asm.JEq.Imm(asm.R1, 0, "out"),
		asm.StoreMem(asm.R1, 8, asm.R9, asm.DWord),
		asm.Mov.Imm(asm.R2, 0), end.Call(), asm.Mov.Imm(asm.R0, 0),
		asm.Return().WithSymbol("out"),
	}})
	if err != nil {
		w.t.Fatal(err)
	}
	return program
}

// write says whether there was room.
func (w *writer) write(p *ebpf.Program, n int) bool {
	w.t.Helper()
	data := binary.NativeEndian.AppendUint64(nil, uint64(n))
	code, err := p.Run(&ebpf.RunOptions{Data: append(data, make([]byte, 56)...), Repeat: 1})
	if err != nil || code > 1 {
		w.t.Fatalf("program answers %d, %v", code, err)
	}
	return code == 0
}

func (w *writer) ring(from uint64) *ring {
	w.t.Helper()
	r, err := openRing(w.events, from)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = r.close() })
	return r
}

// want reads a record.
func (w *writer) want(r *ring, n int) {
	w.t.Helper()
	record, behind, err := r.next()
	if err != nil {
		w.t.Fatalf("record %d: %v", n, err)
	}
	if got := binary.NativeEndian.Uint64(record[8:]); got != uint64(n) || len(record) != writtenOctets {
		w.t.Fatalf("record %d of %d octets, want %d of %d", got, len(record), n, writtenOctets)
	}
	r.advance(behind)
}

func TestARingIsReadRoundAndRound(t *testing.T) {
	w := newWriter(t, 4096)
	r := w.ring(0)
	for n := range 100 {
		if n%3 == 2 {
			w.write(w.discard, -1)
		}
		if !w.write(w.submit, n) {
			t.Fatalf("no room for record %d", n)
		}
		w.want(r, n)
		r.commit(r.position)
	}
	if _, _, err := r.next(); !errors.Is(err, errRingEmpty) {
		t.Errorf("error %v at the end", err)
	}
}

// A ring buffer is full with one octet less than it has: three records of four.
func TestWhatWasNotCommittedStaysAndIsReadAgain(t *testing.T) {
	w := newWriter(t, 4096)
	for n := range 3 {
		w.write(w.submit, n)
	}
	first := w.ring(0)
	w.want(first, 0)
	committed := first.position
	w.want(first, 1)
	w.want(first, 2)
	if w.write(w.submit, 3) {
		t.Fatal("the kernel has room for what was not given back")
	}
	first.commit(committed)
	if !w.write(w.submit, 3) || w.write(w.submit, 4) {
		t.Fatal("one record was given back: there is room for one")
	}
	second := w.ring(0)
	for n := 1; n <= 3; n++ {
		w.want(second, n)
	}
	w.want(w.ring(committed+2*1024), 3)
}

func TestABusyRecordIsNotPassed(t *testing.T) {
	w := newWriter(t, 4096)
	w.write(w.submit, 7)
	r := w.ring(0)
	// Written by hand into the reader's view: no program can be stopped halfway.
	view := *r
	view.data = append([]byte(nil), r.data...)
	binary.NativeEndian.PutUint32(view.data, writtenOctets|ringBusy)
	if _, _, err := view.next(); !errors.Is(err, errRingBusy) || view.position != 0 {
		t.Errorf("error %v at position %d", err, view.position)
	}
	binary.NativeEndian.PutUint32(view.data, 3000)
	var wrong *RingError
	if _, _, err := view.next(); !errors.As(err, &wrong) || wrong.Length != 3000 || wrong.Left != 1024 {
		t.Errorf("error %v", err)
	}
	w.want(r, 7)
}

func TestARingIsClosedOnce(t *testing.T) {
	r := newWriter(t, 4096).ring(0)
	if err := errors.Join(r.close(), r.close()); err != nil {
		t.Error(err)
	}
	r.commit(0)
	if _, _, err := r.next(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("error %v", err)
	}
}

func TestReadingTheRingDoesNotAllocate(t *testing.T) {
	w := newWriter(t, 1<<16)
	r := w.ring(0)
	w.write(w.submit, 1)
	if n := testing.AllocsPerRun(100, func() { r.position = 0; _, _, _ = r.next() }); n != 0 {
		t.Errorf("%v allocations a record", n)
	}
}
