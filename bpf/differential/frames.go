package differential

import (
	"slices"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/bpftest"
)

// FrameOptions are those that show all that a decoder makes of each frame. An
// idle timeout shorter than the gaps makes every packet a record of its own; its
// sample shows where the IP header was found.
func FrameOptions(link uint32, mode bpf.Accounting, noTunnels bool) bpftest.Options {
	return bpftest.Options{
		LinkType: link, Accounting: mode, NoTunnels: noTunnels, Statistics: true, TCPStatistics: true, IPStatistics: true,
		Samples: 1, SampleOctets: 120, IdleNs: 1, MaxFlows: 2 * Batch, RingOctets: 16 << 20,
	}
}

// Apart gives each frame a time of its own.
func Apart(frames []Step) []Step {
	steps := slices.Clone(frames)
	for i := range steps {
		steps[i].TimeNs = 1000 * uint64(i+1)
	}
	return steps
}
