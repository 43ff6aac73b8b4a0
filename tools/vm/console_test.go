package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// What test binaries say under -test.v=test2json, and init around it.
const (
	startA   = "\nweir-vm: start example.org/a\n"
	startB   = "\nweir-vm: start example.org/b\n"
	exitGood = "\nweir-vm: exit exit status 0\n"
	exitBad  = "\nweir-vm: exit exit status 1\n"
	endMark  = "\nweir-vm: end \n"
	passOne  = "\x16=== RUN   TestOne\n\x16--- PASS: TestOne (0.01s)\n\x16=== NAME  \n\x16PASS\n"
	failTwo  = "\x16=== RUN   TestTwo\n    a_test.go:1: no\n\x16--- FAIL: TestTwo (0.01s)\n\x16=== NAME  \n\x16FAIL\n"
	skipOne  = "\x16=== RUN   TestOne\n    a_test.go:1: why\n\x16--- SKIP: TestOne (0.00s)\n\x16=== NAME  \n\x16PASS\n"
	panicked = "\x16=== RUN   TestOne\npanic: oh\n\ngoroutine 1 [running]:\n"
)

// ended counts how tests ended by action, and lists how packages did.
func ended(t *testing.T, events string) (tests map[string]int, packages string) {
	t.Helper()
	tests = map[string]int{}
	var list []string
	for line := range strings.Lines(events) {
		var e struct{ Action, Package, Test string }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if e.Action != "pass" && e.Action != "fail" && e.Action != "skip" {
			continue
		}
		if e.Test != "" {
			tests[e.Action]++
		} else {
			list = append(list, e.Package+" "+e.Action)
		}
	}
	return tests, strings.Join(list, ", ")
}

func TestWhatTheMachineSaysBecomesAVerdict(t *testing.T) {
	for _, c := range []struct {
		name, said              string
		passed, failed, skipped int
		packages, err           string
	}{
		{name: "nothing", err: errNoEnd.Error()},
		{name: "no tests", said: endMark},
		{name: "a good package", said: startA + passOne + exitGood + endMark, passed: 1, packages: "example.org/a pass"},
		{name: "a bad one does not stop the next", said: startA + failTwo + exitBad + startB + passOne + exitGood + endMark,
			passed: 1, failed: 1, packages: "example.org/a fail, example.org/b pass"},
		{name: "a skipped test", said: startA + skipOne + exitGood + endMark, skipped: 1, packages: "example.org/a pass"},
		{name: "all passed, and a bad exit", said: startA + passOne + exitBad + endMark, passed: 1, packages: "example.org/a fail"},
		{name: "a panic", said: startA + panicked + "\nweir-vm: exit exit status 2\n" + endMark, packages: "example.org/a fail"},
		{name: "a good exit without a word", said: startA + exitGood + endMark, packages: "example.org/a fail"},
		{name: "stopped in a test", said: startA + panicked, packages: "example.org/a fail",
			err: "before its end mark, while example.org/a was running"},
		{name: "stopped between packages", said: startA + passOne + exitGood, passed: 1, packages: "example.org/a pass", err: errNoEnd.Error()},
		{name: "a module that does not load", said: "\nweir-vm: fault load module /modules/veth.ko: exec format error\n" + endMark,
			err: "load module /modules/veth.ko"},
		{name: "a line that is not ended before a mark", said: startA + passOne + "odd" + exitGood + endMark, passed: 1, packages: "example.org/a pass"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var events bytes.Buffer
			err := newConsole(&events).read(strings.NewReader(c.said))
			tests, packages := ended(t, events.String())
			if tests["pass"] != c.passed || tests["fail"] != c.failed || tests["skip"] != c.skipped || packages != c.packages {
				t.Errorf("tests %v, packages %q; want %d, %d, %d and %q", tests, packages, c.passed, c.failed, c.skipped, c.packages)
			}
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want %q", err, c.err)
			}
		})
	}
}

func TestEachPackageClosesWithItsCounts(t *testing.T) {
	var events bytes.Buffer
	if err := newConsole(&events).read(strings.NewReader(startA + passOne + exitGood + endMark)); err != nil {
		t.Fatal(err)
	}
	if want := `s\t1 passed, 0 failed, 0 skipped\n`; !strings.Contains(events.String(), want) {
		t.Errorf("no %q in:\n%s", want, events.String())
	}
}

func TestAPanicOfTheKernelIsShown(t *testing.T) {
	if err := panicIn([]byte("all is well\n")); err != nil {
		t.Errorf("a panic where there is none: %v", err)
	}
	said := strings.Repeat("x", 5000) + "\nbefore\nKernel panic - not syncing: Attempted to kill init!\nCPU: 0\n"
	err := panicIn([]byte(said))
	if err == nil || !strings.Contains(err.Error(), "before\nKernel panic - not syncing: Attempted to kill init!\nCPU: 0") || len(err.Error()) > 3000 {
		t.Errorf("error %v", err)
	}
}
