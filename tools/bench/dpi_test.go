package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/weirflow/weir/dpi"
)

// TestMain makes the test binary the DPI processes, as main does.
func TestMain(m *testing.M) {
	answerSamples()
	os.Exit(m.Run())
}

// TestDPIIsMeasured runs the whole in small: each contender refuses to be measured
// where it does not do its work.
func TestDPIIsMeasured(t *testing.T) {
	if !dpi.Available() {
		t.Skip("this build holds no nDPI (no cgo, or -tags nodpi)")
	}
	l, err := readLibrary(testdata)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := benchDPI(&out, l, 1, 5_000); err != nil {
		t.Fatal(err)
	}
	// differences of times: so few packets may leave one below zero
	for _, want := range []string{`(?m)^in nDPI +-?\d+ +-?\d+ +-?\d+$`, `(?m)^in the IPC `, `(?m)^up to 20 packets inspected +\d+ octets$`} {
		if !regexp.MustCompile(want).MatchString(out.String()) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func TestAContenderThatLosesFlowsIsNotMeasured(t *testing.T) {
	if !dpi.Available() {
		t.Skip("this build holds no nDPI (no cgo, or -tags nodpi)")
	}
	l, err := readLibrary(testdata)
	if err != nil {
		t.Fatal(err)
	}
	h, err := hear(l, 5_000)
	if err != nil {
		t.Fatal(err)
	}
	h.flows++
	for _, c := range dpiContenders() {
		if c.name == "nDPI" || c.name == "nDPI and weir's classifier" {
			continue // these are held to samples
		}
		if err := c.run(h); err == nil {
			t.Errorf("%s: a flow is missing, and nothing said", c.name)
		}
	}
}
