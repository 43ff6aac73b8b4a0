package loader

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// explain turns what the kernel said of an operation into what to do about it.
func explain(operation string, err error) error {
	missing := currentCapabilities().missing()
	var verifier *ebpf.VerifierError
	switch {
	case len(missing) > 0 && (errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES)):
		return &PermissionError{operation, missing, err}
	case !currentCapabilities().perfmon() && (errors.As(err, &verifier) || errors.Is(err, unix.EFAULT)):
		// of the kernels that nobody has tried one may be stricter
		return &PermissionError{operation, []string{"CAP_PERFMON"}, err}
	case errors.As(err, &verifier):
		return explainVerifier(operation, verifier, err)
	case errors.Is(err, unix.EPERM):
		return &PermissionError{operation, nil, err}
	case errors.Is(err, ebpf.ErrNotSupported):
		return &KernelTooOldError{operation, minimumKernel, kernelRelease(), "use a newer kernel; weir doctor says what is missing", err}
	case errors.Is(err, unix.ENOMEM):
		return fmt.Errorf("%s: not enough memory for the flow table: lower --max-flows: %w", operation, err)
	case errors.Is(err, unix.ENODEV):
		return fmt.Errorf("%s: %w: it has gone: start again when it is back", operation, ErrNoInterface)
	}
	return fmt.Errorf("%s: %w: see what weir doctor says", operation, err)
}

func explainVerifier(operation string, v *ebpf.VerifierError, err error) error {
	release := kernelRelease()
	if tooOld(release) {
		return &KernelTooOldError{operation, minimumKernel, release, "its verifier refuses the programs (" + lastLine(v) + "); use a newer kernel", err}
	}
	return fmt.Errorf("%s: the verifier of Linux %s refuses them (%s): report it with the output of weir doctor: %w", operation, release, lastLine(v), v.Unwrap())
}

// lastLine is the verifier's reason: its last line but for the statistics.
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

// tooOld compares a release, as in "5.10.0-28-amd64", with it.
func tooOld(release string) bool {
	var major, minor int
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil {
		return false
	}
	return major < 6 || major == 6 && minor < 1
}

// kernelRelease is the running kernel's name for itself, as in "6.18.4".
func kernelRelease() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}
