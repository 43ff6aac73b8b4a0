package main

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/weirflow/weir/userspace"
	"github.com/weirflow/weir/userspace/feature"
	"github.com/weirflow/weir/userspace/sink"
)

// repeatAfter is how long the same trouble of an output is not told again.
const repeatAfter = time.Minute

// outputs are where the flows of a run go. Each gets every flow; what one does
// not take is counted, and the others go on.
type outputs struct {
	say  speaker
	all  []*output
	gone chan struct{} // closed when the reader of one has left
	once sync.Once
}

// An output is a sink and what became of the flows offered to it.
type output struct {
	sink    sink.Sink
	offered userspace.Count

	mu      sync.Mutex // what is below
	notSent userspace.Count
	flows   uint64 // not sent
	gone    bool   // nothing can be written any more, and that is no fault
	failed  bool
	spoke   time.Time
}

// openOutputs opens what the user asked for, or else what suits stdout. With
// resume, files that exist are not replaced but gone on with.
func openOutputs(env *environment, specs []string, columns []feature.Column, say speaker, resume bool) (*outputs, error) {
	open := sink.Open
	if resume {
		open = sink.Resume
	}
	if len(specs) == 0 {
		specs = []string{sink.NDJSON + ":-"}
		if env.terminal(env.stdout) {
			specs[0] = sink.Table + ":-"
		}
	}
	o := &outputs{say: say, gone: make(chan struct{})}
	for _, spec := range specs {
		s, err := open(spec, columns, env.stdout)
		if err != nil {
			o.close()
			return nil, err
		}
		o.all = append(o.all, &output{sink: s})
	}
	return o, nil
}

// write offers a flow to every output.
func (o *outputs) write(f *userspace.Flow) {
	count := userspace.Count{Packets: f.Packets(), Octets: f.Octets()}
	for _, out := range o.all {
		out.offered = out.offered.Plus(count)
		if out.isGone() {
			out.refuse(1, count)
		} else if err := out.sink.Write(f); err != nil {
			o.trouble(out, err)
		}
	}
}

// flush writes what is buffered, and says whether no output holds anything back.
// It may run while write does.
func (o *outputs) flush() (done bool) {
	done = true
	for _, out := range o.all {
		if out.isGone() {
			done = false
			continue
		}
		if err := out.sink.Flush(); err != nil {
			o.trouble(out, err)
			done = false
		}
	}
	return done
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

// close closes every output, and says whether each wrote all that it held. Nothing
// else runs.
func (o *outputs) close() (done bool) {
	done = true
	for _, out := range o.all {
		if err := out.sink.Close(); err != nil {
			o.trouble(out, err)
			done = false
		}
		done = done && !out.isGone()
	}
	return done
}

// trouble books what an output did not take, and tells of it once in a while.
func (o *outputs) trouble(out *output, err error) {
	var e *sink.Error
	if errors.As(err, &e) {
		out.refuse(e.Flows, e.NotSent)
	}
	out.mu.Lock()
	defer out.mu.Unlock()
	if errors.Is(err, sink.ErrReaderGone) {
		out.gone = true
		o.once.Do(func() { close(o.gone) })
		o.say.detail("%v", err)
		return
	}
	out.failed = true
	if now := time.Now(); now.Sub(out.spoke) >= repeatAfter {
		out.spoke = now
		o.say.always("%s", oneLine(err))
	}
}

func (out *output) isGone() bool {
	out.mu.Lock()
	defer out.mu.Unlock()
	return out.gone
}

// refuse books flows as not sent.
func (out *output) refuse(flows uint64, count userspace.Count) {
	out.mu.Lock()
	defer out.mu.Unlock()
	if flows > 0 {
		out.flows += flows
		out.notSent = out.notSent.Plus(count)
	}
}

// notSent is the most that an output did not take. It may run while write does.
func (o *outputs) notSent() (most userspace.Count) {
	for _, out := range o.all {
		out.mu.Lock()
		if out.notSent.Packets > most.Packets {
			most = out.notSent
		}
		out.mu.Unlock()
	}
	return most
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
	if worst.flows > 0 {
		if l.NotSent == nil {
			l.NotSent = map[string]userspace.Count{}
		}
		l.NotSent[worst.sink.Name()] = worst.notSent
	}
	for _, out := range o.all {
		if out.flows > 0 && !out.gone {
			o.say.always("%s: %d flows with %d packets were not written", out.sink.Name(), out.flows, out.notSent.Packets)
		}
	}
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
