package main

import (
	"io"
	"strings"
	"testing"
)

func TestARunIsGoodOnlyWhenAllThatHadToPassed(t *testing.T) {
	const pass = `{"Action":"pass","Package":"p","Test":"TestA"}` + "\n"
	for _, c := range []struct {
		name, events, allow     string
		passed, failed, skipped int
		good                    bool
	}{
		{name: "nothing ran", events: ""},
		{name: "all passed", events: pass + `{"Action":"pass","Package":"p"}`, passed: 1, good: true},
		{name: "one failed", events: pass + `{"Action":"fail","Package":"p","Test":"TestB"}`, passed: 1, failed: 1},
		{name: "one was skipped", events: pass + `{"Action":"skip","Package":"p","Test":"TestB"}`, passed: 1, skipped: 1},
		{name: "a subtest of an allowed test was skipped", allow: "TestZ,TestB",
			events: pass + `{"Action":"skip","Package":"p","Test":"TestB/part"}`, passed: 1, skipped: 1, good: true},
		{name: "a test that only begins like an allowed one", allow: "TestB",
			events: pass + `{"Action":"skip","Package":"p","Test":"TestBoth"}`, passed: 1, skipped: 1},
		{name: "a package without tests is none", events: pass + `{"Action":"skip","Package":"q"}`, passed: 1, good: true},
		{name: "a package did not build", events: pass + `{"Action":"build-fail","ImportPath":"q"}`, passed: 1},
		{name: "a package failed outside of its tests", events: pass + `{"Action":"fail","Package":"p"}`, passed: 1},
		{name: "a test never ended", passed: 1, failed: 1,
			events: pass + `{"Action":"output","Package":"p","Test":"TestB","Output":"panic: x\n"}` + "\n" + `{"Action":"fail","Package":"p"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			y := newTally(io.Discard, c.allow)
			if err := y.read(strings.NewReader(c.events)); err != nil {
				t.Fatal(err)
			}
			if y.passed != c.passed || y.failed != c.failed || y.skipped != c.skipped || y.good() != c.good {
				t.Errorf("%d passed, %d failed, %d skipped, good %t; want %d, %d, %d, %t",
					y.passed, y.failed, y.skipped, y.good(), c.passed, c.failed, c.skipped, c.good)
			}
		})
	}
}

func TestWhatAFailedTestSaidIsShownAndWhatAPassedOneSaidIsNot(t *testing.T) {
	events := `not an event
{"Action":"output","Package":"p","Test":"TestA","Output":"quiet\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestB","Output":"loud\n"}
{"Action":"fail","Package":"p","Test":"TestB"}
`
	var shown strings.Builder
	if err := newTally(&shown, "").read(strings.NewReader(events)); err != nil {
		t.Fatal(err)
	}
	want := "not an event\n=== FAIL: p TestB\nloud\n"
	if shown.String() != want {
		t.Errorf("shown:\n%s\nwant:\n%s", shown.String(), want)
	}
}
