// Package goldentest compares what is written with files that were looked through.
package goldentest

import (
	"os"
	"testing"
)

// Equal wants got to be what the file at path holds, or with update makes it that.
func Equal(t *testing.T, path, got string, update bool) {
	t.Helper()
	if update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s (write it anew with -update): got\n%s\nwant\n%s", path, got, want)
	}
}
