package dpi

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/weirflow/weir/dpi/worker"
	"github.com/weirflow/weir/userspace"
)

const (
	// batchOctets is what a batch holds before it is sent: one write each.
	batchOctets = 64 << 10
	// batches is how many there are, being filled, waiting, or being written.
	batches = 16
	// flushAfter is how long a batch is filled at most.
	flushAfter = 50 * time.Millisecond
)

// A batch is frames to be written at once.
type batch struct {
	b       []byte
	seq     uint64 // counts batches from 1
	samples uint64
	lastNs  uint64 // the latest of its samples' times
}

// An outbox gathers frames into batches. They go round: free, being filled,
// full, being written, free.
type outbox struct {
	mu      sync.Mutex
	cur     *batch // nil: none being filled
	seq     uint64
	dropped uint64
	samples uint64
	timer   *time.Timer // runs while cur is not nil

	free, full chan *batch
	// down: there is no process, and there will be none for a while.
	down atomic.Bool
}

func (o *outbox) init() {
	o.free = make(chan *batch, batches)
	o.full = make(chan *batch, batches)
	for range batches {
		room := make([]byte, batchOctets+userspace.SampleOctetsMax+worker.SampleOverhead)
		clear(room) // so that the kernel gives it now: a flood is no time to ask for it
		o.free <- &batch{b: room[:0]}
	}
	o.timer = time.AfterFunc(time.Hour, o.flush)
	o.timer.Stop()
}

// sample appends a sample. It is dropped while there is no process, and, if
// lossy, when no batch is free.
func (o *outbox) sample(s *userspace.Sample, lossy bool, closed <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.down.Load() || !o.begin(lossy, closed) {
		o.dropped++
		return
	}
	o.samples++
	o.cur.samples++
	o.cur.lastNs = max(o.cur.lastNs, s.TimeNs)
	o.cur.b = worker.AppendSample(o.cur.b, s)
	o.sendIfFull()
}

// close appends a Close frame and calls sent, with the batch's number, before
// another frame can be appended. It returns false if there is no process, and,
// if lossy, when no batch is free.
func (o *outbox) close(ref worker.FlowRef, lossy bool, closed <-chan struct{}, sent func(seq uint64)) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.down.Load() || !o.begin(lossy, closed) {
		return false
	}
	sent(o.cur.seq)
	o.cur.b = worker.AppendFlowFrame(o.cur.b, worker.KindClose, ref)
	o.sendIfFull()
	return true
}

// begin sees to it that there is a batch to append to.
func (o *outbox) begin(lossy bool, closed <-chan struct{}) bool {
	if o.cur != nil {
		return true
	}
	select {
	case o.cur = <-o.free:
	default:
		if lossy {
			return false
		}
		select {
		case o.cur = <-o.free:
		case <-closed:
			return false
		}
	}
	o.seq++
	*o.cur = batch{b: o.cur.b[:0], seq: o.seq}
	o.timer.Reset(flushAfter)
	return true
}

func (o *outbox) sendIfFull() {
	if len(o.cur.b) >= batchOctets {
		o.send()
	}
}

// send never blocks: full has room for all batches.
func (o *outbox) send() {
	o.timer.Stop()
	o.full <- o.cur
	o.cur = nil
}

// giveBack frees a batch. Of the packets in it nothing stays behind.
func (o *outbox) giveBack(b *batch) {
	clear(b.b)
	o.free <- b
}

// flush sends what there is.
func (o *outbox) flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.cur != nil {
		o.send()
	}
}

// goDown turns frames away until comeUp, and drops those that were not written.
func (o *outbox) goDown() {
	o.down.Store(true)
	o.drain()
	// A sample that waited for a batch may have just got one; the next sees
	// that there is no process.
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.cur != nil {
		o.send()
	}
	o.drain()
}

func (o *outbox) comeUp() { o.down.Store(false) }

func (o *outbox) drain() {
	for {
		select {
		case b := <-o.full:
			o.giveBack(b)
		default:
			return
		}
	}
}

func (o *outbox) counts() (samples, dropped uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.samples, o.dropped
}
