package bpftest

import (
	"errors"
	"fmt"
	"io"
	"unsafe"

	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/bpf"
)

// Walk sweeps by the iterator, to the end of the table or until the ring is full, and
// calls between, unless it is nil, after each piece. The object for a process without
// CAP_PERFMON has none.
func (m *Meter) Walk(s bpf.Sweep, between func()) (bpf.Sweep, error) {
	value := bpf.SweepWalk{Sweep: s}
	value.Sweep.More = 1
	err := errors.Join(m.clock(&value.Sweep), m.openIterator())
	if err == nil {
		err = m.walk(&value, between)
	}
	if err != nil {
		return s, fmt.Errorf("walk through the flow table: %w", err)
	}
	return value.Sweep, nil
}

// clock fills in the programs' time, as a run of the sweep would.
func (m *Meter) clock(s *bpf.Sweep) error {
	if s.NowNs != 0 {
		return nil
	}
	now, err := m.sweep.Clock()
	s.NowNs = now
	return err
}

func (m *Meter) openIterator() (err error) {
	if m.iter == nil {
		o := link.IterOptions{Program: m.Program(bpf.WeirProgWeirSweepWalk), Map: m.Map(bpf.WeirMapFlows)}
		m.iter, err = link.AttachIter(o)
	}
	return err
}

func (m *Meter) walk(value *bpf.SweepWalk, between func()) error {
	state := m.Map(bpf.WeirMapSweepState)
	octets := unsafe.Slice((*byte)(unsafe.Pointer(value)), unsafe.Sizeof(*value))
	if err := state.Put(uint32(0), octets); err != nil {
		return err
	}
	pieces, err := m.iter.Open()
	if err != nil {
		return err
	}
	defer pieces.Close()
	for piece := make([]byte, 1); err == nil; {
		if _, err = pieces.Read(piece); err == nil && between != nil {
			between()
		}
	}
	if !errors.Is(err, io.EOF) && !errors.Is(err, unix.EAGAIN) {
		return err
	}
	return state.Lookup(uint32(0), octets)
}
