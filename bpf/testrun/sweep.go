package testrun

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/bpf"
)

// A Sweep goes over a flow table by its keys: it looks up a batch of them, and runs the
// sweep program on it. The kernel gives batches a bucket of the table at a time, and the
// next one begins at the next bucket: whatever packets and the program itself insert and
// delete meanwhile, each entry that is there all the time is come to once.
//
// It takes descriptors only, the table's for reading. One sweep of a table at a time.
type Sweep struct {
	flows   *ebpf.Map
	program *ebpf.Program
	batch   int
	values  []byte // which the kernel gives with the keys; the program looks for itself
	packet  bpf.SweepPacket
	keys    int // in the packet, which the program has not come to
	cursor  cursor
	looked  bool // there are no more keys in the table
}

// NewSweep is the sweep of a table by its program.
func NewSweep(flows *ebpf.Map, program *ebpf.Program) *Sweep {
	return &Sweep{flows: flows, program: program, batch: len(bpf.SweepPacket{}.Keys)}
}

// SetBatch has a run take so many keys at most, and no fewer than any bucket of the
// table has.
func (s *Sweep) SetBatch(keys int) {
	s.batch = min(keys, len(s.packet.Keys))
	s.values = nil
}

// Clock is the programs' time.
func (s *Sweep) Clock() (nowNs uint64, err error) {
	var told bpf.Sweep
	if err := Run(s.program, octetsOf(&told), octetsOf(&told)); err != nil {
		return 0, fmt.Errorf("ask the programs for their time: %w", err)
	}
	return told.NowNs, nil
}

// Run sweeps to the table's end, or until the ring is full. After that the next sweep
// for the same purpose goes on at the same entry.
func (s *Sweep) Run(in bpf.Sweep) (bpf.Sweep, error) {
	if err := s.Begin(in); err != nil {
		return in, err
	}
	for {
		out, err := s.Piece()
		if err != nil || out.More == 0 || out.Deferred != 0 {
			return out, err
		}
	}
}

// Begin goes on with a sweep for the same purpose, or begins another. Without a time it
// is the programs'.
func (s *Sweep) Begin(in bpf.Sweep) (err error) {
	if in.NowNs == 0 {
		if in.NowNs, err = s.Clock(); err != nil {
			return err
		}
	}
	now := &s.packet.Sweep
	if now.More != 0 && now.Mode == in.Mode && now.Point == in.Point {
		now.NowNs, now.PressureNs, now.Deferred = in.NowNs, in.PressureNs, 0
		return nil
	}
	*now, s.keys, s.looked, s.cursor = in, 0, false, cursor{}
	now.More = 1
	return nil
}

// Piece goes on by a batch: Sweep.More of its answer tells whether there is more to come,
// Sweep.Deferred that the ring is full.
func (s *Sweep) Piece() (bpf.Sweep, error) {
	now := &s.packet.Sweep
	if s.keys == 0 && !s.looked {
		if err := s.look(); err != nil {
			return *now, err
		}
	}
	if err := s.run(); err != nil {
		return *now, err
	}
	if s.looked && s.keys == 0 {
		now.More = 0
	}
	return *now, nil
}

// look fetches keys. At the table's end there may be some, too. Where the kernel does not
// get at a bucket, whose lock others hold, the sweep waits for its next turn, as it does
// for room in the ring.
func (s *Sweep) look() error {
	if s.values == nil {
		s.values = make([]byte, s.batch*int(s.flows.ValueSize()))
	}
	n, err := lookUp(s.flows, &s.cursor, s.packet.Keys[:s.batch], s.values)
	s.keys, s.looked = n, errors.Is(err, unix.ENOENT)
	switch {
	case err == nil || s.looked || isBusy(err) && n > 0:
		return nil
	case isBusy(err):
		s.packet.Sweep.Deferred = 1
		return nil
	case errors.Is(err, unix.ENOSPC):
		return fmt.Errorf("look up keys of the flow table: a bucket holds more than %d flows: %w", s.batch, err)
	}
	return fmt.Errorf("look up keys of the flow table: %w", err)
}

// run has the program go over the keys, and keeps those that it did not come to.
func (s *Sweep) run() error {
	if s.keys == 0 {
		return nil
	}
	before := s.packet.Sweep.At
	octets := octetsOf(&s.packet)[:unsafe.Offsetof(s.packet.Keys)+uintptr(s.keys)*unsafe.Sizeof(s.packet.Keys[0])]
	if err := Run(s.program, octets, octets); err != nil {
		return fmt.Errorf("run the sweep over %d keys: %w", s.keys, err)
	}
	done := int(s.packet.Sweep.At - before)
	if s.packet.Sweep.Deferred == 0 && done != s.keys {
		return fmt.Errorf("run the sweep over %d keys: it came to %d: its program is of another build", s.keys, done)
	}
	copy(s.packet.Keys[:], s.packet.Keys[done:s.keys])
	s.keys -= done
	return nil
}

func octetsOf[T bpf.Sweep | bpf.SweepPacket](s *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(s)), unsafe.Sizeof(*s))
}
