package main

import (
	"errors"
	"io/fs"
	"os"
	"testing"

	"github.com/weirflow/weir/dpi/worker"
)

// TestMain makes the test binary the DPI process, as main does.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == worker.Command {
		os.Exit(worker.Main())
	}
	os.Exit(m.Run())
}

const (
	projectCaptures   = "../../testdata"
	referenceCaptures = "../../../shared/captures"
)

func needReference(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(referenceCaptures); errors.Is(err, fs.ErrNotExist) {
		t.Skip("the reference's answers are not beside this checkout, at ../shared/captures")
	}
}

// TestEveryDifferenceHasItsRule holds core, statistics and SPLT columns against
// the reference's answers.
func TestEveryDifferenceHasItsRule(t *testing.T) {
	needReference(t)
	r, err := run(t.Context(), []string{referenceCaptures + "/nfstream", referenceCaptures + "/cases"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range r.results {
		for _, d := range c.differences {
			if d.rule == "" {
				t.Errorf("%s: %s: %s: want %s, got %s", c.name, d.flow, d.column, d.want, d.got)
			}
		}
	}
}
