package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/weirflow/weir/tools/soak"
	"github.com/weirflow/weir/tools/testevents"
)

const module = "github.com/weirflow/weir/"

// measuredMark begins what a test has to say to the table, in its log.
const measuredMark = "measured: "

type options struct {
	exec    string
	soak    bool
	timeout time.Duration
}

// An outcome is what became of a test.
type outcome struct {
	action   string // pass, fail or skip, as in go doc test2json; "" when it did not end
	elapsed  float64
	measured []string
	output   []string
}

// results are outcomes by package, below the module, and test.
type results struct {
	loud  io.Writer // what is said that is no test's
	tests map[string]*outcome
}

func newResults(loud io.Writer) *results {
	return &results{loud: loud, tests: map[string]*outcome{}}
}

// run runs the tests of the rows, one package after the other: several make
// namespaces and measure.
func (r *results) run(rows []row, o options) error {
	packages, names := testsOf(rows)
	if len(names) == 0 {
		return nil
	}
	args := []string{"test", "-json", "-count=1", "-p=1", "-timeout=" + o.timeout.String()}
	if o.exec != "" {
		args = append(args, "-exec="+o.exec)
	}
	args = append(args, "-run=^("+strings.Join(names, "|")+")$")
	c := exec.Command("go", append(args, packages...)...)
	c.Stderr = r.loud
	if o.soak {
		c.Env = append(os.Environ(), soak.Variable+"=1")
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return fmt.Errorf("run go test: %w", err)
	}
	if err := c.Start(); err != nil {
		return fmt.Errorf("run go test: %w", err)
	}
	readErr := r.read(out)
	// A failed test is told by its own events.
	if err := c.Wait(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		return fmt.Errorf("run go test: %w", err)
	}
	return readErr
}

// testsOf are the packages and names of the rows' tests, each once.
func testsOf(rows []row) (packages, names []string) {
	for _, w := range rows {
		for _, test := range w.tests {
			dir, name, _ := strings.Cut(test, " ")
			packages, names = append(packages, "./"+dir), append(names, name)
		}
	}
	slices.Sort(packages)
	slices.Sort(names)
	return slices.Compact(packages), slices.Compact(names)
}

func (r *results) read(from io.Reader) error { return testevents.Read(from, r.loud, r.take) }

// take gives an event to the test that it is of; what a subtest says is said by
// its test. What a package says is shown when it fails: a panic is said there.
func (r *results) take(e *testevents.Event) {
	top, _, sub := strings.Cut(e.Test, "/")
	t := r.of(strings.TrimPrefix(e.Package, module) + " " + top)
	switch e.Action {
	case "build-output":
		fmt.Fprint(r.loud, e.Output)
	case "output":
		t.output = append(t.output, e.Output)
		if _, text, ok := strings.Cut(e.Output, measuredMark); ok {
			t.measured = append(t.measured, strings.TrimSpace(text))
		}
	case "pass", "fail", "skip":
		// A subtest that was skipped has not been shown either.
		if !sub && t.action != "skip" || sub && e.Action == "skip" {
			t.action = e.Action
		}
		if !sub {
			t.elapsed = e.Elapsed
		}
	}
}

func (r *results) of(test string) *outcome {
	if r.tests[test] == nil {
		r.tests[test] = &outcome{}
	}
	return r.tests[test]
}
