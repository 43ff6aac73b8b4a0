package loader

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

func TestWhatTheKernelSaysIsExplainedOnOneLine(t *testing.T) {
	verifier := &ebpf.VerifierError{Cause: unix.EINVAL, Log: []string{"0: R1=ctx()", "R2 is no pointer", "processed 9 insns (limit 1000000)"}}
	for _, test := range []struct {
		err  error
		want string
	}{
		{unix.EPERM, "load: the kernel refuses although the capabilities are there"},
		{fmt.Errorf("load program: %w", verifier), "refuses them (R2 is no pointer): report it"},
		{fmt.Errorf("map: %w", ebpf.ErrNotSupported), "load needs Linux 6.1"},
		{fmt.Errorf("map: %w", unix.ENOMEM), "lower --max-flows"},
		{unix.ENODEV, "no such interface"},
		{errors.New("something else"), "load: something else: see what weir doctor says"},
	} {
		text := explain("load", test.err).Error()
		if !strings.Contains(text, test.want) || strings.Contains(text, "\n") {
			t.Errorf("%v: %q, want one line with %q", test.err, text, test.want)
		}
	}
}

func TestKernelReleasesAreCompared(t *testing.T) {
	for release, want := range map[string]bool{
		"5.15.0-91-generic": true, "6.0.12": true, "6.1.0-18-amd64": false, "6.18.4": false, "10.0": false, "unknown": false,
	} {
		if tooOld(release) != want {
			t.Errorf("%s: too old is %v", release, !want)
		}
	}
}

func TestAnOldKernelIsNamedWithWhatItLacks(t *testing.T) {
	err := &KernelTooOldError{"TCX egress", "6.6", "6.1.0", "use --direction in", unix.EINVAL}
	if want := "TCX egress needs Linux 6.6 and this is 6.1.0: use --direction in"; err.Error() != want || !errors.Is(err, unix.EINVAL) {
		t.Errorf("%q, want %q", err, want)
	}
}
