package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestTheTableHasEveryRow(t *testing.T) {
	var want, got []string
	for _, g := range []struct {
		group string
		rows  int
	}{{"A", 12}, {"B", 12}, {"C", 7}, {"D", 5}, {"E", 10}, {"F", 11}, {"G", 7}, {"H", 13}} {
		for n := range g.rows {
			want = append(want, fmt.Sprintf("%s%d", g.group, n+1))
		}
	}
	for _, r := range table() {
		got = append(got, r.id)
		if r.promise == "" || len(r.shownBy()) == 0 && r.missing == "" {
			t.Errorf("%s has no promise, or nothing that shows it, nor a word why", r.id)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("rows %v,\nwant %v", got, want)
	}
}

// Every test that the table names is in the tree, and every test in the tree
// that is named after a row is in the table, in that row.
func TestTheTableNamesTheTestsOfTheTree(t *testing.T) {
	inTree := testsInTree(t)
	named := map[string]string{}
	for _, r := range table() {
		for _, test := range r.tests {
			named[test] = r.id
			if _, there := inTree[test]; !there {
				t.Errorf("%s: no such test: %s", r.id, test)
			}
		}
	}
	for test, id := range inTree {
		if id != "" && named[test] != id {
			t.Errorf("%s is named after row %s, which does not name it", test, id)
		}
		if of := named[test]; id == "" && of != "" && strings.Contains(test, " Test") {
			t.Errorf("%s shows row %s; its name does not begin with it", test, of)
		}
	}
}

var (
	testFunc = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	rowName  = regexp.MustCompile(`^Test([A-H][0-9]+)[A-Z]`)
)

// testsInTree is the row that each test is named after, if any.
func testsInTree(t *testing.T) map[string]string {
	const root = "../.."
	found := map[string]string{}
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err == nil && path == filepath.Join(root, "build") {
			return filepath.SkipDir // make test-vm has a copy of the tree there
		}
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		dir, _ := filepath.Rel(root, filepath.Dir(path))
		for _, m := range testFunc.FindAllSubmatch(source, -1) {
			id := ""
			if r := rowName.FindSubmatch(m[1]); r != nil {
				id = string(r[1])
			}
			found[dir+" "+string(m[1])] = id
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestARowPassesOnlyWhenAllOfItWasShown(t *testing.T) {
	const ran = `{"Action":"output","Package":"github.com/weirflow/weir/p","Test":"TestA1X","Output":"    x_test.go:1: measured: 7 frames\n"}
{"Action":"pass","Package":"github.com/weirflow/weir/p","Test":"TestA1X","Elapsed":1.5}
`
	both := []string{"p TestA1X", "p TestA1Y"}
	for _, c := range []struct {
		name, events   string
		row            row
		verdict, words string
	}{
		{"all passed", ran, row{tests: both[:1]}, passed, "7 frames (1.5 s)"},
		{"one says nothing", ran + `{"Action":"pass","Package":"github.com/weirflow/weir/p","Test":"TestA1Y"}`, row{tests: both}, passed, "7 frames; 1 test more (1.5 s)"},
		{"one failed", ran + `{"Action":"fail","Package":"github.com/weirflow/weir/p","Test":"TestA1Y"}`, row{tests: both}, failed, "p TestA1Y: fail"},
		{"one was skipped", ran + `{"Action":"skip","Package":"github.com/weirflow/weir/p","Test":"TestA1Y"}`, row{tests: both}, failed, "p TestA1Y: skip"},
		{"a part of one was skipped", `{"Action":"skip","Package":"github.com/weirflow/weir/p","Test":"TestA1X/part"}` + "\n" + ran, row{tests: both[:1]}, failed, "p TestA1X: skip"},
		{"one did not run", ran, row{tests: both}, failed, "p TestA1Y did not run to its end"},
		{"something is missing", ran, row{tests: both[:1], missing: "the rest"}, partly, "7 frames (1.5 s); not yet: the rest"},
		{"something cannot be shown", ran, row{tests: both[:1], cannot: "the moon"}, passed, "7 frames (1.5 s); cannot be shown here: the moon"},
		{"nothing shows it", ran, row{missing: "pinning"}, notYet, "pinning"},
		{"nothing, without a word", ran, row{}, failed, "nothing shows it, and nothing says why"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newResults(io.Discard)
			if err := r.read(strings.NewReader(c.events)); err != nil {
				t.Fatal(err)
			}
			if verdict, words := r.judge(&c.row); verdict != c.verdict || words != c.words {
				t.Errorf("%s: %s; want %s: %s", verdict, words, c.verdict, c.words)
			}
			if good := report(io.Discard, []row{c.row}, r); good != (c.verdict != failed) {
				t.Errorf("the whole is good: %v", good)
			}
		})
	}
}

// A command shows a row when it ends well, and has said what was measured.
func TestACommandPassesOnlyWithWhatItMeasured(t *testing.T) {
	makefile := "all:\n\t@echo 3 apples, 5 apples\nnone:\n\t@echo nothing\nbad:\n\t@echo 3 apples; false\n"
	t.Chdir(t.TempDir())
	if err := os.WriteFile("Makefile", []byte(makefile), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, short, full string
		soak, last        bool
		verdict, words    string
	}{
		{"all that it says counts", "all", "none", false, false, passed, "3 apples; 5 apples (0.0 s)"},
		{"the last counts", "all", "none", false, true, passed, "5 apples (0.0 s)"},
		{"nothing is said", "none", "all", false, false, failed, "make x: fail"},
		{"a soak runs it in full", "none", "all", true, true, passed, "5 apples (0.0 s)"},
		{"it ends with an error", "bad", "all", false, false, failed, "make x: fail"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := row{commands: []command{{name: "make x", short: []string{c.short}, full: []string{c.full}, says: regexp.MustCompile(`(\d+) (apples)`), told: "$1 $2", last: c.last}}}
			r := newResults(io.Discard)
			r.runCommands([]row{w}, options{soak: c.soak})
			r.of("make x").elapsed = 0
			if verdict, words := r.judge(&w); verdict != c.verdict || words != c.words {
				t.Errorf("%s: %s; want %s: %s", verdict, words, c.verdict, c.words)
			}
		})
	}
}

func TestTheForemostRowsAreToldOnceMore(t *testing.T) {
	var out strings.Builder
	rows := table()
	reportForemost(&out, rows, newResults(io.Discard))
	if lines := strings.Split(strings.TrimSpace(out.String()), "\n"); len(lines) != 1+len(foremost()) {
		t.Errorf("%d lines: %v", len(lines), lines)
	}
}
