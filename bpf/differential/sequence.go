package differential

import (
	"slices"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/bpftest"
)

// A Step is a frame at a time, or a sweep at the time that the clock, the
// running maximum of the frames' times, shows.
type Step struct {
	Data   []byte
	Length uint32 // original
	TimeNs uint64
	Sweep  bool
}

// Segments cuts a sequence where the meters may differ, and are meant to. The
// Go meter counts the time since a flow's last packet, or since its connection
// ended, from where the clock stood then; the sweep from that packet's own time.
// What lies between the two can be closed in one and open in the other once an
// older packet came in.
func Segments(steps []Step, o *bpftest.Options) (segments [][]Step) {
	timeouts := []uint64{o.IdleNs}
	if o.TCPEnd {
		timeouts = append(timeouts, uint64(bpf.TCPGrace))
	}
	start := 0
	var clock uint64
	var older []window
	for i, s := range steps {
		needsSweep := s.Sweep || s.TimeNs < clock
		if needsSweep && slices.ContainsFunc(older, func(w window) bool { return w.has(clock) }) {
			segments = append(segments, steps[start:i])
			start, clock, older = i, 0, nil
		}
		if s.Sweep {
			continue
		}
		clock = max(clock, s.TimeNs)
		for _, t := range timeouts {
			if s.TimeNs < clock {
				older = append(older, window{s.TimeNs + t, clock + t})
			}
		}
	}
	return append(segments, steps[start:])
}

// A window is when a flow is over by its own time and not by the clock's.
type window struct{ from, to uint64 }

func (w window) has(t uint64) bool { return w.from <= t && t < w.to }
