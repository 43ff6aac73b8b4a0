package loader_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// withoutTypes, in the environment, says that the kernel's types may be hidden.
const withoutTypes = "WEIR_TEST_WITHOUT_TYPES"

// A kernel without BTF has no iterators: the meter says what that means, and meters.
func TestAKernelWithoutTypesIsMeteredWithoutTheIterator(t *testing.T) {
	if os.Getenv(withoutTypes) != "" {
		meteredWithoutTypes(t)
		return
	}
	cmd := exec.Command("unshare", "--mount", os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), withoutTypes+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %v\n%s", cmd.Args, err, out)
	}
}

func meteredWithoutTypes(t *testing.T) {
	if err := unix.Mount("/dev/null", "/sys/kernel/btf/vmlinux", "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	a := attach(t, options(), nearName)
	if warnings := a.Warnings(); a.Handles().SweepIter != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "CONFIG_DEBUG_INFO_BTF") {
		t.Errorf("warnings %q", warnings)
	}
	c := consumer(t, a, options())
	w.send(w.farSocket, 3, 2)
	arrived(t, c)
	wantFlows(t, harvest(t, c), 3, 2)
}
