package worker

import (
	"bytes"
	"unicode/utf8"

	"github.com/weirflow/weir/dpi/ndpi"
	"github.com/weirflow/weir/userspace"
)

// Why a flow bears no label; userspace.L7's Reason.
const (
	// ReasonNotSampled: no packet of the flow came to be classified.
	ReasonNotSampled = "not_sampled"
	// ReasonEvicted: more flows were open than verdicts are kept for, or more
	// waited for theirs than a live meter waits for.
	ReasonEvicted = "evicted"
	// ReasonEngineCrashed: the DPI process ended, or was ended, while it had
	// the flow.
	ReasonEngineCrashed = "engine_crashed"
	// ReasonQuarantined: the flow has a packet of which the DPI process died twice.
	ReasonQuarantined = "quarantined"
)

// unknownName is nDPI's name for what it does not know.
const unknownName = "Unknown"

// confidenceMax is the highest of userspace.L7's numbers.
const confidenceMax = 9

// A verdict's payload follows the flow in a Verdict frame, and is kept in this
// form from when a flow is done until it closes: guessed, confidence, then the
// eight texts of userspace.L7 in its order, each behind its length (8 bits),
// and then the details, if they were asked for.

func appendResult(b []byte, r *ndpi.Result) []byte {
	b = append(b, truth(r.Guessed), r.Confidence)
	for _, t := range [...][]byte{
		r.ApplicationName, r.CategoryName, r.ServerName, r.ClientFingerprint,
		r.ServerFingerprint, r.UserAgent, r.ContentType, nil,
	} {
		b = appendText(b, clip(t))
	}
	return b
}

// appendUnknown appends the payload of a verdict that names no application.
func appendUnknown(b []byte, reason string) []byte {
	b = appendText(append(b, 0, 0), unknownName)
	b = appendText(b, "Unspecified")
	return appendText(append(b, 0, 0, 0, 0, 0), reason)
}

func appendVerdict(b []byte, f FlowRef, payload []byte) []byte {
	b = appendHeader(b, KindVerdict, flowLen+len(payload))
	return append(appendFlow(b, f), payload...)
}

// SplitVerdict reads a Verdict frame's body as far as the flow; ParseVerdict
// reads the rest.
func SplitVerdict(body []byte) (FlowRef, []byte, error) {
	if len(body) < flowLen {
		return FlowRef{}, nil, &ProtocolError{KindVerdict, "no flow in it"}
	}
	return flowOf(body), body[flowLen:], nil
}

// ParseVerdict reads a verdict's payload. The texts are copies, and UTF-8
// whatever the sender made them of.
func ParseVerdict(payload []byte) (*userspace.L7, error) {
	if len(payload) < 2 || payload[0] > 1 || payload[1] > confidenceMax {
		return nil, &ProtocolError{KindVerdict, "guessed or confidence out of range"}
	}
	t := texts{rest: payload[2:]}
	l := &userspace.L7{
		ApplicationIsGuessed:    payload[0] == 1,
		ApplicationConfidence:   payload[1],
		ApplicationName:         t.next(),
		ApplicationCategoryName: t.next(),
		RequestedServerName:     t.next(),
		ClientFingerprint:       t.next(),
		ServerFingerprint:       t.next(),
		UserAgent:               t.next(),
		ContentType:             t.next(),
		Reason:                  t.next(),
	}
	if t.short {
		return l, t.end(KindVerdict)
	}
	var err error
	l.Details, err = parseDetails(t.rest)
	return l, err
}

// texts reads texts off a body one after the other.
type texts struct {
	rest  []byte
	short bool
}

func (t *texts) next() string {
	if len(t.rest) == 0 || len(t.rest) <= int(t.rest[0]) {
		t.short = true
		return ""
	}
	n := 1 + int(t.rest[0])
	text := t.rest[1:n]
	t.rest = t.rest[n:]
	if utf8.Valid(text) {
		return string(text)
	}
	return string(bytes.ToValidUTF8(text, nil))
}

func (t *texts) end(kind Kind) error {
	if t.short || len(t.rest) != 0 {
		return &ProtocolError{kind, "its texts do not fill it"}
	}
	return nil
}

func clip[T string | []byte](t T) T { return t[:min(len(t), textMax)] }

// appendText appends a text of at most textMax octets behind its length.
func appendText[T string | []byte](b []byte, t T) []byte {
	return append(append(b, byte(len(t))), t...)
}
