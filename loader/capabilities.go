package loader

import (
	"bufio"
	"errors"
	"os"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// capabilities is the effective set of the calling thread, a bit each.
type capabilities uint64

func (c capabilities) has(bit int) bool { return c>>bit&1 == 1 }

func currentCapabilities() capabilities {
	f, err := os.Open("/proc/thread-self/status")
	if err != nil {
		return 0
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if text, ok := strings.CutPrefix(s.Text(), "CapEff:"); ok {
			set, _ := strconv.ParseUint(strings.TrimSpace(text), 16, 64)
			return capabilities(set)
		}
	}
	return 0
}

// required is what loading and attaching take. CAP_PERFMON is for the verifier:
// without it, it refuses to add a variable to a packet pointer, as reading an
// IP header with options must.
var required = []struct {
	bit  int
	name string
	// CAP_SYS_ADMIN stands for it, as before Linux 5.8.
	byAdmin bool
}{
	{unix.CAP_BPF, "CAP_BPF", true},
	{unix.CAP_PERFMON, "CAP_PERFMON", true},
	{unix.CAP_NET_ADMIN, "CAP_NET_ADMIN", false},
}

// missing lists what the set lacks of it.
func (c capabilities) missing() (names []string) {
	for _, r := range required {
		if !c.has(r.bit) && !(r.byAdmin && c.has(unix.CAP_SYS_ADMIN)) {
			names = append(names, r.name)
		}
	}
	return names
}

// explain turns what the kernel said into what to do about it.
func explain(operation string, err error) error {
	missing := currentCapabilities().missing()
	var verifier *ebpf.VerifierError
	switch {
	case len(missing) > 0 && (errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES)):
		return &PermissionError{operation, missing, err}
	case errors.As(err, &verifier):
		return &KernelTooOldError{operation, minimumKernel, kernelRelease(),
			"its verifier refuses the programs (" + lastLine(verifier) + "); use a newer kernel, or report this one", err}
	case errors.Is(err, unix.EPERM):
		return &PermissionError{operation, nil, err}
	case errors.Is(err, ebpf.ErrNotSupported):
		return &KernelTooOldError{operation, minimumKernel, kernelRelease(), "use a newer kernel; weir doctor says what is missing", err}
	}
	return wrapLoad(operation, err)
}

func lastLine(v *ebpf.VerifierError) string {
	for i := len(v.Log) - 1; i >= 0; i-- {
		if line := strings.TrimSpace(v.Log[i]); line != "" && !strings.HasPrefix(line, "processed ") {
			return line
		}
	}
	return errorText(v.Cause)
}

// minimumKernel is the oldest release that the programs are tested on.
const minimumKernel = "6.1"

// kernelRelease is the running kernel's name for itself, as in "6.18.4".
func kernelRelease() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}
