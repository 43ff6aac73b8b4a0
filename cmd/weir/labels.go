package main

import (
	"sync"
	"sync/atomic"

	"github.com/weirflow/weir/userspace"
	"github.com/weirflow/weir/userspace/sink"
)

// labelsWaiting is how many labels wait for outputs that are slow.
const labelsWaiting = 4096

// labels carries labels to the outputs that want them. Verdicts come in where
// labels do, so that an output which blocks must not hold these up: live, labels
// wait in a queue, and are dropped when it is full. Of files none is dropped, and
// each comes before its flow.
type labels struct {
	outputs *outputs
	queue   chan *userspace.Label // nil for files
	written sync.WaitGroup
	dropped atomic.Uint64
}

// newLabels returns nil if no output wants any.
func newLabels(o *outputs, live bool) *labels {
	if !o.wantLabels() {
		return nil
	}
	l := &labels{outputs: o}
	if live {
		l.queue = make(chan *userspace.Label, labelsWaiting)
		l.written.Go(func() {
			for label := range l.queue {
				l.write(label)
			}
		})
	}
	return l
}

// take is dpi.Options' Classified.
func (l *labels) take(label *userspace.Label) {
	if l.queue == nil {
		l.write(label)
		return
	}
	select {
	case l.queue <- label:
	default:
		l.dropped.Add(1)
	}
}

// close waits until what was taken is written. No more may be taken.
func (l *labels) close() {
	if l == nil {
		return
	}
	if l.queue != nil {
		close(l.queue)
		l.written.Wait()
	}
	if n := l.dropped.Load(); n > 0 {
		l.outputs.say.note("%d labels were not written: an output could not keep up", n)
	}
}

func (o *outputs) wantLabels() bool {
	for _, out := range o.all {
		if l, ok := out.sink.(sink.Labeler); ok && l.WantsLabels() {
			return true
		}
	}
	return false
}

// write offers a label to every output that wants it. One that queues flows and has
// no room for a label has lost nothing that is accounted for.
func (l *labels) write(label *userspace.Label) {
	for _, out := range l.outputs.all {
		to, ok := out.sink.(sink.Labeler)
		if !ok || !to.WantsLabels() || out.isGone() {
			continue
		}
		err := to.WriteLabel(label)
		if _, queued := out.sink.(sink.Queued); err != nil && queued {
			l.dropped.Add(1)
		} else if err != nil {
			l.outputs.trouble(out, err)
		}
	}
}
