package procstatus_test

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/weirflow/weir/tools/procstatus"
)

func TestFieldsAreFoundByTheirWholeName(t *testing.T) {
	const status = procstatus.Status("Name:\tPid: 7\nPPid:\t4\nPid:\t5\nVmRSS:\t    1200 kB\nGroups:\t\n")
	for field, want := range map[string]int{"PPid": 4, "Pid": 5, "VmRSS": 1200, "Groups": 0, "Name": 0, "VmHWM": 0, "Vm": 0} {
		if n := status.Number(field); n != want {
			t.Errorf("%s: %d, want %d", field, n, want)
		}
	}
}

func TestAProcessIsToldOfWhileThereIsOne(t *testing.T) {
	s, err := procstatus.Of(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if pid := s.Number("Pid"); pid != os.Getpid() {
		t.Errorf("process %d is told of as %d", os.Getpid(), pid)
	}
	if !slices.ContainsFunc(procstatus.All(), func(s procstatus.Status) bool { return s.Number("Pid") == os.Getpid() }) {
		t.Error("this process is not among all")
	}
	if _, err := procstatus.Of(math.MaxInt32); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of no process: %v", err)
	}
}
