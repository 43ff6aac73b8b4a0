package main

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/weirflow/weir/dpi"
	"github.com/weirflow/weir/dpi/worker"
)

// TestMain makes the test binary the DPI process, as main does.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == worker.Command {
		os.Exit(worker.Main())
	}
	os.Exit(m.Run())
}

// TestEveryDifferenceHasItsRule holds core, statistics, SPLT and L7 columns
// against the reference's answers.
func TestEveryDifferenceHasItsRule(t *testing.T) {
	folders := []string{"../../../shared/captures/nfstream", "../../../shared/captures/cases"}
	if _, err := os.Stat(folders[0]); errors.Is(err, fs.ErrNotExist) {
		t.Skip("the reference's answers are not beside this checkout, at ../shared/captures")
	}
	r, err := run(t.Context(), folders, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range r.results {
		for _, d := range c.differences {
			if d.rule == "" && !c.undecoded {
				t.Errorf("%s: %s: %s: want %s, got %s", c.name, d.flow, d.column, d.want, d.got)
			}
		}
	}
}

// TestLabelsEqualTheReference wants the nine L7 columns of 99.5 % of the paired
// flows equal; what differs is listed.
func TestLabelsEqualTheReference(t *testing.T) {
	folder := "../../../shared/captures/nfstream"
	if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		t.Skip("the reference's answers are not beside this checkout, at ../shared/captures")
	}
	if !dpi.Available() {
		t.Skip("built without nDPI")
	}
	if v := dpi.Version(); !strings.HasPrefix(v, "4.2") {
		t.Skipf("the answers are nDPI 4.2's, this is %s", v)
	}
	r, err := run(t.Context(), []string{folder}, true)
	if err != nil {
		t.Fatal(err)
	}
	paired, wrong := 0, map[string]bool{}
	for _, c := range r.results {
		paired += c.paired
		for _, d := range c.differences {
			if labels[d.column] {
				wrong[c.name+d.flow] = true
				t.Logf("%s: %s: %s: want %s, got %s", c.name, d.flow, d.column, d.want, d.got)
			}
		}
	}
	if share := 1 - float64(len(wrong))/float64(paired); share < 0.995 {
		t.Errorf("%.3f %% of %d flows have the reference's labels, want 99.5", 100*share, paired)
	}
}
