package differential

import (
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/weirflow/weir/bpf"
)

// A Mutator makes frames for decoders to agree on: those of captures, and made
// up ones, changed; under every link type, accounting mode, with tunnels and
// without.
type Mutator struct {
	random   *rand.Rand
	frames   map[uint32][]Step
	links    []uint32
	shortest int
	number   int
}

// NewMutator takes the frames of captures by link type. It makes none that is
// shorter than the given number of octets.
func NewMutator(random *rand.Rand, frames map[uint32][]Step, shortest int) *Mutator {
	links := map[uint32]bool{}
	for _, o := range OptionSets() {
		links[o.LinkType] = true
	}
	for link := range frames {
		links[link] = true
	}
	return &Mutator{random: random, frames: frames, links: slices.Sorted(maps.Keys(links)), shortest: shortest}
}

// Options are the next to decode frames under: every other time on Ethernet.
func (m *Mutator) Options() (link uint32, mode bpf.Accounting, noTunnels bool) {
	m.number++
	link = m.links[m.number/2%len(m.links)]
	if m.number%2 == 0 {
		link = uint32(bpf.WeirLinkTypeLINK_ETHERNET)
	}
	return link, bpf.Accounting(m.random.IntN(4)), m.random.IntN(8) == 0
}

// Frames makes n frames of a link type.
func (m *Mutator) Frames(link uint32, n int) []Step {
	steps := make([]Step, n)
	for i := range steps {
		steps[i] = m.frame(link)
	}
	return steps
}

// frame has, most of the time, an original length that no other one has: sums of
// ignored octets then tell which frames were ignored for what.
func (m *Mutator) frame(link uint32) (s Step) {
	s.Data = Mutate(m.random, m.base(link), link)
	if short := m.shortest - len(s.Data); short > 0 {
		s.Data = append(s.Data, make([]byte, short)...)
	}
	s.Length = uint32(len(s.Data))
	if m.random.IntN(4) > 0 {
		s.Length += uint32(m.random.IntN(1 << 16))
	}
	return s
}

// base is a frame of a capture of the link type, one made up, or now and then
// one of another link type.
func (m *Mutator) base(link uint32) []byte {
	list := m.frames[link]
	if m.random.IntN(16) == 0 {
		list = m.frames[m.links[m.random.IntN(len(m.links))]]
	}
	if len(list) == 0 || m.random.IntN(2) == 0 {
		return Build(m.random, link)
	}
	return list[m.random.IntN(len(list))].Data
}
