package sink

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weirflow/weir/userspace"
	"github.com/weirflow/weir/userspace/feature"
)

func TestAFileIsGoneOnWithAfterItsLastWholeLine(t *testing.T) {
	for name, test := range map[string]struct {
		spec, had string
		keeps     string
		header    bool
	}{
		"no file":       {"a.csv", "", "", true},
		"whole lines":   {"b.csv", "id\n0\n1\n", "id\n0\n1\n", false},
		"a torn line":   {"c.csv", "id\n0\n1,2,", "id\n0\n", false},
		"a torn header": {"d.csv", "id,expi", "", true},
		"ndjson":        {"e.ndjson", "{\"id\":0}\n{\"id", "{\"id\":0}\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), test.spec)
			if test.had != "" {
				if err := os.WriteFile(path, []byte(test.had), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			s, err := Resume(path, feature.Columns(feature.Options{}), nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Write(&userspace.Flow{}); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			rest, kept := strings.CutPrefix(string(text), test.keeps)
			want := 1
			if test.header {
				want = 2
			}
			if n := strings.Count(rest, "\n"); !kept || n != want || strings.HasPrefix(rest, "id,") != test.header {
				t.Errorf("the file is %q", text)
			}
		})
	}
}

func TestAFileThatHoldsNoLinesIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "image.csv")
	had := bytes.Repeat([]byte{1}, 3*flushAt)
	if err := os.WriteFile(path, had, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Resume(path, nil, nil); err == nil {
		t.Error("it is gone on with")
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, had) {
		t.Errorf("it was changed (%v)", err)
	}
}
