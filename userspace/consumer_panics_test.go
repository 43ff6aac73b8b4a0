package userspace

import (
	"errors"
	"testing"
)

// What a program gives a Consumer may panic too: what is metered is handed out all the
// same, and the ledger closes.
func TestC5PanicsBesideALiveMeterCostTheirFeatureOnly(t *testing.T) {
	const flows, packets = 20, 3
	c := liveConfig()
	c.Samples, c.SampleOctets = 1, 64
	k := newKernelMeter(t, c, ringOctets)
	k.showAll(flows, packets)
	consumer := k.consumer(c, WithSamples(func(*Sample) { panic("samples") }), WithNIC(func() *Range { panic("NIC") }),
		WithDetach(func() error { panic("detach") }))
	metered, told := uint64(0), (*PanicError)(nil)
	for f, err := range consumer.Flows(drained(t)) {
		if err != nil {
			if !errors.As(err, &told) {
				t.Fatal(err)
			}
			continue
		}
		metered += f.Packets()
	}
	l := consumer.Ledger()
	if err := l.Check(); err != nil || metered != flows*packets || told == nil || told.Value != "detach" {
		t.Errorf("%d packets in flows, %v, %v", metered, told, err)
	}
	if l.Panics.Samples != flows || l.Panics.NIC == 0 || l.NIC != nil {
		t.Errorf("panics %+v, interface %v", l.Panics, l.NIC)
	}
	t.Logf("measured: live: %d packets, %d in flows, %d panics over samples, %d over the interface's count, 1 of detaching", flows*packets, metered, l.Panics.Samples, l.Panics.NIC)
}
