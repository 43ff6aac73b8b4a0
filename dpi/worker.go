package dpi

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weirflow/weir/dpi/ndpi"
	"github.com/weirflow/weir/dpi/worker"
	"github.com/weirflow/weir/loader/sandbox"
	"github.com/weirflow/weir/userspace"
)

// Available tells whether this build holds nDPI.
func Available() bool { return ndpi.Available() }

// Version is nDPI's revision, as in "4.2.0"; empty if it is not Available.
func Version() string { return ndpi.Version() }

// A Library is the libndpi that this program runs with.
type Library = ndpi.Library

// Loaded describes the library. The error says that there is none, or that it
// is not the one that weir was built with.
func Loaded() (Library, error) { return ndpi.Loaded() }

// Defaults of Options.
const (
	DefaultDissections = 20
	DefaultMaxFlows    = 65536
	DefaultTimeout     = 10 * time.Second
	DefaultQueue       = 4096
)

// Options shape a Worker. The zero value is the defaults.
type Options struct {
	// Dissections is how many samples of a flow nDPI is shown at most, 1 to 255;
	// 0 is DefaultDissections.
	Dissections int
	// MaxFlows bounds the flows under inspection at a time; 0 is
	// DefaultMaxFlows. When it is reached, the one that was fed least recently
	// is judged by what was seen of it. nDPI takes at most 64 MB and 4 KB a flow in
	// all: when these are full, the same is done.
	MaxFlows int
	// Workers is how many processes share the flows, 1 to WorkersMax; 0 is 1. What nDPI
	// remembers across flows each does by itself: of more than one, a few labels
	// differ from those of one.
	Workers int
	// Details asks for userspace.L7's Details as well: what nDPI learnt beside the
	// label, and what weir reads itself, such as JA4.
	Details bool
	// Classified is called with a flow's label as soon as it is known, before the
	// flow comes out of its Source. It runs where verdicts are received: while it
	// blocks, no flow gets one. The label is the callee's to keep.
	Classified func(*userspace.Label)
	// Files are what the user teaches nDPI.
	Files Files
	// Timeout is how long the process may be silent over a batch (some 64 KiB of
	// samples) before it is ended; 0 is DefaultTimeout.
	Timeout time.Duration
	// Queue bounds the flows that wait for their verdict, of each Source; 0 is
	// DefaultQueue.
	Queue int
	// Lossy drops samples, and verdicts of a full Queue, rather than hold up the
	// meter when the process cannot keep up or hangs; the flows come out with
	// reason "evicted". It is for live metering, where a wait fills the ring
	// buffer.
	Lossy bool
	// Unconfined takes from the process its capabilities only. Otherwise it is, as
	// far as the kernel has the means, another user where the starter is root, cannot
	// write files, bounded in its memory, and left with the system calls of somebody
	// who computes.
	Unconfined bool
	// Command are the arguments that make this program's binary the DPI
	// process; nil is worker.Command.
	Command []string
}

func (o Options) withDefaults() (Options, error) {
	if o.Dissections < 0 || o.Dissections > 255 {
		return o, fmt.Errorf("start DPI: dissections %d: want 1 to 255 packets", o.Dissections)
	}
	if o.MaxFlows < 0 || o.MaxFlows > 1<<24 {
		return o, fmt.Errorf("start DPI: max flows %d: want 1 to %d", o.MaxFlows, 1<<24)
	}
	if err := checkWorkers(o.Workers); err != nil {
		return o, err
	}
	o.Workers = max(o.Workers, 1)
	if o.Dissections == 0 {
		o.Dissections = DefaultDissections
	}
	if o.MaxFlows == 0 {
		o.MaxFlows = DefaultMaxFlows
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Queue <= 0 {
		o.Queue = DefaultQueue
	}
	if o.Command == nil {
		o.Command = []string{worker.Command}
	}
	return o, nil
}

// Stats is what a Worker did so far.
type Stats struct {
	Samples          uint64 // sent to the process
	SamplesDropped   uint64 // not sent: it was down, or could not keep up (Lossy)
	Shown            uint64 // samples that nDPI was shown
	Rejected         uint64 // samples that could have led nDPI astray
	Evicted          uint64 // flows judged early, for MaxFlows or the memory that nDPI may take
	Unread           uint64 // hellos given up before they were whole, for the bound on their octets (Details)
	Flows            uint64 // flows that were given an L7
	FlowsCrashed     uint64 // of these, with reason "engine_crashed"
	FlowsEvicted     uint64 // of these, with reason "evicted" for the process was late (Lossy)
	FlowsQuarantined uint64 // of these, with reason "quarantined"
	Started          uint64 // processes that got ready
	Crashes          uint64 // processes that ended by themselves or broke the protocol
	Hangs            uint64 // processes that were ended for Timeout
	// Panics is how often the program's own Classified or StopSamples panicked: that
	// label was not told, or that flow's samples go on.
	Panics uint64
	// Memory is how many octets nDPI holds in the process that runs.
	Memory uint64
	// LastCrash says how the last process ended that should not have.
	LastCrash string
	// Release is nDPI's, as the process says.
	Release string
	// Confined tells whether the process runs without any capability.
	Confined bool
}

// A Worker is a DPI process, or several, and what it takes to feed it and to live
// without it. Its methods are safe for use by several goroutines.
type Worker struct {
	// shards has the processes, of the one that Start returns; it is the first.
	shards shards

	o      Options
	out    outbox
	stop   atomic.Pointer[userspace.DPIStopper]
	closed chan struct{} // by Close
	ended  chan struct{} // by supervise
	files  []known
	fatal  *quarantine
	// crashed is the verdict over a flow that went down with its process.
	crashed *userspace.L7
	// evicted is the verdict over a flow that Lossy did not wait for.
	evicted *userspace.L7
	once    sync.Once

	mu      sync.Mutex
	waiting fifo[question] // in the order of their verdicts
	lostNs  uint64
	past    worker.Ack // counts of the processes that ended
	now     worker.Ack // counts of the one that runs
	stats   Stats
}

// ErrNotAvailable is returned by Start in a build without nDPI.
var ErrNotAvailable = errors.New("this build holds no nDPI: build with cgo, libndpi-dev and without the tag nodpi")

// Start starts the DPI process, or several, and waits until it is ready; ctx bounds this
// wait only. Close ends it.
func Start(ctx context.Context, o Options) (*Worker, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if !Available() {
		return nil, fmt.Errorf("start DPI: %w", ErrNotAvailable)
	}
	all, err := startShards(ctx, o)
	if err != nil {
		return nil, err
	}
	all[0].shards = all
	return all[0], nil
}

// startOne starts one process.
func startOne(ctx context.Context, o Options) (w *Worker, err error) {
	w = &Worker{o: o, closed: make(chan struct{}), ended: make(chan struct{}),
		crashed: unknown(worker.ReasonEngineCrashed), evicted: unknown(worker.ReasonEvicted)}
	if w.files, err = readFiles(o.Files); err != nil {
		return nil, fmt.Errorf("start DPI: %w", err)
	}
	if w.fatal, err = newQuarantine(); err != nil {
		closeFiles(w.files)
		return nil, fmt.Errorf("start DPI: %w", err)
	}
	w.out.init()
	err = w.launch(ctx, becomesNobody)
	// The binary may not be everybody's to execute, or only by a capability.
	for level := keepsUser; errors.Is(err, fs.ErrPermission) && level <= keepsCapabilities; level++ {
		err = w.launch(ctx, level)
	}
	if err != nil {
		w.release()
		return nil, err
	}
	return w, nil
}

func unknown(reason string) *userspace.L7 {
	return &userspace.L7{ApplicationName: "Unknown", ApplicationCategoryName: "Unspecified", Reason: reason}
}

func (w *Worker) launch(ctx context.Context, level confinement) error {
	started := make(chan error, 1)
	sandbox.Thread(func() { w.supervise(level, started) })
	select {
	case err := <-started:
		return err
	case <-ctx.Done():
		w.once.Do(func() { close(w.closed) })
		if err := <-started; err == nil {
			<-w.ended
		}
		return fmt.Errorf("start DPI: %w", ctx.Err())
	}
}

// Close ends the process. Flows that still wait for a verdict come out with
// reason "engine_crashed", so it is called when all Sources have ended.
func (w *Worker) Close() error {
	w.shards.close()
	return nil
}

func (w *Worker) closeOne() {
	w.once.Do(func() {
		close(w.closed)
		<-w.ended
		w.release()
	})
	<-w.ended
}

// release gives back what all processes were given.
func (w *Worker) release() {
	closeFiles(w.files)
	w.fatal.close()
}

// Sample is the userspace.SampleFunc that feeds the process.
func (w *Worker) Sample(s *userspace.Sample) {
	w = w.shards.of(&s.Key)
	w.out.sample(s, w.o.Lossy, w.closed)
}

// Stats may be called at any time.
func (w *Worker) Stats() Stats {
	s := w.shards[0].statsOfOne()
	for _, other := range w.shards[1:] {
		s = s.plus(other.statsOfOne())
	}
	return s
}

func (w *Worker) statsOfOne() Stats {
	samples, dropped := w.out.counts()
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.stats
	s.Samples, s.SamplesDropped = samples, dropped
	s.Shown = w.past.Shown + w.now.Shown
	s.Rejected = w.past.Rejected + w.now.Rejected
	s.Evicted = w.past.Evicted + w.now.Evicted
	s.Unread = w.past.Unread + w.now.Unread
	s.Memory = w.now.Memory
	return s
}

// ask asks for the flow's verdict; publish, lose or giveUp will answer.
func (w *Worker) ask(p *pending) {
	ref := refOf(&p.flow)
	asked := w.out.close(ref, w.o.Lossy, w.closed, func(seq uint64) { w.expect(p, ref, seq) })
	if asked {
		return
	}
	w.mu.Lock()
	p.flow.L7 = w.crashed
	if !w.out.down.Load() && !w.isClosed() {
		p.flow.L7 = w.evicted
	}
	w.book(p)
	w.mu.Unlock()
	resolve([]*pending{p})
}

// expect has p wait for the next verdict but those that others wait for.
func (w *Worker) expect(p *pending, ref worker.FlowRef, seq uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.question == nil {
		p.question = new(question)
	}
	*p.question = question{ref: ref, seq: seq, flow: p}
	w.waiting.push(p.question)
}

// giveUp answers for a process that is late. It returns false if p has got its
// verdict, though not been marked as ready.
func (w *Worker) giveUp(p *pending) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.question.flow == nil {
		return false
	}
	p.question.flow, p.question = nil, nil
	p.flow.L7 = w.evicted
	w.book(p)
	return true
}

// A verdict is one that the process gave.
type verdict struct {
	ref worker.FlowRef
	l7  *userspace.L7
}

// publish hands verdicts to the flows that wait for them. It returns an error
// if they are not those that were asked for.
func (w *Worker) publish(verdicts []verdict, to []*pending) ([]*pending, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, v := range verdicts {
		q := w.waiting.first()
		if q == nil || q.ref != v.ref {
			return to, &worker.ProtocolError{Kind: worker.KindVerdict, Reason: "not over the flow that was closed next"}
		}
		p := w.answered()
		if p == nil {
			continue
		}
		p.flow.L7 = v.l7
		// Whatever this process makes of a flow that its predecessor had, it did
		// not see the beginning.
		if w.lostNs != 0 && userspace.FirstNs(&p.flow.Record) <= w.lostNs {
			p.flow.L7 = w.crashed
		}
		w.book(p)
		to = append(to, p)
	}
	return to, nil
}

// answered takes the first question off those that wait, and returns its flow;
// nil if that was given up. w.mu is held.
func (w *Worker) answered() *pending {
	q := w.waiting.pop()
	p := q.flow
	q.flow = nil
	return p
}

// lose answers for a process that ended: flows asked for in batches up to seq
// have no verdict, and those that began by lostNs will not get one.
func (w *Worker) lose(seq, lostNs uint64) {
	w.mu.Lock()
	w.lostNs = max(w.lostNs, lostNs)
	var lost []*pending
	for q := w.waiting.first(); q != nil && q.seq <= seq; q = w.waiting.first() {
		if p := w.answered(); p != nil {
			p.flow.L7 = w.crashed
			w.book(p)
			lost = append(lost, p)
		}
	}
	w.mu.Unlock()
	resolve(lost)
}

// book counts a verdict; w.mu is held.
func (w *Worker) book(p *pending) {
	w.stats.Flows++
	switch {
	case p.flow.L7.Reason == worker.ReasonEngineCrashed:
		w.stats.FlowsCrashed++
	case p.flow.L7 == w.evicted:
		w.stats.FlowsEvicted++
	case p.flow.L7.Reason == worker.ReasonQuarantined:
		w.stats.FlowsQuarantined++
	}
}

// begin is said when a Source starts: times of another one mean nothing to it.
func (w *Worker) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiting.count == 0 {
		w.lostNs = 0
	}
}

func (w *Worker) stopSamples(ref worker.FlowRef) {
	if s := w.stop.Load(); s != nil {
		defer func() { w.survive(recover()) }()
		(*s).StopSamples(ref.FlowID, ref.Part)
	}
}

// survive counts a panic, if it was one, of what the program gave.
func (w *Worker) survive(panicked any) {
	if panicked == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stats.Panics++
}
