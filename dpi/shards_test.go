package dpi_test

import (
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/dpi"
)

// keyOf gives the flows of a script ends of their own.
func keyOf(id uint64) (k bpf.Key) {
	copy(k.Addr[0][12:], []byte{192, 0, 2, byte(id % 7)})
	copy(k.Addr[1][12:], []byte{198, 51, 100, byte(id % 11)})
	k.Port[0] = uint16(id)
	return k
}

func TestSeveralProcessesShareTheFlows(t *testing.T) {
	w := start(t, dpi.Options{Command: []string{"fake"}, Workers: 3, MaxFlows: 10})
	if pids := children(t, os.Getpid()); len(pids) != 3 {
		t.Fatalf("children: %v", pids)
	}
	s := &script{items: make([]item, 5000), key: keyOf, samples: w.Sample}
	for i := range s.items {
		s.items[i].samples = [][]byte{[]byte("one"), []byte("two")}
	}
	s.items[2500].samples = [][]byte{crashPacket}
	o := drain(t, w.Wrap(s, s))
	o.inOrder(t, 5000)
	crashed := 0
	for id, l7 := range o.labels {
		if l7.Reason != "" {
			crashed++
		} else if l7.ApplicationName != own(id, 2) {
			t.Fatalf("flow %d was labelled %q", id, l7.ApplicationName)
		}
	}
	stats := w.Stats()
	if stats.Crashes != 1 || crashed == 0 || crashed > 4000 || stats.Flows != 5000 || stats.Started < 3 || !stats.Confined {
		t.Errorf("%d flows are without a label, %+v", crashed, stats)
	}
}

// TestSeveralProcessesGiveTheSameLabelsTwiceAndFewOthers holds the labels of 2 and 4
// processes against those of one. Each goes by the flows that it sees, so that some
// may differ; but always the same ones.
func TestSeveralProcessesGiveTheSameLabelsTwiceAndFewOthers(t *testing.T) {
	needNDPI(t)
	one := labelsWith(t, 1)
	for _, workers := range []int{2, 4} {
		several := labelsWith(t, workers)
		labelsWith(t, workers).equal(t, fmt.Sprintf("%d processes for the second time", workers), several)
		others := 0
		for i := range one {
			if _, same := slices.BinarySearch(several, one[i]); !same {
				others++
			}
		}
		t.Logf("measured: of %d flows %d have another label of %d processes", len(one), others, workers)
		if len(one) < 100 || others > len(one)/100 {
			t.Errorf("of %d flows %d have another label of %d processes", len(one), others, workers)
		}
	}
}

// labelsWith are the labels of every capture, one after the other, by several
// processes; sorted.
func labelsWith(t *testing.T, workers int) (all labelsByFlow) {
	t.Helper()
	w := start(t, dpi.Options{Workers: workers})
	for _, path := range captures(t) {
		for _, list := range load(t, path) {
			m := fileMeter(t, list, w.Sample)
			for f, err := range w.Wrap(m, m).Flows(t.Context()) {
				if err != nil {
					t.Error(err)
					continue
				}
				all.add(f)
			}
		}
	}
	if s := w.Stats(); s.Crashes+s.Hangs > 0 || s.Flows != uint64(len(all)) {
		t.Errorf("%d processes: %+v over %d flows", workers, s, len(all))
	}
	w.Close()
	slices.Sort(all)
	return all
}
