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

// lookNow has the next sweep look for what every part waits for.
func (s *mergeStage) lookNow() {
	for i := range s.held.looks {
		s.held.looks[i].nextNs = 0
	}
}

func (s *mergeStage) sweeps() error {
	for range 6 {
		s.lookNow()
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
				s.lookNow()
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

// part is a part of one packet.
func (s *mergeStage) part(n uint32) *core {
	i := s.overflow.allocate()
	defer s.overflow.release(i)
	e := s.overflow.entry(i)
	*e = core{key: bpf.Key{TunnelKey: n}, flowID: overflowFlowIDs}
	e.tag = s.overflow.tag(&e.key)
	e.dir[0].packets = 1
	return e
}

func TestAPartWithoutRoomToWaitIsHandedOut(t *testing.T) {
	s := newMergeStage(t)
	s.k.invented = true
	s.do(s.empty)
	handedOut := 0
	s.yield = func(*Flow, error) bool { handedOut++; return true }
	s.overflowOpen.Packets = heldMax + 2
	for n := range heldMax + 2 {
		s.hold(s.part(uint32(n)))
	}
	if handedOut != 2 || s.held.flows != heldMax || s.overflowOpen.Packets != heldMax {
		t.Errorf("%d handed out, %d wait with %d packets", handedOut, s.held.flows, s.overflowOpen.Packets)
	}
}

// Parts of one key that close again and again take no memory until a sweep comes.
func TestPartsThatWereTakenMakeRoom(t *testing.T) {
	s := newMergeStage(t)
	s.do(s.empty)
	s.k.invented = true
	s.yield = func(*Flow, error) bool { return true }
	slabs := len(s.held.slabs)
	s.overflowOpen.Packets = 5 * heldMax
	for range 5 * heldMax {
		s.hold(s.part(1))
	}
	if s.held.flows != 1 || len(s.held.slabs) != slabs {
		t.Errorf("%d wait, in %d slabs: want 1 in %d", s.held.flows, len(s.held.slabs), slabs)
	}
	s.releaseAll()
	s.overflowOpen.Packets = 0
}
