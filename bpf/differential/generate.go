package differential

import (
	"encoding/binary"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/bpftest"
)

// stepsMax bounds a generated sequence.
const stepsMax = 64

// What a step of a generated sequence is; the numbers are those of Encode.
const (
	stepGiven  = iota // a frame, octet by octet
	stepBuilt         // a frame made up
	stepAgain         // a frame from before, as it was
	stepAnswer        // a frame from before, turned round
	stepMutant        // a frame from before, or made up, changed
	stepSweep
	stepKinds
)

// OptionSets are what sequences are run under: together all link types, accounting
// modes and optional features. They are few, because loading the object for one
// takes a quarter of a second.
func OptionSets() (sets []bpftest.Options) {
	links := []bpf.LinkType{
		bpf.WeirLinkTypeLINK_ETHERNET, bpf.WeirLinkTypeLINK_ETHERNET, bpf.WeirLinkTypeLINK_RAW, bpf.WeirLinkTypeLINK_SLL,
		bpf.WeirLinkTypeLINK_ETHERNET, bpf.WeirLinkTypeLINK_PPP, bpf.WeirLinkTypeLINK_NULL, bpf.WeirLinkTypeLINK_SLL2,
		bpf.WeirLinkTypeLINK_ETHERNET, bpf.WeirLinkTypeLINK_C_HDLC, bpf.WeirLinkTypeLINK_IPV6, bpf.WeirLinkTypeLINK_RADIOTAP,
		bpf.WeirLinkTypeLINK_RAW_BSD, bpf.WeirLinkTypeLINK_PPP_SERIAL, bpf.WeirLinkTypeLINK_LOOP, bpf.WeirLinkTypeLINK_IPV4,
	}
	const us = 1000
	timeouts := [][2]uint64{{10_000 * us, 35_000 * us}, {120e9, 1800e9}, {50 * us, 20 * us}, {1, 1}, {uint64(bpf.TCPGrace), 10e9}, {1500e6, 10e9}}
	for i, link := range links {
		t := timeouts[(i+i/4)%len(timeouts)]
		sets = append(sets, bpftest.Options{
			IdleNs: t[0], ActiveNs: t[1], LinkType: uint32(link), Accounting: bpf.Accounting(i / 4),
			Statistics: i%4 != 1, TCPStatistics: i%5 != 2, IPStatistics: i%3 != 1, TCPEnd: i%2 == 0, SPLT: uint8([]int{0, 3, bpf.SPLTMax}[i%3]), Samples: uint8([]int{3, 20, 0}[i%3]),
			SampleOctets: []uint32{64, 500, 16384}[i/4%3], NoTunnels: i%8 == 6, MaxFlows: 256, RingOctets: 1 << 20,
		})
	}
	return sets
}

// Generate makes a sequence of steps for the options: frames of a few flows in
// both directions, at times around the timeouts.
func Generate(c Choices, o *bpftest.Options) (steps []Step) {
	now := uint64(1e15)
	for range stepsMax {
		if in, ok := c.(*Input); ok && !in.Left() {
			break
		}
		now += after(c, o)
		s := step(c, o, steps)
		s.TimeNs = now
		steps = append(steps, s)
	}
	return steps
}

// after is how long after the step before the next one is; less than nothing,
// now and then.
func after(c Choices, o *bpftest.Options) uint64 {
	switch c.IntN(16) {
	case 0:
		return 0
	case 1:
		return 1
	case 2:
		return 999
	case 3, 4, 5:
		return 1000 * uint64(1+c.IntN(1000))
	case 6:
		return o.IdleNs - 1
	case 7:
		return o.IdleNs
	case 8:
		return o.IdleNs + 1 + uint64(c.IntN(1<<24))
	case 9:
		return o.ActiveNs
	case 10:
		return o.ActiveNs / 2
	case 11:
		return -uint64(c.IntN(5000))
	case 12:
		return -(o.IdleNs / 2)
	case 13:
		return pick(c, uint64(bpf.TCPGrace)-1, uint64(bpf.TCPGrace), uint64(bpf.TCPGrace)/2)
	case 14:
		return -min(o.IdleNs+uint64(c.IntN(1000)), 200e9)
	}
	return uint64(c.IntN(1 << 24))
}

func step(c Choices, o *bpftest.Options, before []Step) (s Step) {
	kind := c.IntN(stepKinds + 2) // two more chances of an answer
	if kind == stepSweep {
		return Step{Sweep: true}
	}
	if kind == stepGiven {
		s.Data = given(c)
	} else {
		s.Data = earlier(c, o, kind, before)
	}
	if len(s.Data) < bpftest.MinFrame { // BPF_PROG_TEST_RUN takes none shorter
		s.Data = append(s.Data, make([]byte, bpftest.MinFrame-len(s.Data))...)
	}
	s.Length = uint32(len(s.Data))
	if oneIn(c, 4) {
		s.Length += uint32(c.IntN(70000))
	}
	return s
}

// given is a frame as it stands in the fuzzer's input; another source of
// choices makes up its octets.
func given(c Choices) []byte {
	size := c.IntN(frameMax)
	if in, ok := c.(*Input); ok {
		return append([]byte(nil), in.take(size)...)
	}
	b := make([]byte, size%100)
	for i := range b {
		b[i] = byte(c.IntN(256))
	}
	return b
}

// earlier is a frame from before, as it was or changed; a new one where there is
// none.
func earlier(c Choices, o *bpftest.Options, kind int, before []Step) []byte {
	var base []byte
	if kind != stepBuilt && len(before) > 0 {
		base = append(base, before[len(before)-1-c.IntN(min(len(before), 8))].Data...)
	}
	if base == nil {
		base = Build(c, o.LinkType)
	}
	switch kind {
	case stepBuilt, stepAgain:
	case stepMutant:
		return Mutate(c, base, o.LinkType)
	default:
		Turn(base, o.LinkType)
	}
	return base
}

// Decode makes what a fuzzer's input says: which of OptionSets, and the parts of
// a sequence in which all meters have to agree.
func Decode(input []byte) (set int, o bpftest.Options, segments [][]Step) {
	sets, in := OptionSets(), &Input{Octets: input}
	set = in.IntN(len(sets))
	o = sets[set]
	return set, o, Segments(Generate(in, &o), &o)
}

// Encode is the fuzzer's input that Decode makes a sequence of these frames
// of, a millisecond or less apart: what a corpus starts with.
func Encode(set int, frames [][]byte) []byte {
	in := []byte{byte(set)}
	for _, f := range frames[:min(len(frames), stepsMax)] {
		f = f[:min(len(f), frameMax-1)]
		in = append(in, 3, byte(len(f)>>2), byte(len(f)), stepGiven)
		in = binary.BigEndian.AppendUint16(in, uint16(len(f)))
		in = append(in, f...)
		in = append(in, 0)
	}
	return in
}
