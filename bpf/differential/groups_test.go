package differential_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/bpftest"
	"github.com/weirflow/weir/bpf/differential"
	"github.com/weirflow/weir/bpf/native"
)

// groupSequences is how many sequences each combination of groups gets.
const groupSequences = 60

// nativeGroups runs every combination of the groups that a record is made of, with and
// without an end of connections, under timeouts that split, close and do neither: the
// Go meter's records lie in memory otherwise with each of them.
func nativeGroups(t *testing.T, b *native.Build) {
	r := rand.New(rand.NewPCG(nativeSeed, 6))
	var jobs []job
	splits := 0
	for set := range 1 << 5 {
		for i := range groupSequences {
			o := groupOptions(set, i)
			for _, steps := range differential.Segments(differential.Generate(r, &o), &o) {
				jobs = append(jobs, job{name: fmt.Sprintf("groups %05b, sequence %d", set, i), options: o, steps: steps})
			}
		}
	}
	records := agreeOn(t, b, jobs)
	for _, j := range jobs {
		out, err := differential.Go(differential.Config(j.options), j.options.LinkType, j.steps, 0)
		if err != nil {
			t.Fatal(err)
		}
		for i := range out.Records {
			if out.Records[i].EndReason == uint8(bpf.WeirFlowEndReasonEND_ACTIVE) {
				splits++
			}
		}
	}
	if splits < records/50 {
		t.Errorf("%d of %d records were split", splits, records)
	}
	t.Logf("seed %d: %d sequences, %d records identical, %d of them split", nativeSeed, len(jobs), records, splits)
}

// groupOptions have the groups of the set's bits.
func groupOptions(set, i int) bpftest.Options {
	timeouts := [][2]uint64{{120e9, 1e6}, {10e6, 35e6}, {120e9, 1800e9}, {50e3, 20e3}, {uint64(bpf.TCPGrace), 10e9}, {3e9, 1e9}}[i%6]
	o := bpftest.Options{
		LinkType: uint32(bpf.WeirLinkTypeLINK_ETHERNET), IdleNs: timeouts[0], ActiveNs: timeouts[1],
		Statistics: set&1 != 0, TCPStatistics: set&2 != 0, IPStatistics: set&4 != 0, TCPEnd: set&8 != 0,
		Samples: 3, SampleOctets: 64, MaxFlows: 256, RingOctets: 1 << 20,
	}
	if set&16 != 0 {
		o.SPLT = []uint8{1, 3, uint8(bpf.SPLTMax)}[i%3]
	}
	return o
}
