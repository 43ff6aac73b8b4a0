package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/weirflow/weir/dpi"
	"github.com/weirflow/weir/loader"
)

func TestDoctorSaysWhatWorksAndWhatToDo(t *testing.T) {
	var out bytes.Buffer
	err := printChecks(&out, []loader.Check{
		{Name: "kernel", OK: true, Detail: "Linux 6.18"},
		{Name: "TCX", Detail: "not there", Advice: "use a newer kernel"},
	})
	want := []string{"ok  kernel               Linux 6.18", "no  TCX                  not there", "                         use a newer kernel"}
	if got := lines(out.String()); err != nil || !slices.EqualFunc(got, want, func(a, b string) bool { return strings.TrimSpace(a) == strings.TrimSpace(b) }) {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
}

func TestDoctorsExitCodeFollowsItsFindings(t *testing.T) {
	code, f := weir(t, "doctor", "--format", "json")
	var checks []loader.Check
	if err := json.Unmarshal(f.out.Bytes(), &checks); err != nil {
		t.Fatal(err)
	}
	want := exitComplete
	for _, c := range checks {
		if !c.OK {
			want = exitFailed
		}
	}
	if code != want || len(checks) < 5 {
		t.Errorf("exit code %d after %d checks, want %d: %s", code, len(checks), want, f.out.String())
	}
	if code, _ := weir(t, "doctor", "everything"); code != exitUsage {
		t.Errorf("with an argument: exit code %d, want %d", code, exitUsage)
	}
}

func TestDoctorTellsALibraryThatWasNotBuiltFor(t *testing.T) {
	l := dpi.Library{Version: "4.8.0", API: 9000, BuiltMajor: 4, BuiltMinor: 2, BuiltAPI: 8668}
	c := checkLibrary(l, errors.New("not that one"))
	if c.OK || c.Advice == "" || !strings.Contains(c.Detail, "4.8.0, API 9000") || !strings.Contains(c.Detail, "4.2, API 8668") {
		t.Errorf("%+v", c)
	}
	if c := checkLibrary(l, nil); !c.OK || c.Detail != "4.8.0, API 9000" {
		t.Errorf("%+v", c)
	}
}
