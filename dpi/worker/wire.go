package worker

import (
	"encoding/binary"
	"fmt"

	"github.com/weirflow/weir/userspace"
)

// Version is that of the protocol. Both sides are one binary, so that a
// difference means that something else was started.
const Version = 2

// A Kind is a frame's kind.
type Kind uint8

// The kinds of frame.
const (
	KindHello Kind = 1 + iota
	KindWelcome
	KindSample
	KindClose
	KindDone
	KindVerdict
	KindAck
	KindLabel
)

const (
	headerLen = 4
	flowLen   = 12
	helloLen  = 9 // without the digests
	ackLen    = 56
	// sampleLen is a sample's body without its packet.
	sampleLen = flowLen + 16
	// PacketMax is the most octets of a packet that a sample carries.
	PacketMax = 1<<16 - 1
	// FrameMax is the longest frame that either side accepts.
	FrameMax = headerLen + sampleLen + PacketMax
	// SampleOverhead is what a sample takes beside its packet.
	SampleOverhead = headerLen + sampleLen
	textMax        = 255
)

// A FlowRef names one record: bpf.Record's fields of these names.
type FlowRef struct {
	FlowID uint64
	Part   uint32
}

// A Hello tells the new process its bounds.
type Hello struct {
	// Dissections is how many samples of a flow nDPI is shown at most.
	Dissections uint8
	// MaxFlows bounds the flows under inspection.
	MaxFlows uint32
	// Details asks for what else is learnt of flows.
	Details bool
	// Labels asks for Label frames.
	Labels bool
	// Files has a bit for each of ndpi.Files that the process is given, in their
	// order; they are open from FilesFD on.
	Files uint8
	// Restarted says that another process went before, which may have had the
	// first samples of flows that this one hears of.
	Restarted bool
	// Unconfined leaves the process the system calls and the memory that it has.
	Unconfined bool
	// Quarantine are the samples that are not to be looked at, at most QuarantineMax.
	Quarantine []Digest
}

// An Ack tells how far the process came. All counts are since its start.
type Ack struct {
	Octets   uint64 // of frames read
	Shown    uint64 // samples that nDPI was shown
	Rejected uint64 // samples that could have led nDPI astray
	Evicted  uint64 // flows given up early, for the bound
	Done     uint64 // Done frames sent
	Unread   uint64 // hellos given up, for the bound on their octets
	Memory   uint64 // octets that nDPI holds, no count
}

// A ProtocolError is a frame that cannot be.
type ProtocolError struct {
	Kind   Kind
	Reason string
}

func (e *ProtocolError) Error() string {
	return fmt.Sprintf("read frame of kind %d: %s", e.Kind, e.Reason)
}

// NextFrame splits the first frame off b. It returns kind 0 and no error when b
// does not hold a whole frame yet.
func NextFrame(b []byte) (kind Kind, body, rest []byte, err error) {
	if len(b) < headerLen {
		return 0, nil, b, nil
	}
	h := binary.LittleEndian.Uint32(b)
	kind, n := Kind(h>>24), int(h&(1<<24-1))
	if kind < KindHello || kind > KindLabel {
		return 0, nil, b, &ProtocolError{kind, "no such kind"}
	}
	if n > FrameMax-headerLen {
		return 0, nil, b, &ProtocolError{kind, fmt.Sprintf("%d octets, at most %d are allowed", n, FrameMax-headerLen)}
	}
	if len(b) < headerLen+n {
		return 0, nil, b, nil
	}
	return kind, b[headerLen : headerLen+n : headerLen+n], b[headerLen+n:], nil
}

func appendHeader(b []byte, kind Kind, n int) []byte {
	return binary.LittleEndian.AppendUint32(b, uint32(kind)<<24|uint32(n))
}

func appendFlow(b []byte, f FlowRef) []byte {
	b = binary.LittleEndian.AppendUint64(b, f.FlowID)
	return binary.LittleEndian.AppendUint32(b, f.Part)
}

func flowOf(b []byte) FlowRef {
	return FlowRef{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint32(b[8:])}
}

func want(kind Kind, body []byte, n int) error {
	if len(body) == n {
		return nil
	}
	return &ProtocolError{kind, fmt.Sprintf("%d octets instead of %d", len(body), n)}
}

// AppendHello appends the frame to b.
func AppendHello(b []byte, h Hello) []byte {
	quarantine := h.Quarantine[:min(len(h.Quarantine), QuarantineMax)]
	b = appendHeader(b, KindHello, helloLen+len(quarantine)*len(Digest{}))
	b = binary.LittleEndian.AppendUint16(b, Version)
	b = append(b, h.Dissections, truth(h.Restarted)|truth(h.Details)<<1|truth(h.Labels)<<2|truth(h.Unconfined)<<3)
	b = append(binary.LittleEndian.AppendUint32(b, h.MaxFlows), h.Files)
	for _, digest := range quarantine {
		b = append(b, digest[:]...)
	}
	return b
}

// ParseHello reads a Hello frame's body.
func ParseHello(body []byte) (h Hello, err error) {
	digests := max(0, len(body)-helloLen) / len(Digest{})
	if err := want(KindHello, body, helloLen+min(digests, QuarantineMax)*len(Digest{})); err != nil {
		return h, err
	}
	if v := binary.LittleEndian.Uint16(body); v != Version {
		return h, &ProtocolError{KindHello, fmt.Sprintf("protocol version %d, this is %d", v, Version)}
	}
	h = Hello{Dissections: body[2], Restarted: body[3]&1 != 0, Details: body[3]&2 != 0, Labels: body[3]&4 != 0, Unconfined: body[3]&8 != 0,
		MaxFlows: binary.LittleEndian.Uint32(body[4:]), Files: body[8]}
	if h.MaxFlows == 0 {
		return h, &ProtocolError{KindHello, "a bound of 0 flows"}
	}
	for rest := body[helloLen:]; len(rest) > 0; rest = rest[len(Digest{}):] {
		h.Quarantine = append(h.Quarantine, Digest(rest[:len(Digest{})]))
	}
	return h, nil
}

// AppendWelcome appends the answer to Hello: nDPI's release, or why it cannot
// be used.
func AppendWelcome(b []byte, release, trouble string) []byte {
	release, trouble = clip(release), clip(trouble)
	b = appendHeader(b, KindWelcome, 4+len(release)+len(trouble))
	b = binary.LittleEndian.AppendUint16(b, Version)
	b = appendText(b, release)
	return appendText(b, trouble)
}

// ParseWelcome reads a Welcome frame's body.
func ParseWelcome(body []byte) (release, trouble string, err error) {
	if len(body) < 4 || binary.LittleEndian.Uint16(body) != Version {
		return "", "", &ProtocolError{KindWelcome, "another version of the protocol"}
	}
	t := texts{rest: body[2:]}
	release, trouble = t.next(), t.next()
	return release, trouble, t.end(KindWelcome)
}

// AppendSample appends the sample to b. Its packet is cut at PacketMax octets.
func AppendSample(b []byte, s *userspace.Sample) []byte {
	packet := s.Packet[:min(len(s.Packet), PacketMax)]
	b = appendHeader(b, KindSample, sampleLen+len(packet))
	b = appendFlow(b, FlowRef{s.FlowID, s.Part})
	b = binary.LittleEndian.AppendUint64(b, s.TimeNs)
	b = binary.LittleEndian.AppendUint32(b, s.WireLength)
	b = append(b, s.Number, s.Protocol, s.IPVersion, directions(s))
	return append(b, packet...)
}

// The bits of a sample's directions.
const (
	isReverse = 1 << iota
	bareForward
	bareReverse
)

func directions(s *userspace.Sample) (bits byte) {
	for i, is := range [...]bool{s.Reverse, s.BareForward, s.BareReverse} {
		bits |= truth(is) << i
	}
	return bits
}

// ParseSample reads a Sample frame's body into s, whose Packet is part of it.
func ParseSample(body []byte, s *userspace.Sample) error {
	if len(body) < sampleLen || len(body) > sampleLen+PacketMax {
		return &ProtocolError{KindSample, fmt.Sprintf("%d octets", len(body))}
	}
	f := flowOf(body)
	*s = userspace.Sample{
		FlowID:      f.FlowID,
		Part:        f.Part,
		TimeNs:      binary.LittleEndian.Uint64(body[12:]),
		WireLength:  binary.LittleEndian.Uint32(body[20:]),
		Number:      body[24],
		Protocol:    body[25],
		IPVersion:   body[26],
		Reverse:     body[27]&isReverse != 0,
		BareForward: body[27]&bareForward != 0,
		BareReverse: body[27]&bareReverse != 0,
		Packet:      body[sampleLen:],
	}
	return nil
}

// AppendFlowFrame appends a Close or Done frame to b.
func AppendFlowFrame(b []byte, kind Kind, f FlowRef) []byte {
	return appendFlow(appendHeader(b, kind, flowLen), f)
}

// ParseFlowFrame reads the body of a Close or Done frame.
func ParseFlowFrame(kind Kind, body []byte) (FlowRef, error) {
	if err := want(kind, body, flowLen); err != nil {
		return FlowRef{}, err
	}
	return flowOf(body), nil
}

// AppendAck appends the frame to b.
func AppendAck(b []byte, a Ack) []byte {
	b = appendHeader(b, KindAck, ackLen)
	for _, v := range [...]uint64{a.Octets, a.Shown, a.Rejected, a.Evicted, a.Done, a.Unread, a.Memory} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return b
}

// ParseAck reads an Ack frame's body.
func ParseAck(body []byte) (a Ack, err error) {
	if err := want(KindAck, body, ackLen); err != nil {
		return a, err
	}
	for i, v := range [...]*uint64{&a.Octets, &a.Shown, &a.Rejected, &a.Evicted, &a.Done, &a.Unread, &a.Memory} {
		*v = binary.LittleEndian.Uint64(body[8*i:])
	}
	return a, nil
}

func truth(b bool) byte {
	if b {
		return 1
	}
	return 0
}
