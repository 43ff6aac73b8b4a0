package flowgen

import "encoding/binary"

// A Tuple is the addresses and ports of a generated frame. Addr holds the low
// 32 bits of an address in network byte order; the rest is the template's.
type Tuple struct {
	Src, Dst         uint32
	SrcPort, DstPort uint16
}

// A Sequence says what the generator sends, packet by packet: the programs of
// flowgen.bpf.c in Go. The zero Sequence is not of use; see NewSequence.
type Sequence struct {
	flows, seed uint64
	steps       [stepCount]uint32
	round       uint32
	left        uint32
	flow        uint32
	step        uint32
}

// NewSequence begins the sequence that a generator with the same flows (1 to
// MaxFlows) and seed sends on one CPU.
func NewSequence(flows uint32, seed uint64) *Sequence {
	return &Sequence{flows: uint64(flows), seed: seed, steps: steps(flows, seed)}
}

// Next is the flow, from 0, of the next packet, and whether it is reversed.
func (s *Sequence) Next() (flow uint32, reverse bool) {
	if s.left == 0 {
		s.begin()
	}
	s.left--
	flow = s.flow
	s.flow += s.step
	if uint64(s.flow) >= s.flows {
		s.flow -= uint32(s.flows)
	}
	return flow, (uint64(s.round)^mix(uint64(flow))>>63)&1 == 1
}

func (s *Sequence) begin() {
	r := mix(s.seed + uint64(s.round))
	s.left = uint32(s.flows)
	s.flow = uint32(r) % uint32(s.flows)
	s.step = s.steps[r>>32%stepCount]
	s.round++
}

// TupleOf is what the generator writes into a packet of flow.
func TupleOf(flow uint32, reverse bool) Tuple {
	m := mix(uint64(flow))
	t := Tuple{
		Src: clientNet | flow, Dst: serverNet | uint32(m>>32&0xff),
		SrcPort: uint16(1024 + m&0x7fff), DstPort: serverPort,
	}
	if reverse {
		t.Src, t.Dst, t.SrcPort, t.DstPort = t.Dst, t.Src, t.DstPort, t.SrcPort
	}
	return t
}

// Write puts the tuple into a template frame, as the generator does.
func (t Tuple) Write(frame []byte) {
	addr, dst, ports := 34, 50, 54
	if binary.BigEndian.Uint16(frame[12:]) == 0x0800 {
		addr, dst, ports = 26, 30, 34
	}
	binary.BigEndian.PutUint32(frame[addr:], t.Src)
	binary.BigEndian.PutUint32(frame[dst:], t.Dst)
	binary.BigEndian.PutUint16(frame[ports:], t.SrcPort)
	binary.BigEndian.PutUint16(frame[ports+2:], t.DstPort)
}

// The same names and values as in flowgen.bpf.c.
const (
	stepCount  = 16
	clientNet  = 0x0a000000
	serverNet  = 0xc6120000
	serverPort = 443
)

// MaxFlows bounds the flows of a generator: one client address each.
const MaxFlows = 1 << 24

// mix is a bijection of 64 bits: the finisher of splitmix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// steps are strides through the flows that visit each once a round: without a
// divisor in common with their number.
func steps(flows uint32, seed uint64) (s [stepCount]uint32) {
	for i := range s {
		step := uint32(mix(seed^uint64(i+1)*0x9e3779b97f4a7c15)) % flows
		for gcd(step, flows) != 1 {
			step = (step + 1) % flows
		}
		s[i] = step
	}
	return s
}

func gcd(a, b uint32) uint32 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
