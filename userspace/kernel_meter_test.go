package userspace

import (
	"testing"

	"github.com/cilium/ebpf"
	ebpflink "github.com/cilium/ebpf/link"

	"github.com/weirflow/weir/bpf"
)

// kernelMeter is the metering programs, loaded and shown frames by test runs at
// the kernel's own time.
type kernelMeter struct {
	t        *testing.T
	coll     *ebpf.Collection
	iterator *ebpflink.Iter
	// invented is set by a test that makes records up, for which no packet was
	// shown: its ledger cannot close.
	invented bool
}

// ringOctets is a ring with room for everything that a test makes.
const ringOctets = 1 << 20

func newKernelMeter(t *testing.T, c Config, ring uint32) *kernelMeter {
	t.Helper()
	spec, err := bpf.LoadWeir()
	if err != nil {
		t.Fatal(err)
	}
	if err := bpf.SetGroups(spec, c.groups()); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]any{
		bpf.WeirVarCfgIdleNs:       uint64(c.IdleTimeout),
		bpf.WeirVarCfgActiveNs:     uint64(c.ActiveTimeout),
		bpf.WeirVarCfgSamples:      uint8(c.Samples),
		bpf.WeirVarCfgSampleOctets: uint32(c.SampleOctets),
		bpf.WeirVarCfgPoint:        uint8(7),
	} {
		if err := spec.Variables[name].Set(value); err != nil {
			t.Fatal(err)
		}
	}
	spec.Maps[bpf.WeirMapFlows].MaxEntries = uint32(c.MaxFlows)
	spec.Maps[bpf.WeirMapEvents].MaxEntries = ring
	// No test runs them here, and each takes the verifier as long as all the rest.
	delete(spec.Programs, bpf.WeirProgWeirTcxIn)
	delete(spec.Programs, bpf.WeirProgWeirTcxOut)
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		t.Fatalf("load the metering programs: %v (this test needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN: run as root)", err)
	}
	t.Cleanup(coll.Close)
	iterator, err := ebpflink.AttachIter(ebpflink.IterOptions{Program: coll.Programs[bpf.WeirProgWeirSweepWalk], Map: coll.Maps[bpf.WeirMapFlows]})
	if err != nil {
		t.Fatalf("attach the sweep's iterator: %v (this test needs a kernel with BTF)", err)
	}
	t.Cleanup(func() { _ = iterator.Close() })
	return &kernelMeter{t: t, coll: coll, iterator: iterator}
}

func (k *kernelMeter) handles() bpf.Handles {
	return bpf.Handles{
		Events:   k.coll.Maps[bpf.WeirMapEvents],
		Flows:    k.coll.Maps[bpf.WeirMapFlows],
		Ledgers:  k.coll.Maps[bpf.WeirMapLedgers],
		Progress: k.coll.Maps[bpf.WeirMapProgress],
		Sweep:    k.coll.Programs[bpf.WeirProgWeirSweep],
		DPIDone:  k.coll.Programs[bpf.WeirProgWeirDpiDone],
		Points:   []bpf.Point{{Index: 7, Name: "test0"}},

		SweepIter:  k.iterator,
		SweepState: k.coll.Maps[bpf.WeirMapSweepState],
		Object:     bpf.ObjectHash(),
	}
}

// withoutIterator has the table swept by its keys, as where the kernel or the process
// has not what the iterator takes.
func (k *kernelMeter) withoutIterator() *kernelMeter {
	k.iterator = nil
	return k
}

// sweptBy settles how a meter's table is swept.
type sweptBy func(*kernelMeter) *kernelMeter

func bothWays(t *testing.T, test func(*testing.T, sweptBy)) {
	t.Run("by the iterator", func(t *testing.T) { test(t, func(k *kernelMeter) *kernelMeter { return k }) })
	t.Run("by keys", func(t *testing.T) { test(t, (*kernelMeter).withoutIterator) })
}

// consumer is a Consumer whose ledger must close at the end of the test.
func (k *kernelMeter) consumer(c Config, opts ...Option) *Consumer {
	k.t.Helper()
	consumer, err := NewConsumer(k.handles(), append([]Option{WithConfig(c)}, opts...)...)
	if err != nil {
		k.t.Fatal(err)
	}
	if k.iterator != nil {
		consumer.sweeper.sparse = 0 // by the iterator, however few flows there are
	}
	k.t.Cleanup(func() {
		if l := consumer.Ledger(); l.Check() != nil && !k.invented {
			k.t.Errorf("%v\n%+v", l.Check(), l)
		}
		_ = consumer.Close()
	})
	return consumer
}
