package bpf_test

import (
	"encoding/binary"
	"reflect"
	"testing"

	"github.com/cilium/ebpf/btf"

	"github.com/weirflow/weir/bpf"
)

// groupsOf are the groups of a number's bits.
func groupsOf(set int) bpf.Groups {
	return bpf.Groups{TCPEnd: set&1 != 0, IPStatistics: set&2 != 0, TCPStatistics: set&4 != 0, Statistics: set&8 != 0, SPLT: set >> 4 * bpf.SPLTMax}
}

const groupSets = 1 << 5

// The programs, the map's own description of its values, and Go agree on how large an
// entry and an event are, in both objects.
func TestEntriesAreAsLargeAsTheirGroups(t *testing.T) {
	for _, o := range objects {
		spec, err := o.load()
		if err != nil {
			t.Fatal(err)
		}
		for set := range groupSets {
			if err := bpf.SetGroups(spec, groupsOf(set)); err != nil {
				t.Fatal(err)
			}
			layout := groupsOf(set).Layout()
			table, vacant := spec.Maps[bpf.WeirMapFlows], spec.Maps[bpf.WeirMapVacant]
			described, err := btf.Sizeof(table.Value)
			if err != nil {
				t.Fatal(err)
			}
			record := int(binary.NativeEndian.Uint32(spec.Variables[bpf.WeirVarCfgRecordOctets].Value))
			for what, octets := range map[string]int{"value": int(table.ValueSize), "described": described, "vacant": int(vacant.ValueSize)} {
				if octets != layout.Entry() {
					t.Errorf("groups %05b%s: %s has %d octets, Go expects %d", set, o.suffix, what, octets, layout.Entry())
				}
			}
			if record+8 != layout.Event() {
				t.Errorf("groups %05b%s: a record has %d octets, Go expects events of %d", set, o.suffix, record, layout.Event())
			}
		}
	}
}

// An object whose groups nobody has set keeps none.
func TestAnObjectAsItIsKeepsTheCore(t *testing.T) {
	for _, o := range objects {
		spec, err := o.load()
		if err != nil {
			t.Fatal(err)
		}
		layout := groupsOf(0).Layout()
		octets := binary.NativeEndian.Uint32(spec.Variables[bpf.WeirVarCfgRecordOctets].Value)
		if int(spec.Maps[bpf.WeirMapFlows].ValueSize) != layout.Entry() || int(octets)+8 != layout.Event() {
			t.Errorf("values of %d octets, records of %d%s; Go expects %d, %d", spec.Maps[bpf.WeirMapFlows].ValueSize, octets, o.suffix, layout.Entry(), layout.Event()-8)
		}
	}
}

// Records are compared as bytes: between their fields there are none that nobody sets.
func TestRecordsHaveNoPadding(t *testing.T) {
	r := reflect.TypeFor[bpf.Record]()
	end := uintptr(0)
	for i := range r.NumField() {
		f := r.Field(i)
		if f.Offset != end {
			t.Errorf("%d octets in front of %s belong to no field", f.Offset-end, f.Name)
		}
		end = f.Offset + f.Type.Size()
	}
	if end != r.Size() {
		t.Errorf("%d octets at the end belong to no field", r.Size()-end)
	}
}

// What the programs of one set of groups send is nothing to a reader of another, but for
// the sets that are of one size: those the configuration tells apart.
func TestG7EventsOfOtherGroupsAreRefused(t *testing.T) {
	sizes := map[int]bool{}
	for set := range groupSets {
		layout := groupsOf(set).Layout()
		sizes[layout.Event()] = true
		var r bpf.Record
		for other := range groupSets - 1 { // the last is what a process without CAP_PERFMON sends
			o := groupsOf(other).Layout()
			if got, want := layout.ReadEvent(&r, make([]byte, o.Event())), o.Event() == layout.Event(); got != want {
				t.Errorf("groups %05b take an event of groups %05b: %v, want %v", set, other, got, want)
			}
		}
	}
	if len(sizes) != groupSets {
		t.Errorf("%d sets of groups have events of %d sizes", groupSets, len(sizes))
	}
}
