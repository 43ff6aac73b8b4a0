package differential_test

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/bpftest"
	"github.com/weirflow/weir/bpf/differential"
	"github.com/weirflow/weir/userspace/decode"
)

func at(times ...uint64) (steps []differential.Step) {
	for _, t := range times {
		steps = append(steps, differential.Step{TimeNs: t})
	}
	return steps
}

var sweep = differential.Step{Sweep: true}

func TestSegmentsEndWhereMetersMayDiffer(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps []differential.Step
		want  []int // lengths of the segments, for an idle timeout of 10
	}{
		{"in order", append(at(100, 105, 130), sweep), []int{4}},
		{"older by less than the timeout", at(100, 95, 99), []int{3}},
		{"older, and nothing to sweep while it may be idle", at(100, 95, 106), []int{3}},
		{"swept while idle by its own time only", append(at(100, 95, 106), sweep), []int{3, 1}},
		{"an older one while idle by its own time only", at(100, 95, 106, 105), []int{3, 1}},
		{"swept when idle by both", append(at(100, 95, 110), sweep), []int{4}},
		{"older by more than the timeout", append(at(100, 80), sweep), []int{2, 1}},
		{"a new segment begins a new clock", append(at(100, 80, 70, 75), sweep), []int{2, 3}},
	} {
		var got []int
		for _, s := range differential.Segments(c.steps, &bpftest.Options{IdleNs: 10}) {
			got = append(got, len(s))
		}
		if len(got) != len(c.want) {
			t.Errorf("%s: segments of %d steps, want %d", c.name, got, c.want)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%s: segments of %d steps, want %d", c.name, got, c.want)
			}
		}
	}
}

func TestEncodedFramesComeBack(t *testing.T) {
	frames := [][]byte{bytes.Repeat([]byte{1, 2, 3}, 10), make([]byte, 14), bytes.Repeat([]byte{0xff}, 2000)}
	set, o, segments := differential.Decode(differential.Encode(3, frames))
	if set != 3 || !reflect.DeepEqual(o, differential.OptionSets()[3]) || len(segments) != 1 || len(segments[0]) != len(frames) {
		t.Fatalf("set %d, %d segments: %+v", set, len(segments), segments)
	}
	for i, s := range segments[0] {
		if !bytes.Equal(s.Data, frames[i]) || int(s.Length) != len(frames[i]) {
			t.Errorf("frame %d: %x, length %d, want %x", i, s.Data, s.Length, frames[i])
		}
	}
}

// TestMadeUpFramesReachEveryStatus: mutants of them are worth little where they
// all end at the same check.
func TestMadeUpFramesReachEveryStatus(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	seen := map[bpf.Status]int{}
	d := decode.Decoder{DecodeTunnels: true}
	for i := range 20_000 {
		var p bpf.Packet
		link := uint32(bpf.WeirLinkTypeLINK_ETHERNET)
		if i%10 == 0 {
			link = uint32(bpf.WeirLinkTypeLINK_RADIOTAP)
		}
		frame := differential.Build(r, link)
		seen[d.Decode(frame, uint32(len(frame)), link, &p)]++
	}
	for s := bpf.WeirDecodeStatusSTATUS_OK; s < bpf.WeirDecodeStatusSTATUS_COUNT; s++ {
		switch s {
		case bpf.WeirDecodeStatusSTATUS_LINK_TYPE, bpf.WeirDecodeStatusSTATUS_FILTERED, bpf.WeirDecodeStatusSTATUS_LINK_TRUNCATED, bpf.WeirDecodeStatusSTATUS_TRANSPORT_TRUNCATED:
			continue // not a frame's own doing, or a cut's
		}
		if seen[s] == 0 {
			t.Errorf("none of 20,000 ends in %s: %v", s, seen)
		}
	}
	if seen[bpf.WeirDecodeStatusSTATUS_OK] < 10_000 {
		t.Errorf("%d of 20,000 are whole", seen[bpf.WeirDecodeStatusSTATUS_OK])
	}
}

func TestTurnedFrameIsTheAnswer(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	d := decode.Decoder{DecodeTunnels: true}
	turned := 0
	for range 2000 {
		var a, b bpf.Packet
		frame := differential.Build(r, 1)
		d.Decode(frame, uint32(len(frame)), 1, &a)
		differential.Turn(frame, 1)
		d.Decode(frame, uint32(len(frame)), 1, &b)
		if a.Key == b.Key && a.SrcEnd != b.SrcEnd {
			turned++
		}
	}
	if turned < 500 {
		t.Errorf("%d of 2,000 frames could be turned round", turned)
	}
}
