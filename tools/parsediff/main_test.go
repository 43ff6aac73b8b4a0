package main

import (
	"testing"

	"github.com/weirflow/weir/tools/soak"
)

func TestF1DecodersAgreeOnMutants(t *testing.T) {
	frames := 100_001
	if soak.Full() {
		frames = 10_000_001
	}
	r, err := run(frames, 1, []string{"../../testdata"})
	if err != nil {
		t.Fatal(err)
	}
	l := &r.ledger
	if r.frames != frames || l.ObservedPackets != uint64(frames) {
		t.Errorf("%d frames compared, %d observed by the kernel, want %d", r.frames, l.ObservedPackets, frames)
	}
	if share := float64(l.MeteredPackets) / float64(frames); share < 0.25 || share > 0.75 {
		t.Errorf("%d of %d mutants were metered: too few are still frames, or too few are changed", l.MeteredPackets, frames)
	}
	t.Logf("measured: %d mutated frames, 0 differences", r.frames)
}
