package loader_test

import (
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/weirflow/weir/bpf/bpftest"
	"github.com/weirflow/weir/tools/flowgen"
	"github.com/weirflow/weir/userspace"
)

const (
	// batch is as many frames as a veth pair's queue surely takes at a time.
	batch = 64
	// floodPortion is sent between two packets of an established flow.
	floodPortion = 20_000
)

// A load is a veth pair, both ends in one namespace that nothing else sends in,
// with frames made in the kernel going from the far end to the near one. Each CPU
// has a queue of its own, which it empties before it goes on: no frame is dropped
// on the way.
type load struct {
	t         *testing.T
	here      netns.NsHandle
	near, far netlink.Link
	sent      userspace.Count
}

func newLoad(t *testing.T) *load {
	t.Helper()
	bpftest.NewNamespace(t)
	// Neighbour discovery would be counted too.
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	here, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = here.Close() })
	l := &load{t: t, here: here}
	l.connect()
	return l
}

func (l *load) connect() {
	l.t.Helper()
	pair := netlink.LinkAttrs{Name: nearName, NumRxQueues: runtime.NumCPU(), NumTxQueues: runtime.NumCPU()}
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: pair, PeerName: farName}); err != nil {
		l.t.Fatal(err)
	}
	l.far, l.near = up(l.t, farName), up(l.t, nearName)
	(&world{t: l.t}).waitForCarrier(nearName)
}

// generator sends frames of flows flows out of the far end, in an order of the
// seed's.
func (l *load) generator(flows uint32, seed uint64) *flowgen.Generator {
	l.t.Helper()
	return l.generatorOf(flowgen.Options{Flows: flows, Seed: seed})
}

func (l *load) generatorOf(o flowgen.Options) *flowgen.Generator {
	l.t.Helper()
	o.Ifindex = l.far.Attrs().Index
	g, err := flowgen.Load(o)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = g.Close() })
	return g
}

func (l *load) send(g *flowgen.Generator, frame []byte, packets int) {
	l.t.Helper()
	if err := g.Live(frame, uint32(packets), batch); err != nil {
		l.t.Fatal(err)
	}
	l.sent = l.sent.Plus(countOf(frame, packets))
}

func countOf(frame []byte, packets int) userspace.Count {
	return userspace.Count{Packets: uint64(packets), Octets: uint64(packets * len(frame))}
}

// sendOnEachCPU sends rounds of portions of each frame from several CPUs at once: from
// all of them the same flows in the same order.
func (l *load) sendOnEachCPU(flows uint32, seed uint64, frames [][]byte, portion, rounds int) (took time.Duration) {
	l.t.Helper()
	var senders []*sender
	for cpu := range loadedCPUs() {
		senders = append(senders, l.sender(flowgen.Options{Flows: flows, Seed: seed, CPU: cpu}))
	}
	began := time.Now()
	for _, s := range senders {
		n := 0
		s.start(portion, func() []byte {
			if n++; n > rounds*len(frames) {
				return nil
			}
			return frames[(n-1)%len(frames)]
		})
	}
	for _, s := range senders {
		s.wait()
	}
	return time.Since(began)
}

// loadedCPUs is how many CPUs frames are sent from. Nothing on a machine of one CPU
// needs a second one.
func loadedCPUs() int { return min(2, runtime.NumCPU()) }

// A sender sends beside the test. Nothing else is to look at load.sent meanwhile.
type sender struct {
	l         *load
	generator *flowgen.Generator
	sent      userspace.Count
	ended     chan error
	halted    atomic.Bool
}

func (l *load) sender(o flowgen.Options) *sender {
	l.t.Helper()
	return &sender{l: l, generator: l.generatorOf(o), ended: make(chan error, 1)}
}

// start sends a portion of every frame that next gives, until that is nil.
func (s *sender) start(portion int, next func() []byte) {
	go func() { s.ended <- s.run(portion, next) }()
}

// run brings its thread, which ends with the goroutine, into the pair's namespace.
func (s *sender) run(portion int, next func() []byte) error {
	runtime.LockOSThread()
	if err := netns.Set(s.l.here); err != nil {
		return err
	}
	for frame := next(); frame != nil; frame = next() {
		if err := s.generator.Live(frame, uint32(portion), batch); err != nil {
			return err
		}
		s.sent = s.sent.Plus(countOf(frame, portion))
	}
	return nil
}

// wait waits for the end of what is sent.
func (s *sender) wait() {
	s.l.t.Helper()
	if err := <-s.ended; err != nil {
		s.l.t.Error(err)
	}
	s.l.sent = s.l.sent.Plus(s.sent)
	if err := s.generator.Close(); err != nil {
		s.l.t.Error(err)
	}
}

// floodFromOtherCPU has the second CPU, if there is one, send frames of ever other
// flows until stop is called.
func (l *load) floodFromOtherCPU(frame []byte, o flowgen.Options) (stop func()) {
	l.t.Helper()
	if loadedCPUs() == 1 {
		return func() {}
	}
	o.CPU = 1
	s := l.sender(o)
	s.start(floodPortion, func() []byte {
		if s.halted.Load() {
			return nil
		}
		return frame
	})
	return func() {
		s.halted.Store(true)
		s.wait()
	}
}

func template(kind string, size int) []byte {
	return flowgen.Template(kind, size, [2][6]byte{{2, 0, 0, 0, 0, 2}, {2, 0, 0, 0, 0, 1}})
}

// synOf makes a TCP template's only flag SYN.
func synOf(frame []byte) []byte {
	const flags = 14 + 20 + 13
	frame[flags] = 2
	return frame
}
