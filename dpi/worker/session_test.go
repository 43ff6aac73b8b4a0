package worker

import (
	"bytes"
	"io"
	"testing"
)

// Of frames that were used nothing is left in the buffer before more is read, and what
// was not used is.
func TestH10SamplesLeaveNothingInTheSession(t *testing.T) {
	s := session{conn: struct {
		io.Reader
		io.Writer
	}{bytes.NewReader([]byte("!")), io.Discard}, in: make([]byte, 4096)}
	whole := AppendSample(nil, &aSample)
	part := whole[:len(whole)-3]
	s.fill = copy(s.in, append(append(bytes.Clone(whole), whole...), part...))
	for range 2 {
		if kind, _, err := s.next(); kind != KindSample || err != nil {
			t.Fatal(kind, err)
		}
	}
	if err := s.read(); err != nil {
		t.Fatal(err)
	}
	if want := append(bytes.Clone(part), '!'); !bytes.Equal(s.in[:s.fill], want) {
		t.Errorf("% x is at hand, want % x", s.in[:s.fill], want)
	}
	if rest := s.in[s.fill:]; !bytes.Equal(rest, make([]byte, len(rest))) {
		t.Errorf("the buffer holds % x", rest)
	}
}
