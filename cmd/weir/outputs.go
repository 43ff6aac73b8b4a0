package main

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/weirflow/weir/userspace"
	"github.com/weirflow/weir/userspace/sink"
)

// outputs are where the flows of a run go. Each gets every flow; what one does
// not take is counted, and the others go on.
type outputs struct {
	say    speaker
	seldom *seldom
	all    []*output
	gone   chan struct{} // closed when the reader of one has left
	once   sync.Once
	waits  atomic.Bool // outputs that queue are waited for
}

// An output is a sink and what became of the flows offered to it.
type output struct {
	sink    sink.Sink
	offered userspace.Count

	mu      sync.Mutex // what is below
	notSent userspace.Count
	flows   uint64                     // not sent
	causes  map[string]userspace.Count // of notSent
	gone    bool                       // nothing can be written any more, and that is no fault
	failed  bool
	waiting error // what flows were queued for at the latest look; nil when none were
}

// openOutputs opens what the user asked for, or else what suits stdout. Of a pinned
// meter, or if asked to, files that exist are not replaced but gone on with.
func openOutputs(env *environment, s *settings, say speaker) (*outputs, error) {
	open, specs := sink.Open, s.outputs
	if s.resume || s.pin != "" {
		open = sink.Resume
	}
	if len(specs) == 0 {
		specs = []string{sink.NDJSON + ":-"}
		if env.terminal(env.stdout) {
			specs[0] = sink.Table + ":-"
		}
	}
	options := []sink.Option{sink.WithQueue(s.queueFlows.n, s.queueOctets.n), sink.WithDrain(s.drain.d), sink.WithTimeouts(s.idle.d, s.active.d)}
	if !s.offline {
		options = append(options, sink.WithQueueing())
	}
	if overTLS(specs) {
		config, err := s.tls.config()
		if err != nil {
			return nil, err
		}
		options = append(options, sink.WithTLS(config))
	}
	o := &outputs{say: say, seldom: &seldom{say: say}, gone: make(chan struct{})}
	for _, spec := range specs {
		out, err := open(spec, s.columns(), env.stdout, options...)
		if err != nil {
			o.close()
			return nil, err
		}
		o.all = append(o.all, &output{sink: out, causes: map[string]userspace.Count{}})
	}
	return o, nil
}

// patient has outputs that queue be waited for, from now on: nothing arrives
// meanwhile that would not wait.
func (o *outputs) patient() {
	o.waits.Store(true)
	for _, out := range o.all {
		if q, ok := out.sink.(sink.Queued); ok {
			q.Patient()
		}
	}
}

// hurry has outputs that wait by themselves for who reads them do so for --drain only,
// from now on.
func (o *outputs) hurry() {
	for _, out := range o.all {
		if d, ok := out.sink.(sink.Draining); ok {
			d.Drain()
		}
	}
}

// report has outputs that tell of the ledger ask for it.
func (o *outputs) report(ledger func() userspace.Ledger) {
	for _, out := range o.all {
		if r, ok := out.sink.(sink.Reporter); ok {
			r.Report(ledger)
		}
	}
}

// write offers a flow to every output.
func (o *outputs) write(f *userspace.Flow) {
	count := userspace.Count{Packets: f.Packets(), Octets: f.Octets()}
	for _, out := range o.all {
		out.offered = out.offered.Plus(count)
		if out.isGone() {
			out.refuse((&sink.Error{Err: sink.ErrReaderGone}).Cause(), 1, count)
		} else if err := out.sink.Write(f); err != nil {
			o.trouble(out, err)
		}
	}
}

// flush writes what is buffered, and says whether no output holds anything back, but
// for those that queue. It may run while write does.
func (o *outputs) flush() (done bool) {
	done = true
	for _, out := range o.all {
		if out.isGone() {
			done = false
			continue
		}
		err := out.sink.Flush()
		out.wait(err)
		if err != nil {
			o.trouble(out, err)
			done = done && errors.Is(err, sink.ErrWaiting)
		}
	}
	return done
}

// wait remembers whether flows wait, and for what.
func (out *output) wait(flushed error) {
	out.mu.Lock()
	defer out.mu.Unlock()
	out.waiting = nil
	if e := (*sink.Error)(nil); errors.Is(flushed, sink.ErrWaiting) && errors.As(flushed, &e) {
		out.waiting = e.Err
	}
}

// reopen has files begin anew where they were moved away. It may run while write
// does.
func (o *outputs) reopen() {
	for _, out := range o.all {
		if out.isGone() {
			continue
		}
		if err := out.sink.Reopen(); err != nil {
			o.trouble(out, err)
		}
	}
	o.say.detail("outputs reopened")
}

// close closes every output, and says whether each wrote all that it held, but for
// those that queue. Nothing else runs. They are waited for at the same time: several that
// are out of reach take no longer than one.
func (o *outputs) close() (done bool) {
	errs := make([]error, len(o.all))
	var closing sync.WaitGroup
	for i, out := range o.all {
		closing.Go(func() { errs[i] = out.sink.Close() })
	}
	closing.Wait()
	done = true
	for i, out := range o.all {
		if errs[i] != nil {
			o.trouble(out, errs[i])
			_, queued := out.sink.(sink.Queued)
			done = done && queued
		}
		done = done && !out.isGone()
	}
	return done
}

// trouble books what an output did not take, and tells of it once in a while.
func (o *outputs) trouble(out *output, err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			o.trouble(out, e)
		}
		return
	}
	var e *sink.Error
	cause := ""
	if errors.As(err, &e) {
		cause = e.Cause()
		out.refuse(cause, e.Flows, e.NotSent)
	}
	if errors.Is(err, sink.ErrWaiting) {
		if e.Err != sink.ErrWaiting {
			o.seldom.tell(out.sink.Name()+cause, "%s", oneLine(err))
		}
		return
	}
	out.mu.Lock()
	defer out.mu.Unlock()
	if errors.Is(err, sink.ErrReaderGone) {
		out.gone = true
		o.once.Do(func() { close(o.gone) })
		o.say.detail("%v", err)
		return
	}
	out.failed = out.failed || !noRoom(err) || e.Flows > 0
	o.seldom.tell(out.sink.Name()+cause, "%s", oneLine(err))
}

// noRoom tells whether an output has only refused what it had no room for: of labels,
// that is no fault.
func noRoom(err error) bool {
	return errors.Is(err, sink.ErrUnreachable) || errors.Is(err, sink.ErrSlow) || errors.Is(err, sink.ErrUnconfirmed)
}

func (out *output) isGone() bool {
	out.mu.Lock()
	defer out.mu.Unlock()
	return out.gone
}

// refuse books flows as not sent.
func (out *output) refuse(cause string, flows uint64, count userspace.Count) {
	out.mu.Lock()
	defer out.mu.Unlock()
	if flows > 0 {
		out.flows += flows
		out.notSent = out.notSent.Plus(count)
		out.causes[cause] = out.causes[cause].Plus(count)
	}
}

// settled is how many of the flows offered first are safe or refused at every output,
// and the most that one refused of these: of no other flow, however many come
// meanwhile. It may run while write does. An output that does not queue settles none.
func (o *outputs) settled() (flows uint64, most userspace.Count) {
	flows = math.MaxUint64
	for _, out := range o.all {
		settled := uint64(0)
		if q, ok := out.sink.(sink.Queued); ok {
			settled, _ = q.Settled()
		}
		flows = min(flows, settled)
	}
	for asked := flows + 1; asked != flows; { // until each can tell of as many
		asked, most = flows, userspace.Count{}
		for _, out := range o.all {
			if q, ok := out.sink.(sink.Queued); ok {
				of, notSent := q.Refused(flows)
				flows = of
				if notSent.Packets > most.Packets {
					most = notSent
				}
			}
		}
	}
	return flows, most
}

// giveUp empties the outputs that queue.
func (o *outputs) giveUp() {
	for _, out := range o.all {
		if q, ok := out.sink.(sink.Queued); ok {
			if err := q.GiveUp(); err != nil {
				o.trouble(out, err)
			}
		}
	}
}

// settle enters into a ledger what the outputs did with the flows. The line L4
// is about one output: where several refused flows, about the one that refused
// most, and the others are told of besides. before is what had been delivered when
// the run began.
func (o *outputs) settle(l *userspace.Ledger, before userspace.Count) {
	worst := slices.MaxFunc(o.all, func(a, b *output) int {
		return int(a.notSent.Packets) - int(b.notSent.Packets)
	})
	l.Delivered = userspace.Count{
		Packets: before.Packets + worst.offered.Packets - worst.notSent.Packets,
		Octets:  before.Octets + worst.offered.Octets - worst.notSent.Octets,
	}
	l.NotSent = maps.Clone(l.NotSent)
	for cause, count := range worst.causes {
		if l.NotSent == nil {
			l.NotSent = map[string]userspace.Count{}
		}
		l.NotSent[worst.sink.Name()+" ("+cause+")"] = count
	}
	for _, out := range o.all {
		for column, n := range out.sink.Panics() {
			o.say.always("%s: column %s could not be found for %d flows; this is a fault of weir, please report it", out.sink.Name(), column, n)
		}
		if out.flows > 0 && !out.gone {
			o.say.always("%s: %d flows with %d packets were not sent (%s)", out.sink.Name(), out.flows, out.notSent.Packets, byCause(out.causes))
		}
	}
}

// byCause is what causes flows were not sent for, with packets where there are several.
func byCause(causes map[string]userspace.Count) string {
	var all []string
	for _, cause := range slices.Sorted(maps.Keys(causes)) {
		if len(causes) == 1 {
			return cause
		}
		all = append(all, fmt.Sprintf("%s: %d", cause, causes[cause].Packets))
	}
	return strings.Join(all, ", ")
}

// lost is the most packets that an output did not take, leaving out those whose
// reader had enough.
func (o *outputs) lost() (packets uint64) {
	for _, out := range o.all {
		if !out.gone {
			packets = max(packets, out.notSent.Packets)
		}
	}
	return packets
}

// broke tells whether an output failed and is not excused.
func (o *outputs) broke() bool {
	return slices.ContainsFunc(o.all, func(out *output) bool { return out.failed })
}

// onTerminal tells whether flows are written to a terminal.
func (o *outputs) onTerminal(env *environment) bool {
	return env.terminal(env.stdout) && slices.ContainsFunc(o.all, func(out *output) bool {
		return strings.HasSuffix(out.sink.Name(), ":-")
	})
}
