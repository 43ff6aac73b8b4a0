package dpi_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/weirflow/weir/bpf/bpftest"
	capturefiles "github.com/weirflow/weir/tools/captures"
	"github.com/weirflow/weir/userspace"
)

// captureFolders are read where they are there: the project's own always, the
// reference's beside a checkout that has them.
var captureFolders = []string{"../testdata", "../../shared/captures"}

func captures(tb testing.TB) []string {
	tb.Helper()
	paths, err := capturefiles.Beside(captureFolders...)
	if err != nil {
		tb.Fatal(err)
	}
	return paths
}

// load reads a capture by link type, less the frames that are shorter than
// BPF_PROG_TEST_RUN takes.
func load(tb testing.TB, path string) map[uint32][]userspace.CapturedPacket {
	tb.Helper()
	byLink, _, err := capturefiles.Load(path, bpftest.MinFrame)
	if err != nil {
		tb.Fatal(err)
	}
	return byLink
}

// labelsByFlow are the nine columns of flows, and their details, each behind what tells one flow of
// a capture from the others.
type labelsByFlow []string

func (l *labelsByFlow) add(f *userspace.Flow) {
	a := answerOf(f)
	text := a.key() + " " + a.labels()
	if f.L7.Details != nil {
		text += fmt.Sprintf(" %+v", *f.L7.Details)
	}
	*l = append(*l, text)
}

// equal compares without regard to the order in which flows came.
func (l labelsByFlow) equal(t *testing.T, what string, want labelsByFlow) {
	t.Helper()
	slices.Sort(l)
	slices.Sort(want)
	if slices.Equal(l, want) {
		return
	}
	if len(l) != len(want) {
		t.Errorf("%s: %d flows, want %d", what, len(l), len(want))
		return
	}
	for i := range l {
		if l[i] != want[i] {
			t.Errorf("%s:\ngot  %s\nwant %s", what, l[i], want[i])
		}
	}
}
