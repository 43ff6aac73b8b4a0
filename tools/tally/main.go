// Command tally reads the events of go test -json, shows what failed and a line
// for each package, and closes with the number of tests passed, failed and
// skipped. A skipped test is a failure: what has not run has not been shown.
// Those that -allow names may be, for a reason that whoever names them knows.
//
//	go test -json ./... | go run ./tools/tally [-allow TEST,...]
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/weirflow/weir/tools/testevents"
)

func main() {
	allow := flag.String("allow", "", "`TESTS` that may be skipped, separated by commas")
	flag.Parse()
	t := newTally(os.Stdout, *allow)
	err := t.read(os.Stdin)
	fmt.Printf("%d passed, %d failed, %d skipped\n", t.passed, t.failed, t.skipped)
	if err != nil {
		fmt.Fprintln(os.Stderr, "tally:", err)
	}
	if err != nil || !t.good() {
		os.Exit(1)
	}
}

// A tally is the sum of a test run.
type tally struct {
	to                      io.Writer
	allowed                 []string            // to be skipped
	output                  map[string][]string // of what has not ended, by package and test
	passed, failed, skipped int                 // tests and subtests
	refused                 int                 // skipped without being allowed to
	broken                  int                 // packages that failed as a whole
}

func newTally(to io.Writer, allow string) *tally {
	return &tally{to: to, allowed: strings.Split(allow, ","), output: map[string][]string{}}
}

// good tells whether tests ran, and all of them passed that had to.
func (t *tally) good() bool {
	return t.passed > 0 && t.failed == 0 && t.refused == 0 && t.broken == 0
}

// read takes in events to the end of the input. Lines that are none are shown as
// they are.
func (t *tally) read(r io.Reader) error { return testevents.Read(r, t.to, t.take) }

func (t *tally) take(e *testevents.Event) {
	name := e.Package + " " + e.Test
	switch e.Action {
	case "output":
		t.output[name] = append(t.output[name], e.Output)
	case "build-output":
		fmt.Fprint(t.to, e.Output)
	case "build-fail":
		t.broken++
	case "pass", "fail", "skip":
		if e.Test == "" {
			t.packageEnded(e)
		} else {
			t.testEnded(e)
		}
		delete(t.output, name)
	}
}

func (t *tally) testEnded(e *testevents.Event) {
	switch e.Action {
	case "pass":
		t.passed++
		return
	case "fail":
		t.failed++
	case "skip":
		t.skipped++
		if !t.mayBeSkipped(e.Test) {
			t.refused++
		}
	}
	fmt.Fprintf(t.to, "=== %s: %s %s\n%s", strings.ToUpper(e.Action), e.Package, e.Test, t.said(e))
}

// mayBeSkipped tells whether the test, or the one that it is part of, is allowed
// to be skipped.
func (t *tally) mayBeSkipped(test string) bool {
	top, _, _ := strings.Cut(test, "/")
	return slices.Contains(t.allowed, top)
}

// packageEnded shows the package's closing line, and all that it said where it
// failed: a panic is said by the package and by no test. A package without tests
// is skipped by go test itself; that is no skipped test.
func (t *tally) packageEnded(e *testevents.Event) {
	if e.Action == "fail" {
		t.broken++
		t.unfinished(e.Package)
		fmt.Fprint(t.to, t.said(e))
		return
	}
	for _, line := range t.output[e.Package+" "] {
		if strings.HasPrefix(line, "ok ") {
			fmt.Fprint(t.to, line)
		}
	}
}

// unfinished shows what the tests of a package said that never ended.
func (t *tally) unfinished(pkg string) {
	for name, lines := range t.output {
		if strings.HasPrefix(name, pkg+" ") && name != pkg+" " {
			fmt.Fprintf(t.to, "=== NOT ENDED: %s\n%s", name, strings.Join(lines, ""))
			t.failed++
			delete(t.output, name)
		}
	}
}

func (t *tally) said(e *testevents.Event) string {
	return strings.Join(t.output[e.Package+" "+e.Test], "")
}
