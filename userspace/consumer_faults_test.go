package userspace

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/weirflow/weir/bpf"
)

// The programs refuse to be told that samples may stop: that costs samples, and
// every flow comes out all the same, after a detachment, with the error last.
func TestAnErrorOfTheFeedbackLosesNoFlow(t *testing.T) {
	c := liveConfig()
	k := newKernelMeter(t, c, ringOctets)
	k.showAll(50, 3)
	h := k.handles()
	closed, err := h.DPIDone.Clone()
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	h.DPIDone = closed
	detached := false
	consumer, err := NewConsumer(h, WithConfig(c), WithDetach(func() error { detached = true; return nil }))
	if err != nil {
		t.Fatal(err)
	}
	defer consumer.Close()
	consumer.sampled.keys[1] = bpf.DPIDone{FlowId: 1}
	consumer.StopSamples(1, 0)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	flows, told := 0, error(nil)
	for f, err := range consumer.Flows(ctx) {
		if err != nil {
			told = err
			continue
		}
		if told != nil {
			t.Error("a flow came after the error")
		}
		flows += int(f.Packets())
	}
	ledger := consumer.Ledger()
	if flows != 150 || !detached || told == nil || ledger.Check() != nil || ledger.Open.Packets != 0 {
		t.Errorf("%d packets of 150 in flows, detached %v, error %v, ledger %v", flows, detached, told, ledger.Check())
	}
}

func TestTheLedgerClosesAfterABreak(t *testing.T) {
	c := liveConfig()
	c.IdleTimeout = time.Millisecond
	k := newKernelMeter(t, c, ringOctets)
	k.showAll(50, 1)
	time.Sleep(5 * time.Millisecond)
	consumer := k.consumer(c)
	for range consumer.Flows(t.Context()) {
		break
	}
	ledger := consumer.Ledger()
	if err := ledger.Check(); err != nil || ledger.Open.Packets == 0 {
		t.Errorf("open %v: %v", ledger.Open, err)
	}
}

// Flows expire while nobody reads the ring: their samples may not take the room
// that the records need.
func TestSamplesLeaveTheRingToRecords(t *testing.T) {
	const flows, burst = 60, 8
	for _, samples := range []int{0, 20} {
		c := liveConfig()
		c.IdleTimeout, c.Samples = 50*time.Millisecond, samples
		k := newKernelMeter(t, c, 128<<10)
		consumer := k.consumer(c, WithSamples(func(*Sample) {}))
		k.showAll(flows, burst)
		time.Sleep(60 * time.Millisecond)
		k.showAll(flows, burst)
		for _, err := range consumer.Flows(drained(t)) {
			if err != nil {
				t.Fatal(err)
			}
		}
		ledger := consumer.Ledger()
		if ledger.Lost.Packets != 0 || ledger.Deferred != 0 || ledger.Flows != 2*flows {
			t.Errorf("%d samples a flow: %d packets lost, %d closings put off, %d flows", samples, ledger.Lost.Packets, ledger.Deferred, ledger.Flows)
		}
		if samples > 0 && ledger.SamplesLost == 0 {
			t.Error("no sample was lost: the ring was too large to show anything")
		}
	}
}

// damagedAfter is a source that ends in damage.
type damagedAfter struct{ packets, read int }

var errDamaged = errors.New("damaged")

func (s *damagedAfter) ReadPacket(p *CapturedPacket) error {
	if s.read == s.packets {
		return errDamaged
	}
	s.read++
	data := []byte{
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0,
		0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2,
		0, 1, 0, byte(s.read), 0, 8, 0, 0,
	}
	*p = CapturedPacket{Data: data, Length: uint32(len(data)), LinkType: 1, TimeNs: uint64(s.read)}
	return nil
}

func TestDamageIsToldHoweverOftenTheCallerBreaksOff(t *testing.T) {
	m, err := NewMeter(&damagedAfter{packets: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if l := m.Ledger(); l.Check() != nil {
			t.Error(l.Check())
		}
	}()
	flows, told := 0, 0
	for range 6 {
		for f, err := range m.Flows(t.Context()) {
			if f != nil {
				flows++
			}
			if errors.Is(err, errDamaged) {
				told++
			}
			break
		}
	}
	if flows != 3 || told != 1 {
		t.Errorf("%d flows of 3, damage told %d times", flows, told)
	}
}
