package dpi

import (
	"bytes"
	"os/exec"
	"testing"

	"github.com/weirflow/weir/dpi/worker"
	"github.com/weirflow/weir/userspace"
)

// FuzzHostileProcess has a process answer anything, over a hundred flows that
// wait for verdicts.
func FuzzHostileProcess(f *testing.F) {
	verdict := []byte{35, 0, 0, byte(worker.KindVerdict)}
	verdict = append(verdict, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6, 3, 'D', 'N', 'S', 7, 'N', 'e', 't', 'w', 'o', 'r', 'k')
	verdict = append(verdict, 3, 0xff, 'a', 'b', 0, 0, 0, 0, 0)
	verdict[0] = byte(len(verdict) - 4)
	f.Add(verdict)
	f.Add(worker.AppendFlowFrame(nil, worker.KindDone, worker.FlowRef{FlowID: 3}))
	f.Add(worker.AppendAck(bytes.Clone(verdict), worker.Ack{Octets: 12}))
	f.Add(worker.AppendHello(nil, worker.Hello{MaxFlows: 1}))
	label := []byte{60, 0, 0, byte(worker.KindLabel), 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 17}
	label = append(append(label, make([]byte, 36)...), append([]byte{1}, make([]byte, 13)...)...)
	label = append(label, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	label[0] = byte(len(label) - 4)
	f.Add(label)
	f.Fuzz(func(t *testing.T, input []byte) {
		w := &Worker{crashed: &userspace.L7{}, evicted: &userspace.L7{}, closed: make(chan struct{})}
		s := &stream{w: w}
		s.ready.L, s.room.L = &s.mu, &s.mu
		for i := range 100 {
			p := &pending{stream: s}
			p.flow.Record.FlowId = uint64(i + 1)
			w.expect(p, worker.FlowRef{FlowID: uint64(i + 1)}, 1)
			s.queue.push(p)
		}
		w.o.Classified = func(l *userspace.Label) {
			if l.L7 == nil || len(l.Packets) == 0 || l.Time().IsZero() {
				t.Errorf("label %+v", l)
			}
		}
		p := &process{w: w, cmd: new(exec.Cmd)}
		if err := p.answers(bytes.NewReader(input)); err == nil {
			t.Fatal("the answers have no end")
		}
		given := 100 - w.waiting.count
		if uint64(given) != w.stats.Flows || given*16 > len(input) {
			t.Errorf("%d flows were given a verdict out of %d octets, counted as %d", given, len(input), w.stats.Flows)
		}
		for i := range given {
			if p := s.queue.pop(); !p.ready || p.flow.L7 == nil || p.flow.Record.FlowId != uint64(i+1) {
				t.Fatalf("flow %d: %+v", i+1, p.flow.L7)
			}
		}
		w.lose(^uint64(0), 0)
		for p := s.queue.pop(); p != nil; p = s.queue.pop() {
			if !p.ready || p.flow.L7 != w.crashed {
				t.Fatal("a flow was left without a verdict")
			}
		}
	})
}
