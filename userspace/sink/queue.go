package sink

import (
	"runtime"
	"sync"
	"time"

	"github.com/weirflow/weir/userspace"
)

// A batch is records that go out together.
type batch struct {
	data    []byte
	records []record
	// done and begin are how many records, and octets, are settled.
	done, begin int
	closed      bool // it grows no more
	// offered and refused are the flows before its first, and what was refused of them.
	offered uint64
	refused userspace.Count
}

const (
	// batchOctets is how many octets a batch gathers, and one record more.
	batchOctets = flushAt
	// spareMax bounds the batches that are kept to be filled again, some 4 MiB: as many
	// as come together while the writer waits for a CPU. Those beyond are garbage.
	spareMax = 64
)

// A queue holds records from when they are written until they are settled: until
// it is known that they have arrived. It is bounded in records and octets.
type queue struct {
	maxRecords, maxOctets int
	put                   chan struct{} // holds one when something was put
	room                  chan struct{} // holds one when something was settled

	mu      sync.Mutex
	batches []*batch // the oldest first
	taken   int      // of them
	spare   []*batch // to be filled again, spareMax of them at most
	records int
	octets  int
	offered uint64 // flows, those refused included
	refused userspace.Count
	history refusalLog
	moved   time.Time // when something was last settled, or the first waits since
	// start is where on the connection the oldest record that is not settled begins.
	start int64
}

func newQueue(records, octets int) *queue {
	return &queue{maxRecords: records, maxOctets: octets, put: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

// wake wakes whoever waits for c, or will.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// add takes a record unless there is no room. With each batch that is full, who takes
// batches gets a turn before more is written: on a machine that has no other CPU to
// spare for it, the queue would grow until the writer's time is up.
func (q *queue) add(data []byte, flows uint64, count userspace.Count) bool {
	added, full := q.append(data, flows, count)
	if full {
		runtime.Gosched()
	}
	return added
}

// append says whether there was room, and whether the record filled a batch. What is no
// flow may fill half of the queue: labels give way to flows.
func (q *queue) append(data []byte, flows uint64, count userspace.Count) (added, full bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	maxRecords, maxOctets := q.maxRecords, q.maxOctets
	if flows == 0 {
		maxRecords, maxOctets = (maxRecords+1)/2, maxOctets/2
	}
	if q.records >= maxRecords || q.octets+len(data) > maxOctets {
		return false, false
	}
	if q.records == 0 {
		q.moved = time.Now()
	}
	b := q.open()
	b.data = append(b.data, data...)
	b.records = append(b.records, record{len(b.data), flows, count})
	q.records++
	q.octets += len(data)
	q.offered += flows
	wake(q.put)
	return true, len(b.data) >= batchOctets
}

// open is the batch that grows.
func (q *queue) open() *batch {
	if n := len(q.batches); n > 0 && !q.batches[n-1].closed && len(q.batches[n-1].data) < batchOctets {
		return q.batches[n-1]
	}
	var b *batch
	if n := len(q.spare); n > 0 {
		b, q.spare = q.spare[n-1], q.spare[:n-1]
	} else {
		b = &batch{data: make([]byte, 0, batchOctets+batchOctets/8)}
	}
	*b = batch{data: b.data[:0], records: b.records[:0], offered: q.offered, refused: q.refused}
	q.batches = append(q.batches, b)
	return b
}

// refuse counts a flow that found no room. Those that follow it are in another batch
// than those before, so that settled tells them apart.
func (q *queue) refuse(flows uint64, count userspace.Count) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.offered += flows
	q.refused = q.refused.Plus(count)
	if flows > 0 {
		q.history = q.history.add(q.offered, q.offered, q.refused)
	}
	if n := len(q.batches); n > 0 {
		q.batches[n-1].closed = true
	}
}

// refusedInAll is what found no room.
func (q *queue) refusedInAll() userspace.Count {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.refused
}

// take returns the octets and records of the next batch, which is to begin at a
// position of the connection; none if all were taken.
func (q *queue) take(position int64) (data []byte, records []record) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.taken == len(q.batches) {
		return nil, nil
	}
	if q.taken == 0 {
		q.start = position
	}
	b := q.batches[q.taken]
	b.closed = true
	q.taken++
	return b.data[b.begin:], b.records[b.done:]
}

// restart has everything that is not settled taken again, on another connection.
func (q *queue) restart() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.taken = 0
}

// settle counts the records that end at or before a position of the connection as
// having arrived, and says how many there were.
func (q *queue) settle(position int64) (settled int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.taken > 0 {
		b := q.batches[0]
		for b.done < len(b.records) && q.start+int64(b.records[b.done].end-b.begin) <= position {
			settled++
			q.pass(b)
		}
		if b.done < len(b.records) {
			break
		}
		q.batches = q.batches[1:]
		q.taken--
		if len(q.spare) < spareMax {
			q.spare = append(q.spare, b)
		}
	}
	if settled > 0 {
		q.moved = time.Now()
		wake(q.room)
	}
	return settled
}

// pass goes over the oldest record.
func (q *queue) pass(b *batch) record {
	r := b.records[b.done]
	octets := r.end - b.begin
	q.start += int64(octets)
	q.octets -= octets
	q.records--
	b.begin = r.end
	b.done++
	return r
}

// still is for how long nothing has been settled.
func (q *queue) still() time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	return time.Since(q.moved)
}

// empty tells whether all is settled.
func (q *queue) empty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.records == 0
}

// settled is how many of the flows offered first are settled or refused, and what
// was refused of them.
func (q *queue) settled() (flows uint64, refused userspace.Count) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.settledFirst()
}

func (q *queue) settledFirst() (flows uint64, refused userspace.Count) {
	if q.records == 0 {
		return q.offered, q.refused
	}
	b := q.batches[0]
	flows = b.offered
	for _, r := range b.records[:b.done] {
		flows += r.flows
	}
	return flows, b.refused
}

// refusedOf is what was refused of the flows offered first: of n of them, of which all
// are settled, or of the most fewer that it can tell of.
func (q *queue) refusedOf(n uint64) (of uint64, refused userspace.Count) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.history.of(n)
}

// A share is flows and what is in them.
type share struct {
	flows uint64
	count userspace.Count
}

func (t *share) add(r record) {
	t.flows += r.flows
	t.count = t.count.Plus(r.count)
}

// giveUp empties the queue. Of what was in it, sent was taken for the connection, and
// begins before the position up to which that was written; the rest was not.
func (q *queue) giveUp(written int64) (sent, unsent share) {
	q.mu.Lock()
	defer q.mu.Unlock()
	settled, _ := q.settledFirst()
	for i, b := range q.batches {
		for b.done < len(b.records) {
			begins := q.start
			r := q.pass(b)
			if i < q.taken && begins < written {
				sent.add(r)
			} else {
				unsent.add(r)
			}
		}
	}
	q.refused = q.refused.Plus(sent.count).Plus(unsent.count)
	if sent.flows+unsent.flows > 0 {
		q.history = q.history.add(settled+1, q.offered, q.refused)
	}
	q.batches, q.taken = nil, 0
	wake(q.room)
	return sent, unsent
}
