package bpf_test

import (
	"testing"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/bpftest"
)

// A flow that has 2^33 - 1 packets and 2^40 - 72 octets gets one more, and is
// right in its record.
func TestA10CountersDoNotWrap(t *testing.T) {
	m, err := bpftest.Load(bpftest.Options{LinkType: 1, Statistics: true})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	const packets, octets = 1 << 33, 1 << 40
	f := udp(t, 1, 2, 1000, 2, 30)
	send(t, m, f, time.Second)
	preset(t, m.Map(bpf.WeirMapFlows), func(r *bpf.WeirFlowCore) {
		r.Dir[0].Packets, r.Dir[0].Octets = packets-1, octets-uint64(len(f))
	})
	send(t, m, f, 2*time.Second)
	finish(t, m, 3*time.Second)
	if len(m.Records) != 1 || m.Records[0].Dir[0].Packets != packets || m.Records[0].Dir[0].Octets != octets {
		t.Fatalf("records %+v; want one of %d packets, %d octets", m.Records, packets, octets)
	}
	t.Logf("measured: a flow of %d packets and %d octets is right", packets, octets)
}

// preset changes the record of the table's only entry.
func preset(t *testing.T, flows *ebpf.Map, change func(*bpf.WeirFlowCore)) {
	t.Helper()
	var key bpf.Key
	entry := make([]byte, flows.ValueSize())
	if err := flows.NextKey(nil, &key); err != nil {
		t.Fatal(err)
	}
	if err := flows.Lookup(key, entry); err != nil {
		t.Fatal(err)
	}
	r := &(*bpf.WeirFlowEntry)(unsafe.Pointer(&entry[0])).Record
	if r.Key != key || r.Dir[0].Packets != 1 {
		t.Fatalf("the entry does not hold the record where it is looked for: %x", entry)
	}
	change(r)
	if err := flows.Put(key, entry); err != nil {
		t.Fatal(err)
	}
}

// The flow table is a plain hash, and no map's hash begins from a seed that is
// known: no sender can aim at one bucket.
func TestA7TablesHaveSeedsOfTheirOwn(t *testing.T) {
	spec, err := bpf.LoadWeir()
	if err != nil {
		t.Fatal(err)
	}
	hashes := 0
	for name, m := range spec.Maps {
		if m.Flags&unix.BPF_F_ZERO_SEED != 0 {
			t.Errorf("map %s begins from seed 0", name)
		}
		switch m.Type {
		case ebpf.Hash:
			hashes++
		case ebpf.LRUHash, ebpf.LRUCPUHash:
			t.Errorf("map %s is an LRU hash, which forgets without a word", name)
		}
	}
	if hashes == 0 {
		t.Error("there is no hash among the maps")
	}
	t.Logf("measured: %d hash, none LRU, none of seed 0", hashes)
}

// Map flags are part of what the program may do.
func TestH8MapsHaveNoFlagsButThoseOnTheList(t *testing.T) {
	spec, err := bpf.LoadWeir()
	if err != nil {
		t.Fatal(err)
	}
	for name, m := range spec.Maps {
		allowed := uint32(0)
		switch name {
		case ".rodata":
			allowed = unix.BPF_F_RDONLY_PROG
		}
		if m.Flags&^allowed != 0 {
			t.Errorf("map %s has flags %#x, want none but %#x", name, m.Flags, allowed)
		}
	}
	t.Logf("measured: %d maps have no flags but read-only data", len(spec.Maps))
}
