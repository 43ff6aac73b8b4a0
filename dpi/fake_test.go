package dpi_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/dpi/worker"
	"github.com/weirflow/weir/userspace"
)

// Packets that make a fake engine misbehave.
var (
	crashPacket = []byte("crash")
	abortPacket = []byte("abort")
	hangPacket  = []byte("hang")
	spinPacket  = []byte("spin")
	growPacket  = []byte("grow")
	donePacket  = []byte("done")
	labelPacket = []byte("label")
)

// engines are the commands that make the test binary a DPI process.
func engines() map[string]func() int {
	return map[string]func() int{
		worker.Command: worker.Main,
		"fake":         func() int { return worker.Run(openFake) },
		"liar":         func() int { return worker.Run(openLiar) },
		"slow":         func() int { return worker.Run(openSlow) },
		"stuck":        func() int { return worker.Run(openStuck) },
		"broken":       func() int { return worker.Run(openBroken) },
		"prisoner":     func() int { return worker.Run(openPrisoner) },
		"garbage":      garbage,
		"mute":         mute,
		"parent":       parent,
	}
}

// quarantined is in place of a flow's number of samples.
const quarantined = -1

// A fake is an Inspector that calls every flow by its id, or obeys a packet.
type fake struct {
	flows map[worker.FlowRef]int
	label []byte
	lie   uint64
	sleep time.Duration
	grown []byte
}

func openFake(worker.Hello) (worker.Inspector, string, error) {
	return &fake{flows: make(map[worker.FlowRef]int)}, "fake", nil
}

func openLiar(worker.Hello) (worker.Inspector, string, error) {
	return &fake{flows: make(map[worker.FlowRef]int), lie: 7}, "liar", nil
}

func openSlow(worker.Hello) (worker.Inspector, string, error) {
	return &fake{flows: make(map[worker.FlowRef]int), sleep: time.Millisecond}, "slow", nil
}

// openStuck works the first time only, and then does not get ready.
func openStuck(h worker.Hello) (worker.Inspector, string, error) {
	if h.Restarted {
		time.Sleep(time.Hour)
	}
	return openFake(h)
}

func openBroken(worker.Hello) (worker.Inspector, string, error) {
	return nil, "", fmt.Errorf("no dissectors today")
}

func (f *fake) Sample(s *userspace.Sample) bool {
	time.Sleep(f.sleep)
	switch {
	case bytes.HasPrefix(s.Packet, crashPacket):
		fmt.Fprintln(os.Stderr, "fake: crashing as told")
		unix.Kill(os.Getpid(), unix.SIGKILL)
	case bytes.Equal(s.Packet, abortPacket):
		unix.Kill(os.Getpid(), unix.SIGABRT)
		time.Sleep(time.Hour)
	case bytes.Equal(s.Packet, spinPacket):
		for began := time.Now(); time.Since(began) < 10*time.Second; {
		}
	case bytes.Equal(s.Packet, growPacket):
		f.grown = bytes.Repeat([]byte{1}, 1<<30)
	case bytes.Equal(s.Packet, hangPacket):
		time.Sleep(time.Hour)
	}
	if ref := (worker.FlowRef{FlowID: s.FlowID, Part: s.Part}); f.flows[ref] != quarantined {
		f.flows[ref]++
	}
	if bytes.Equal(s.Packet, labelPacket) {
		// The flow, protocol and ends, one packet, and a verdict without texts.
		f.label = binary.LittleEndian.AppendUint64(nil, s.FlowID)
		f.label = append(f.label, make([]byte, 4+1+2*18)...)
		f.label = append(append(f.label, 1), make([]byte, 13+2+8)...)
	}
	return bytes.Equal(s.Packet, donePacket)
}

// Quarantine notes that the flow gets no label.
func (f *fake) Quarantine(s *userspace.Sample) {
	f.flows[worker.FlowRef{FlowID: s.FlowID, Part: s.Part}] = quarantined
}

func (f *fake) Close(ref worker.FlowRef, b []byte) []byte {
	n := f.flows[ref]
	delete(f.flows, ref)
	if f.lie != 0 && ref.FlowID > f.lie {
		return append(b, 9, 9, 9)
	}
	if n == quarantined {
		return append(b, "\x00\x00\x07Unknown\x0bUnspecified\x00\x00\x00\x00\x00\x0bquarantined"...)
	}
	name := fmt.Sprintf("flow %d.%d, %d samples", ref.FlowID, ref.Part, n)
	b = append(append(b, 0, 6, byte(len(name))), name...)
	return append(b, 0, 0, 0, 0, 0, 0, 0)
}

func (f *fake) Label() []byte {
	l := f.label
	f.label = nil
	return l
}

func (f *fake) Counts() worker.Ack { return worker.Ack{} }

func (f *fake) End() {}

// garbage answers the greeting properly, and then with anything.
func garbage() int {
	conn := os.NewFile(worker.ConnFD, "samples")
	conn.Read(make([]byte, 64))
	conn.Write(worker.AppendWelcome(nil, "garbage", ""))
	conn.Read(make([]byte, 64))
	conn.Write(bytes.Repeat([]byte{0xff}, 1000))
	time.Sleep(time.Hour)
	return 0
}

// mute does not answer at all.
func mute() int {
	time.Sleep(time.Hour)
	return 0
}

// An item is what a scripted source yields: a flow with its samples, an error,
// or a wait.
type item struct {
	samples [][]byte
	err     error
	wait    <-chan struct{}
	part    uint32
}

// A script is a Source of items; the flow of item i has id i+1 and begins at
// second i+1.
type script struct {
	items   []item
	samples userspace.SampleFunc
	key     func(id uint64) bpf.Key // nil: all the same

	mu      sync.Mutex
	next    int
	ledger  userspace.Ledger
	stopped map[uint64]bool
}

func (s *script) StopSamples(id uint64, _ uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped == nil {
		s.stopped = make(map[uint64]bool)
	}
	s.stopped[id] = true
}

func (s *script) Ledger() userspace.Ledger {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ledger
}

func (s *script) Flows(ctx context.Context) iter.Seq2[*userspace.Flow, error] {
	return func(yield func(*userspace.Flow, error) bool) {
		var f userspace.Flow
		for s.next < len(s.items) && ctx.Err() == nil {
			i := s.next
			s.next++
			it := s.items[i]
			if it.wait != nil {
				select {
				case <-it.wait:
				case <-ctx.Done():
				}
				continue
			}
			if it.err != nil {
				if !yield(nil, it.err) {
					return
				}
				continue
			}
			f = s.flow(i)
			if !yield(&f, nil) {
				return
			}
		}
	}
}

// flow is the flow of item i, after its samples were taken.
func (s *script) flow(i int) userspace.Flow {
	id, at := uint64(i+1), uint64(i+1)*1e9
	var key bpf.Key
	if s.key != nil {
		key = s.key(id)
	}
	for n, packet := range s.items[i].samples {
		s.samples(&userspace.Sample{Key: key, FlowID: id, Part: s.items[i].part, Number: uint8(n), TimeNs: at, Packet: packet})
	}
	r := bpf.Record{Key: key, FlowId: id, Part: s.items[i].part, EndReason: 1}
	r.Dir[0] = bpf.Direction{Packets: 2, Octets: 100, FirstNs: at, LastNs: at}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := userspace.Count{Packets: 2, Octets: 100}
	for _, c := range []*userspace.Count{&s.ledger.Observed, &s.ledger.Metered, &s.ledger.Accounted, &s.ledger.Read, &s.ledger.Delivered} {
		*c = c.Plus(n)
	}
	s.ledger.Flows++
	s.ledger.EndReasons[1]++
	return userspace.Flow{Record: r}
}
