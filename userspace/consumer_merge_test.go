package userspace

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/weirflow/weir/bpf"
)

// mergeStage is a consumer that a test drives step by step. Flow 0 fills the
// table, so that flow 1 finds no place until it is gone.
type mergeStage struct {
	*Consumer
	k     *kernelMeter
	flows []string // n of show, × packets, and whether the id is the kernel's
}

func newMergeStage(t *testing.T) *mergeStage {
	c := liveConfig()
	c.MaxFlows, c.Statistics, c.SPLT = 1, true, 8
	k := newKernelMeter(t, c, ringOctets)
	s := &mergeStage{Consumer: k.consumer(c), k: k}
	s.yield = func(f *Flow, _ error) bool {
		wholeStatistics(t, &f.Record)
		s.flows = append(s.flows, fmt.Sprintf("%d×%d kernel's:%v", f.DestinationPort(), f.Packets(), f.Record.FlowId < overflowFlowIDs))
		return true
	}
	k.show(0)
	for range 3 {
		k.show(1)
	}
	return s
}

// wholeStatistics checks that sums, gaps and vectors are of all the record's
// packets, which all go forward and have the same length.
func wholeStatistics(t *testing.T, r *bpf.Record) {
	t.Helper()
	d, want := &r.Dir[0], [bpf.SPLTMax]uint32{}
	for i := range d.Packets {
		want[i] = frameOctets
	}
	if d.SizeSq != d.Packets*frameOctets*frameOctets || d.IatUs != r.IatUs || r.IatUs != d.LastNs/1000-d.FirstNs/1000 || r.SpltSize != want {
		t.Errorf("statistics of %d packets: %+v", d.Packets, r)
	}
}

func (s *mergeStage) do(steps ...func() error) {
	s.k.t.Helper()
	for i, step := range steps {
		if err := step(); err != nil {
			s.k.t.Fatalf("step %d: %v", i, err)
		}
	}
}

// makeRoom closes flow 0, and deletes it.
func (s *mergeStage) makeRoom() error {
	for range 2 {
		if err := s.sweep(bpf.WeirSweepModeSWEEP_FORCED); err != nil {
			return err
		}
	}
	return s.empty()
}

func (s *mergeStage) show(n int) func() error {
	return func() error { s.k.show(n); return nil }
}

// expire closes what is metered in user space.
func (s *mergeStage) expire() error {
	for i := s.overflow.quiet.first(); i != 0; i = s.overflow.quiet.first() {
		s.overflow.close(i, bpf.WeirFlowEndReasonEND_IDLE, s.overflow.clock)
	}
	s.overflow.handOut()
	return nil
}

func (s *mergeStage) sweeps() error {
	for range 6 {
		for _, p := range s.held.queue {
			p.nextNs = 0 // every sweep looks
		}
		if err := errors.Join(s.sweep(bpf.WeirSweepModeSWEEP_IDLE), s.empty()); err != nil {
			return err
		}
	}
	return nil
}

func TestAFlowThatFindsAPlaceLaterIsOneFlow(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps func(*mergeStage) []func() error
		want  []string
	}{
		{"metered in user space until the end", func(s *mergeStage) []func() error {
			return []func() error{s.makeRoom, s.sweeps}
		}, []string{"0×1 kernel's:true", "1×3 kernel's:false"}},
		{"in the kernel before it expires here", func(s *mergeStage) []func() error {
			return []func() error{s.makeRoom, s.show(1), s.show(1), s.sweeps}
		}, []string{"0×1 kernel's:true", "1×5 kernel's:true"}},
		{"still in the kernel when it expires here", func(s *mergeStage) []func() error {
			return []func() error{s.makeRoom, s.show(1), s.show(1), s.expire, s.sweeps}
		}, []string{"0×1 kernel's:true", "1×5 kernel's:true"}},
		{"closed in the kernel, not read yet, when it expires here", func(s *mergeStage) []func() error {
			closeThere := func() error { return s.sweep(bpf.WeirSweepModeSWEEP_FORCED) }
			return []func() error{s.makeRoom, s.show(1), s.show(1), closeThere, s.expire, s.empty}
		}, []string{"0×1 kernel's:true", "1×5 kernel's:true"}},
		{"closed in the kernel by the sweep that looks", func(s *mergeStage) []func() error {
			closeThere := func() error {
				for _, p := range s.held.queue {
					p.nextNs = 0
				}
				return s.sweep(bpf.WeirSweepModeSWEEP_FORCED)
			}
			return []func() error{s.makeRoom, s.show(1), s.show(1), s.expire, s.sweeps, closeThere, closeThere, s.empty}
		}, []string{"0×1 kernel's:true", "1×5 kernel's:true"}},
		{"expired here, and nothing in the kernel", func(s *mergeStage) []func() error {
			return []func() error{s.makeRoom, s.expire, s.sweeps, s.show(1)}
		}, []string{"0×1 kernel's:true", "1×3 kernel's:false", "1×1 kernel's:true"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newMergeStage(t)
			s.do(s.empty)
			s.do(c.steps(s)...)
			s.do(s.drain)
			s.publish()
			if !slices.Equal(s.flows, c.want) {
				t.Errorf("flows %q, want %q", s.flows, c.want)
			}
			l := s.Ledger()
			if err := l.Check(); err != nil || l.Overflow != 3 {
				t.Errorf("%v\n%+v", err, l)
			}
		})
	}
}

// A part that waits is not lost when nobody takes flows any more, nor when there
// is no room for it to wait.
func TestPartsThatWaitStayInTheLedger(t *testing.T) {
	s := newMergeStage(t)
	s.do(s.empty, s.makeRoom, s.expire)
	s.publish()
	l := s.Ledger()
	if err := l.Check(); err != nil || l.Open.Packets != 3 {
		t.Errorf("%v: %d packets open, want the 3 that wait", err, l.Open.Packets)
	}
	s.yield = func(*Flow, error) bool { return false }
	s.do(s.show(2), s.drain)
	s.publish()
	l = s.Ledger()
	if err := l.Check(); err != nil || l.Open.Packets != 3 {
		t.Errorf("after a break: %v\n%+v", err, l)
	}
}

func TestAPartWithoutRoomToWaitIsHandedOut(t *testing.T) {
	s := newMergeStage(t)
	s.k.invented = true
	s.do(s.empty)
	handedOut := 0
	s.yield = func(*Flow, error) bool { handedOut++; return true }
	s.overflowOpen.Packets = heldMax + 2
	for n := range heldMax + 2 {
		r := bpf.Record{Key: bpf.Key{TunnelKey: uint32(n)}, FlowId: overflowFlowIDs}
		r.Dir[0].Packets = 1
		s.hold(&r)
	}
	if handedOut != 2 || len(s.held.byKey) != heldMax || s.overflowOpen.Packets != heldMax {
		t.Errorf("%d handed out, %d wait with %d packets", handedOut, len(s.held.byKey), s.overflowOpen.Packets)
	}
}

// Parts of one key that close again and again take no memory until a sweep comes.
func TestPartsThatWereTakenMakeRoom(t *testing.T) {
	s := newMergeStage(t)
	s.do(s.empty)
	s.k.invented = true
	s.yield = func(*Flow, error) bool { return true }
	r := bpf.Record{FlowId: overflowFlowIDs}
	r.Dir[0].Packets = 1
	s.overflowOpen.Packets = 5 * heldMax
	for range 5 * heldMax {
		s.hold(&r)
	}
	if len(s.held.queue) > 2*heldMax || len(s.held.spare) > 2*heldMax {
		t.Errorf("%d queued, %d spare", len(s.held.queue), len(s.held.spare))
	}
	s.releaseAll()
	s.overflowOpen.Packets = 0
}
