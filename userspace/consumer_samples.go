package userspace

import (
	"fmt"
	"sync"
	"unsafe"

	"github.com/cilium/ebpf"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/testrun"
)

const (
	// sampledMax bounds the flows whose samples can be stopped: those of nDPI's, as many
	// as it has under inspection by default. Of others all samples come.
	sampledMax = 1 << 16
	// doneBatch is how many flows the program takes in one run (DPI_DONE_BATCH).
	doneBatch = 32
)

// sampledFlows knows the keys of flows under classification, by which the
// programs find them, and what was asked to be stopped.
type sampledFlows struct {
	keys map[uint64]bpf.DPIDone // of the iterating goroutine

	mu    *sync.Mutex
	asked *[]flowPart
	done  []flowPart // of the iterating goroutine, to be filled again
	batch []bpf.DPIDone
}

type flowPart struct {
	flowID uint64
	part   uint32
}

// newSampledFlows has room for so many flows, from the start: a flood is no time to ask for it.
func newSampledFlows(room int) sampledFlows {
	return sampledFlows{keys: make(map[uint64]bpf.DPIDone, room), mu: &sync.Mutex{}, asked: &[]flowPart{},
		batch: make([]bpf.DPIDone, 0, doneBatch)}
}

// add keeps the key of a record that a sample is of. A record may be read before
// its last sample: such keys are never forgotten, so that where there is no room
// any other makes way.
func (s *sampledFlows) add(e *bpf.SampleEvent) {
	if d, known := s.keys[e.FlowId]; known && d.Part == e.Part {
		return
	}
	if len(s.keys) >= sampledMax {
		for flowID := range s.keys {
			delete(s.keys, flowID)
			break
		}
	}
	s.keys[e.FlowId] = bpf.DPIDone{Key: e.Key, FlowId: e.FlowId, Part: e.Part}
}

// forget drops a flow that has ended; a later part of it that is known stays.
func (s *sampledFlows) forget(flowID uint64, part uint32) {
	if s.keys[flowID].Part == part {
		delete(s.keys, flowID)
	}
}

// StopSamples implements DPIStopper.
func (c *Consumer) StopSamples(flowID uint64, part uint32) {
	s := &c.sampled
	s.mu.Lock()
	defer s.mu.Unlock()
	*s.asked = append(*s.asked, flowPart{flowID, part})
}

// stop tells the programs what was asked since the last time.
func (s *sampledFlows) stop(program *ebpf.Program) error {
	s.mu.Lock()
	asked := *s.asked
	*s.asked, s.done = s.done[:0], asked
	s.mu.Unlock()
	batch := s.batch[:0]
	for i, a := range asked {
		if d, known := s.keys[a.flowID]; known && d.Part == a.part {
			batch = append(batch, d)
		}
		if len(batch) == doneBatch || len(batch) > 0 && i == len(asked)-1 {
			data := unsafe.Slice((*byte)(unsafe.Pointer(&batch[0])), uintptr(len(batch))*unsafe.Sizeof(batch[0]))
			if err := testrun.Run(program, data, nil); err != nil {
				return fmt.Errorf("stop samples of %d flows: %w", len(batch), err)
			}
			batch = batch[:0]
		}
	}
	return nil
}
