// Package bpftest runs the metering programs on frames of a test's making,
// through BPF_PROG_TEST_RUN and with the test's clock. It is what holds the
// kernel's meter and the Go meter equal. Every Meter states its ledger at its
// end, or fails its test.
package bpftest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/testrun"
)

// Options are the knobs of the object; the zero value is one flow table of
// 65,536 entries on Ethernet with nothing optional on.
type Options struct {
	IdleNs, ActiveNs uint64 // 0: 120 s, 1800 s
	LinkType         uint32 // used as it is: 0 is LINKTYPE_NULL
	Accounting       bpf.Accounting
	Statistics       bool
	TCPStatistics    bool
	IPStatistics     bool
	TCPEnd           bool
	SPLT             uint8
	Samples          uint8
	SampleOctets     uint32 // 0: 16384
	NoTunnels        bool
	RejectAll        bool   // a filter that no frame matches
	MaxFlows         uint32 // 0: 65,536
	RingOctets       uint32 // 0: 64 MiB
	Copied           bool   // the object for a process without CAP_PERFMON
	NoPrealloc       bool   // the table takes memory as flows open
	// Set sets variables of the object, after all else.
	Set map[string]any
}

// Meter is a loaded instance of the object, in no interface's path.
type Meter struct {
	coll  *ebpf.Collection
	ring  *ringbuf.Reader
	sweep *testrun.Sweep
	// statistics tells whether records count regressions.
	statistics bool
	tb         testing.TB // nil: not of a test
	read       tally
	in         []byte     // a frame behind its metadata
	iter       *link.Iter // the sweep's, once it was needed
	out        []byte

	Events
}

// New loads the object, or fails the test: without the privilege to load, there
// is nothing to test and no green run to be had.
func New(tb testing.TB, o Options) *Meter {
	tb.Helper()
	m, err := Load(o)
	if err != nil {
		tb.Fatalf("%v (this test needs CAP_BPF and CAP_NET_ADMIN: run as root)", err)
	}
	m.tb = tb
	tb.Cleanup(m.Close)
	return m
}

// Load loads the object for whoever is no test. The caller closes it, and settles
// its ledger before.
func Load(o Options) (*Meter, error) {
	spec, err := o.Spec()
	if err != nil {
		return nil, err
	}
	coll, err := o.collection(spec)
	if err != nil {
		return nil, fmt.Errorf("load the metering programs: %w", err)
	}
	ring, err := ringbuf.NewReader(coll.Maps[bpf.WeirMapEvents])
	if err != nil {
		coll.Close()
		return nil, fmt.Errorf("read the ring buffer: %w", err)
	}
	sweep := testrun.NewSweep(coll.Maps[bpf.WeirMapFlows], coll.Programs[bpf.WeirProgWeirSweep])
	return &Meter{coll: coll, ring: ring, sweep: sweep, statistics: o.Statistics, Events: Events{Layout: o.Groups().Layout()}}, nil
}

// collection loads it with the capabilities that it is made for.
func (o Options) collection(spec *ebpf.CollectionSpec) (coll *ebpf.Collection, err error) {
	if !o.Copied {
		return ebpf.NewCollection(spec)
	}
	dropped := Restrict([]int{unix.CAP_BPF, unix.CAP_NET_ADMIN}, func() { coll, err = ebpf.NewCollection(spec) })
	return coll, errors.Join(err, dropped)
}

// Spec is the object with the options set.
func (o Options) Spec() (*ebpf.CollectionSpec, error) {
	load := bpf.LoadWeir
	if o.Copied {
		load = bpf.LoadWeirCopied
	}
	spec, err := load()
	if err != nil {
		return nil, err
	}
	if err := bpf.SetGroups(spec, o.Groups()); err != nil {
		return nil, err
	}
	variables := map[string]any{
		bpf.WeirVarCfgIdleNs:        orDefault(o.IdleNs, uint64(120*time.Second)),
		bpf.WeirVarCfgActiveNs:      orDefault(o.ActiveNs, uint64(1800*time.Second)),
		bpf.WeirVarCfgLinkType:      o.LinkType,
		bpf.WeirVarCfgSampleOctets:  orDefault(o.SampleOctets, 16384),
		bpf.WeirVarCfgSamples:       o.Samples,
		bpf.WeirVarCfgAccounting:    uint8(o.Accounting),
		bpf.WeirVarCfgDecodeTunnels: !o.NoTunnels,
		bpf.WeirVarCfgFilter:        o.RejectAll,
		bpf.WeirVarCfgMetadataClock: true,
	}
	maps.Copy(variables, o.Set)
	for name, value := range variables {
		if err := spec.Variables[name].Set(value); err != nil {
			return nil, fmt.Errorf("set %s: %w", name, err)
		}
	}
	spec.Maps[bpf.WeirMapFlows].MaxEntries = orDefault(o.MaxFlows, 65536)
	if o.NoPrealloc {
		spec.Maps[bpf.WeirMapFlows].Flags |= unix.BPF_F_NO_PREALLOC
	}
	spec.Maps[bpf.WeirMapEvents].MaxEntries = orDefault(o.RingOctets, 64<<20)
	// No test runs them here, and each takes the verifier as long as all the rest.
	delete(spec.Programs, bpf.WeirProgWeirTcxIn)
	delete(spec.Programs, bpf.WeirProgWeirTcxOut)
	if o.RejectAll {
		rejectAll(spec.Programs[bpf.WeirProgWeirXdpIn].Instructions)
	}
	return spec, nil
}

// Groups are those of the options.
func (o Options) Groups() bpf.Groups {
	return bpf.Groups{TCPEnd: o.TCPEnd, IPStatistics: o.IPStatistics, TCPStatistics: o.TCPStatistics, Statistics: o.Statistics, SPLT: int(o.SPLT)}
}

// rejectAll makes the filter's function return 0, in as many instructions as it
// had.
func rejectAll(program asm.Instructions) {
	inside := false
	for i := range program {
		if f := btf.FuncMetadata(&program[i]); f != nil {
			inside = f.Name == "packet_filter"
		}
		if !inside {
			continue
		}
		with := asm.Mov.Imm(asm.R0, 0)
		if program[i].OpCode.JumpOp() == asm.Exit {
			with = asm.Return()
		}
		with.Metadata = program[i].Metadata
		program[i] = with
	}
}

// Close settles the ledger, which fails the test if it does not close, and
// unloads the object. The end of the test does it too.
func (m *Meter) Close() {
	if m.coll == nil {
		return
	}
	if m.tb != nil {
		m.tb.Helper()
		if l, err := m.Settle(); err != nil {
			m.tb.Errorf("the ledger does not close: %v\n%+v", err, l)
		}
	}
	_ = m.ring.Close()
	if m.iter != nil {
		_ = m.iter.Close()
	}
	m.coll.Close()
	m.coll = nil
}

func orDefault[T uint32 | uint64](v, d T) T {
	if v == 0 {
		return d
	}
	return v
}

// MinFrame is the shortest frame that BPF_PROG_TEST_RUN takes.
const MinFrame = 14

// Frame runs the XDP program on a frame with its time and original length in
// the metadata, and returns the verdict. A frame that came out changed is an
// error.
func (m *Meter) Frame(data []byte, timeNs uint64, length uint32) (uint32, error) {
	const meta = 16
	size := meta + len(data)
	m.in = slices.Grow(m.in[:0], size)[:size]
	binary.NativeEndian.PutUint64(m.in, timeNs)
	binary.NativeEndian.PutUint32(m.in[8:], length)
	copy(m.in[meta:], data)
	m.out = slices.Grow(m.out[:0], size+256)[:size+256]
	ctx := struct{ Data, DataEnd, DataMeta, Ingress, RxQueue, Egress uint32 }{meta, uint32(size), 0, 0, 0, 0}
	run := ebpf.RunOptions{Data: m.in, DataOut: m.out, Context: ctx, Repeat: 1}
	verdict, err := m.coll.Programs[bpf.WeirProgWeirXdpIn].Run(&run)
	if err != nil {
		return 0, fmt.Errorf("run weir_xdp_in on %d octets: %w", len(data), err)
	}
	if !bytes.Equal(run.DataOut, m.in) && !bytes.Equal(run.DataOut, data) {
		return verdict, fmt.Errorf("frame of %d octets came out changed", len(data))
	}
	return verdict, nil
}

// Sweep sweeps by the table's keys, to its end or until the ring is full.
func (m *Meter) Sweep(s bpf.Sweep) (bpf.Sweep, error) {
	return m.SweepInBatches(s, SweepBatchMax, nil)
}

// SweepBatchMax is how many keys a batch takes otherwise.
const SweepBatchMax = len(bpf.SweepPacket{}.Keys)

// SweepInBatches does so in batches of so many keys, and calls between, unless it is nil,
// after each. No bucket of the table may hold more.
func (m *Meter) SweepInBatches(s bpf.Sweep, keys int, between func()) (bpf.Sweep, error) {
	m.sweep.SetBatch(keys)
	if err := m.sweep.Begin(s); err != nil {
		return s, fmt.Errorf("sweep the flow table: %w", err)
	}
	for {
		s, err := m.sweep.Piece()
		if err != nil {
			return s, fmt.Errorf("sweep the flow table: %w", err)
		}
		if between != nil {
			between()
		}
		if s.More == 0 || s.Deferred != 0 {
			return s, nil
		}
	}
}

// Done tells the meter that flows need no more samples.
func (m *Meter) Done(done ...bpf.DPIDone) error {
	in := unsafe.Slice((*byte)(unsafe.Pointer(&done[0])), len(done)*int(unsafe.Sizeof(done[0])))
	_, err := m.coll.Programs["weir_dpi_done"].Run(&ebpf.RunOptions{Data: in, Repeat: 1})
	return err
}

// Drain reads everything in the ring buffer into Records, Packets and Samples.
func (m *Meter) Drain() error {
	m.ring.SetDeadline(time.Unix(1, 0))
	var rec ringbuf.Record
	for {
		err := m.ring.ReadInto(&rec)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := m.add(rec.RawSample); err != nil {
			return err
		}
	}
}

// add takes one event of the ring, and counts it.
func (m *Meter) add(raw []byte) error {
	if err := m.Add(raw); err != nil {
		return err
	}
	switch bpf.WeirEventKind(binary.NativeEndian.Uint32(raw)) {
	case bpf.WeirEventKindEVENT_RECORD:
		m.read.record(&m.Records[len(m.Records)-1])
	case bpf.WeirEventKindEVENT_PACKET:
		m.read.packet(&m.Packets[len(m.Packets)-1])
	case bpf.WeirEventKindEVENT_SAMPLE:
		m.read.samples++
	}
	return nil
}

// Finish closes everything at the time nowNs and drains.
func (m *Meter) Finish(nowNs uint64) error {
	for {
		s, err := m.Sweep(bpf.Sweep{NowNs: nowNs, Mode: uint32(bpf.WeirSweepModeSWEEP_FORCED)})
		if err != nil {
			return err
		}
		if err := m.Drain(); err != nil {
			return err
		}
		if s.Open == 0 && s.Closed == 0 && s.Deferred == 0 && s.More == 0 {
			return nil
		}
	}
}

// HoldDeleting puts an entry under the key into the state in which the sweep
// leaves it between two instructions: marked, and not yet deleted. The next
// sweep ends it.
func (m *Meter) HoldDeleting(key bpf.Key) error {
	return HoldDeleting(m.coll.Maps[bpf.WeirMapFlows], key)
}

// HoldDeleting does it in the flow table of a test's own making.
func HoldDeleting(flows *ebpf.Map, key bpf.Key) error {
	return putState(flows, key, make([]byte, flows.ValueSize()), bpf.WeirEntryStateENTRY_DELETING)
}

// putState puts an entry in a state into a flow table.
func putState(flows *ebpf.Map, key bpf.Key, entry []byte, state bpf.WeirEntryState) error {
	entry[unsafe.Offsetof(bpf.WeirFlowEntry{}.State)] = uint8(state)
	if err := flows.Put(key, entry); err != nil {
		return fmt.Errorf("put an entry into the flow table: %w", err)
	}
	return nil
}

// HoldVacant inserts an entry under the key as a packet does that has not opened it yet.
func (m *Meter) HoldVacant(key bpf.Key) error {
	flows := m.coll.Maps[bpf.WeirMapFlows]
	entry := make([]byte, flows.ValueSize())
	(*bpf.WeirFlowEntry)(unsafe.Pointer(&entry[0])).Record.Key = key
	return putState(flows, key, entry, bpf.WeirEntryStateENTRY_VACANT)
}

// HoldSplit puts a closed entry under the key into the state in which a packet
// leaves it between sending a part of its flow and opening the next.
func (m *Meter) HoldSplit(key bpf.Key) error {
	flows := m.coll.Maps[bpf.WeirMapFlows]
	entry := make([]byte, flows.ValueSize())
	if err := flows.Lookup(key, entry); err != nil {
		return fmt.Errorf("look the entry up: %w", err)
	}
	return putState(flows, key, entry, bpf.WeirEntryStateENTRY_SPLIT)
}

// Program is a loaded program, for benchmarks.
func (m *Meter) Program(name string) *ebpf.Program { return m.coll.Programs[name] }

// Map is a map of the loaded object, for what only a test may do to it.
func (m *Meter) Map(name string) *ebpf.Map { return m.coll.Maps[name] }
