package main

import "testing"

func TestF1DecodersAgreeOnMutants(t *testing.T) {
	const frames = 100_001
	r, err := run(frames, 1, []string{"../../testdata"})
	if err != nil {
		t.Fatal(err)
	}
	l := &r.ledger
	if r.frames != frames || l.ObservedPackets != frames {
		t.Errorf("%d frames compared, %d observed by the kernel, want %d", r.frames, l.ObservedPackets, frames)
	}
	if 4*l.MeteredPackets < frames || 4*l.MeteredPackets > 3*frames {
		t.Errorf("%d of %d mutants were metered: too few are still frames, or too few are changed", l.MeteredPackets, frames)
	}
}
