package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A test that gets another name would be run again, or be left out unnoticed.
func TestEveryTestThatIsLeftOutExists(t *testing.T) {
	for _, s := range suites {
		files, err := filepath.Glob(filepath.Join("../..", s.dir, "*_test.go"))
		if err != nil || len(files) == 0 {
			t.Errorf("%s has no tests: %v", s.dir, err)
		}
		var source strings.Builder
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			source.Write(content)
		}
		for _, l := range s.leftOut {
			if name, _, _ := strings.Cut(l.test, "/"); !strings.Contains(source.String(), "func "+name+"(") {
				t.Errorf("%s has no %s, which is left out of it: correct the list in tested.go", s.dir, name)
			}
		}
	}
}
