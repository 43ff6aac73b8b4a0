package native

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"unsafe"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/bpftest"
)

// A Script is what a run of the native build is told to do, step by step. Its
// results come back in the same order.
type Script struct {
	octets []byte
	resets map[string][]byte // what each set of options comes to
	layout bpf.Layout        // of the options now
	// layouts are those of each result's records.
	layouts []bpf.Layout
}

// Commands, as main.c numbers them.
const (
	commandReset = iota
	commandKnob
	commandFrame
	commandSweep
	commandDone
	commandFault
	commandDrain
	commandLedger
)

// command is main.c's struct of this name.
type command struct {
	Kind, Length uint32
	TimeNs       uint64
	A, B, C, D   uint32
}

func (s *Script) add(c command, octets []byte) {
	c.Length = uint32(len(octets))
	s.octets = append(s.octets, bytesOf(&c)...)
	s.octets = append(s.octets, octets...)
}

func bytesOf[T any](v *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))
}

// Reset begins anew: empty maps, every knob as the options say.
func (s *Script) Reset(o bpftest.Options) error {
	if s.resets == nil {
		s.resets = map[string][]byte{}
	}
	key := fmt.Sprintf("%+v", o)
	if s.resets[key] == nil {
		commands, err := reset(o)
		if err != nil {
			return err
		}
		s.resets[key] = commands
	}
	s.octets = append(s.octets, s.resets[key]...)
	s.layout = o.Groups().Layout()
	return nil
}

func reset(o bpftest.Options) ([]byte, error) {
	spec, err := o.Spec()
	if err != nil {
		return nil, err
	}
	var s Script
	flows := spec.Maps[bpf.WeirMapFlows]
	s.add(command{Kind: commandReset, A: flows.MaxEntries, B: spec.Maps[bpf.WeirMapEvents].MaxEntries, C: flows.ValueSize}, nil)
	for name, v := range spec.Variables {
		if strings.HasPrefix(name, "cfg_") {
			s.add(command{Kind: commandKnob}, slices.Concat([]byte(name), []byte{0}, v.Value))
		}
	}
	return s.octets, nil
}

// Knob sets one knob that the options do not have.
func (s *Script) Knob(name string, value any) error {
	octets, err := binary.Append(append([]byte(name), 0), binary.NativeEndian, value)
	if err != nil {
		return fmt.Errorf("set %s: %w", name, err)
	}
	s.add(command{Kind: commandKnob}, octets)
	return nil
}

// A Hook is the program that a frame is given to, and how.
type Hook uint32

// Hooks: XDP with time and length in the metadata, with the time only, with
// none; TCX of both directions.
const (
	XDP Hook = iota
	XDPTime
	XDPNoMetadata
	TCXIn
	TCXOut
)

// A Frame is one frame at a hook.
type Frame struct {
	Data   []byte
	Length uint32 // original
	TimeNs uint64
	Hook   Hook
	Linear uint32 // octets of Data in the linear part; more than there are is all
	Tagged bool   // a VLAN tag was taken out by the interface
	VLAN   uint16
}

// Frame meters a frame.
func (s *Script) Frame(f Frame) {
	tag := uint32(f.VLAN)
	if f.Tagged {
		tag |= 1 << 16
	}
	s.add(command{Kind: commandFrame, TimeNs: f.TimeNs, A: f.Length, B: uint32(f.Hook), C: f.Linear, D: tag}, f.Data)
}

// Sweep runs the sweep.
func (s *Script) Sweep(sweep bpf.Sweep) { s.add(command{Kind: commandSweep}, bytesOf(&sweep)) }

// Walk does it by the iterator, which the object for a process without CAP_PERFMON has
// not got.
func (s *Script) Walk(sweep bpf.Sweep) { s.add(command{Kind: commandSweep, A: 1}, bytesOf(&sweep)) }

// Done tells the meter that flows need no more samples.
func (s *Script) Done(done ...bpf.DPIDone) {
	var octets []byte
	for i := range done {
		octets = append(octets, bytesOf(&done[i])...)
	}
	s.add(command{Kind: commandDone}, octets)
}

// Drain empties the ring buffer.
func (s *Script) Drain() { s.add(command{Kind: commandDrain}, nil) }

// Finish closes everything at the time nowNs and ends a result. A full ring, or
// another CPU, makes one round too few; after rounds of them nothing is left.
func (s *Script) Finish(nowNs uint64, rounds int) {
	for range rounds {
		s.Drain()
		s.Walk(bpf.Sweep{NowNs: nowNs, Mode: uint32(bpf.WeirSweepModeSWEEP_FORCED)})
	}
	s.add(command{Kind: commandLedger}, nil)
	s.layouts = append(s.layouts, s.layout)
}

// A Fault is a kind of failure of the kernel's, as kernel.h numbers them.
type Fault uint32

// Faults: look-ups that find nothing; insertions refused as EEXIST, E2BIG,
// ENOMEM; deletions refused; a full ring; a frame that cannot be copied; another
// CPU that gets in before a helper or a lock.
const (
	LookupFails Fault = iota
	KeyExists
	TableFull
	NoMemory
	DeleteFails
	RingFull
	CopyFails
	OtherCPU
	FaultKinds
)

// Other is what the other CPU does.
type Other uint32

// The other CPU closes all records, deletes all entries, meters the same frame,
// or gives all entries to another flow.
const (
	Closes Other = iota
	Deletes
	Meters
	Recycles
	OtherKinds
)

// Fault has the kernel fail in its calls of a kind from the skip-th on, count
// times. Other is for OtherCPU.
func (s *Script) Fault(f Fault, skip, count uint32, other Other) {
	s.add(command{Kind: commandFault, A: uint32(f), B: skip, C: count, D: uint32(other)}, nil)
}
