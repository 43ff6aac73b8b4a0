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
// calls between, unless it is nil, between two pieces.
func (m *Meter) Walk(s bpf.Sweep, between func()) (bpf.Sweep, error) {
	if err := m.walk(&s, between); err != nil {
		return s, fmt.Errorf("walk through the flow table: %w", err)
	}
	return s, nil
}

func (m *Meter) walk(s *bpf.Sweep, between func()) error {
	if s.NowNs == 0 {
		clock, err := m.Sweep(bpf.Sweep{Mode: uint32(bpf.WeirSweepModeSWEEP_CLOCK)})
		if err != nil {
			return err
		}
		s.NowNs = clock.NowNs
	}
	state := m.coll.Maps[bpf.WeirMapSweepState]
	value := bpf.WeirSweepWalk{Sweep: *s}
	value.Sweep.More = 1
	if err := state.Put(uint32(0), unsafe.Slice((*byte)(unsafe.Pointer(&value)), unsafe.Sizeof(value))); err != nil {
		return err
	}
	iterator, err := link.AttachIter(link.IterOptions{Program: m.coll.Programs[bpf.WeirProgWeirSweepWalk], Map: m.coll.Maps[bpf.WeirMapFlows]})
	if err != nil {
		return err
	}
	defer iterator.Close()
	pieces, err := iterator.Open()
	if err != nil {
		return err
	}
	defer pieces.Close()
	for err == nil {
		if _, err = pieces.Read(make([]byte, 1)); err == nil && between != nil {
			between()
		}
	}
	if !errors.Is(err, io.EOF) && !errors.Is(err, unix.EAGAIN) {
		return err
	}
	if err := state.Lookup(uint32(0), unsafe.Slice((*byte)(unsafe.Pointer(&value)), unsafe.Sizeof(value))); err != nil {
		return err
	}
	*s = value.Sweep
	return nil
}
