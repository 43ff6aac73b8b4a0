package sink

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/weirflow/weir/userspace"
	"github.com/weirflow/weir/userspace/feature"
)

// moody columns panic at each flow whose id n divides, some after they have written.
func moody() []feature.Column {
	own := func(c feature.Column, name string) feature.Column {
		c.Name = name
		return c
	}
	return []feature.Column{
		everything[0], // id
		own(feature.Column{Uint: func(r *feature.Row) uint64 { return 7 / (r.ID % 2) }}, "number"),
		own(feature.Column{Text: func(dst []byte, r *feature.Row) []byte {
			dst = append(dst, "half"...)
			if r.ID%3 == 0 {
				panic("no")
			}
			return append(dst, " and half"...)
		}}, "text"),
		own(feature.Column{List: &feature.Vector{Length: 2, At: func(r *feature.Row, i int) float64 { return []float64{1, 2}[i+int(r.ID/4)] }}}, "list"),
		own(feature.Column{}, "nothing"),
		everything[5],
	}
}

func TestC5PanicOfAColumnCostsItsValueOnly(t *testing.T) {
	for format, want := range map[string][]string{
		CSV: {"0,,,\"[1, 2]\",,49152", "1,7,half and half,\"[1, 2]\",,49152", "2,,half and half,\"[1, 2]\",,49152", "3,7,,\"[1, 2]\",,49152", "4,,half and half,,,49152"},
		NDJSON: {`{"id": 0, "number": null, "text": null, "list": [1, 2], "nothing": null, "src_port": 49152}`,
			`{"id": 1, "number": 7, "text": "half and half", "list": [1, 2], "nothing": null, "src_port": 49152}`,
			`{"id": 2, "number": null, "text": "half and half", "list": [1, 2], "nothing": null, "src_port": 49152}`,
			`{"id": 3, "number": 7, "text": null, "list": [1, 2], "nothing": null, "src_port": 49152}`,
			`{"id": 4, "number": null, "text": "half and half", "list": null, "nothing": null, "src_port": 49152}`},
	} {
		var out bytes.Buffer
		s := mustOpen(t, format+":-", moody(), &out)
		for range want {
			if err := s.Write(web()); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		got := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		if got = got[len(got)-len(want):]; !slices.Equal(got, want) {
			t.Errorf("%s: got\n%s\nwant\n%s", format, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if counted, want := s.Panics(), map[string]uint64{"number": 3, "text": 2, "list": 1, "nothing": 5}; !maps.Equal(counted, want) {
			t.Errorf("%s: panics %v, want %v", format, counted, want)
		}
	}
}

func TestWeirsOwnColumnsDoNotPanic(t *testing.T) {
	s := mustOpen(t, "csv:-", everything, io.Discard)
	for range 10 {
		if err := s.Write(web()); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.Panics(); len(n) > 0 {
		t.Errorf("panics %v", n)
	}
}

// panicking is a writer that does.
type panicking struct{}

func (panicking) Write([]byte) (int, error) { panic("no") }

// A writer of the program's that panics is an output that cannot be written.
func TestC5PanicOfAWriterIsAnErrorOfItsOutput(t *testing.T) {
	s := mustOpen(t, "ndjson:-", everything, panicking{})
	const flows = 3
	for range flows {
		if err := s.Write(web()); err != nil {
			t.Fatal(err)
		}
	}
	err := s.Close()
	var told *userspace.PanicError
	var lost *Error
	if !errors.As(err, &told) || !errors.As(err, &lost) || lost.Flows != flows {
		t.Errorf("%v", err)
	}
	t.Logf("measured: a writer panicked: %d of %d flows not sent, and counted", lost.Flows, flows)
}
