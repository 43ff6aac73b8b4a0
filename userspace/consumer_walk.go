package userspace

import (
	"errors"
	"fmt"
	"io"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/bpf"
)

// A walk goes through the flow table by the sweep's iterator, a read at a time: between
// two of them the CPU is free for others. One that the ring was too full for goes on
// where it was.
type walk struct {
	open   func() (io.ReadCloser, error) // nil: there is no iterator
	state  *ebpf.Map
	now    bpf.SweepWalk // what is in state
	pieces io.ReadCloser // of a walk that did not come to its end
}

func newWalk(h *bpf.Handles) (w walk) {
	if h.SweepIter != nil && h.SweepState != nil {
		w.open, w.state = h.SweepIter.Open, h.SweepState
	}
	return w
}

// errNoWalk: the table does not let itself be walked through, by whatever confines this
// process, or for want of memory. The table's keys do as well.
var errNoWalk = errors.New("sweep the flow table by the iterator")

// run walks to the end, or until the ring is full.
func (w *walk) run(in bpf.Sweep) (bpf.Sweep, error) {
	if err := w.begin(in); err != nil {
		return in, err
	}
	for w.now.Sweep.More != 0 && w.now.Sweep.Deferred == 0 {
		if err := w.read(); err != nil {
			return in, err
		}
	}
	if w.now.Sweep.Deferred == 0 {
		return w.now.Sweep, w.close()
	}
	return w.now.Sweep, nil
}

// begin goes on with a walk for the same purpose, or begins another.
func (w *walk) begin(in bpf.Sweep) error {
	before := &w.now.Sweep
	if w.pieces != nil && before.Mode == in.Mode && before.Point == in.Point {
		before.NowNs, before.PressureNs, before.Deferred = in.NowNs, in.PressureNs, 0
		return w.tell()
	}
	if err := w.close(); err != nil {
		return err
	}
	w.now = bpf.SweepWalk{Sweep: in}
	w.now.Sweep.More = 1
	if err := w.tell(); err != nil {
		return err
	}
	pieces, err := w.open()
	if err != nil {
		return fmt.Errorf("%w: open it: %w", errNoWalk, err)
	}
	w.pieces = pieces
	return nil
}

// read reads until the program is at the table's end, or stops.
func (w *walk) read() (err error) {
	var piece [1]byte
	for err == nil {
		_, err = w.pieces.Read(piece[:])
	}
	if !errors.Is(err, io.EOF) && !errors.Is(err, unix.EAGAIN) {
		return fmt.Errorf("%w: read it: %w", errNoWalk, err)
	}
	ended := errors.Is(err, io.EOF)
	if err := w.ask(); err != nil {
		return err
	}
	if ended && w.now.Sweep.More != 0 {
		return errors.New("read the sweep's iterator: it has ended, and the program did not come to the table's end: another process sweeps the same table")
	}
	return nil
}

func (w *walk) tell() error {
	if err := w.state.Update(uint32(0), bytesOf(&w.now), ebpf.UpdateAny); err != nil {
		return fmt.Errorf("%w: tell the program what to do: %w", errNoWalk, err)
	}
	return nil
}

func (w *walk) ask() error {
	if err := w.state.Lookup(uint32(0), bytesOf(&w.now)); err != nil {
		return fmt.Errorf("%w: ask the program what it did: %w", errNoWalk, err)
	}
	return nil
}

func (w *walk) close() error {
	if w.pieces == nil {
		return nil
	}
	err := w.pieces.Close()
	w.pieces = nil
	return err
}
