package loader

import (
	"errors"
	"fmt"
	"strings"
)

// ErrNoInterface is in the error of an Attach to an interface that is not there.
var ErrNoInterface = errors.New("no such interface")

// A BusyError says that an interface has another XDP program, which is never
// replaced.
type BusyError struct {
	Interface string
	ProgramID uint32
	// Program is its name; empty where the privilege to ask is missing.
	Program string
}

func (e *BusyError) Error() string {
	name := e.Program
	if name == "" {
		name = fmt.Sprintf("bpftool prog show id %d names it", e.ProgramID)
	}
	return fmt.Sprintf("attach to %s: XDP program %d (%s) is there already and is left alone: detach it, or meter beside it with --hook tcx",
		e.Interface, e.ProgramID, name)
}

// A PermissionError names the capabilities that the process lacks.
type PermissionError struct {
	Operation string
	Missing   []string
	Err       error
}

func (e *PermissionError) Error() string {
	if len(e.Missing) == 0 {
		return fmt.Sprintf("%s: the kernel refuses although the capabilities are there: a security module, a container's seccomp filter or lockdown forbids it (%v)", e.Operation, errorText(e.Err))
	}
	return fmt.Sprintf("%s: %s missing: run as root, or give the program its capabilities (setcap cap_bpf,cap_perfmon,cap_net_admin+ep)",
		e.Operation, strings.Join(e.Missing, ", "))
}

func (e *PermissionError) Unwrap() error { return e.Err }

// A KernelTooOldError says what the running kernel lacks.
type KernelTooOldError struct {
	Feature string
	Needs   string // the first Linux release that has it
	Running string // the release that runs
	Advice  string
	Err     error
}

func (e *KernelTooOldError) Error() string {
	return fmt.Sprintf("%s needs Linux %s and this is %s: %s", e.Feature, e.Needs, e.Running, e.Advice)
}

func (e *KernelTooOldError) Unwrap() error { return e.Err }

// A NativeXDPError says that a driver cannot run XDP itself, where that was
// asked for.
type NativeXDPError struct {
	Interface string
	Err       error
}

func (e *NativeXDPError) Error() string {
	return fmt.Sprintf("attach to %s: its driver refuses native XDP (%s): use --xdp-mode generic, or --hook tcx", e.Interface, errorText(e.Err))
}

func (e *NativeXDPError) Unwrap() error { return e.Err }

// A LinkTypeError says that the frames of an interface begin with a header that
// weir does not read.
type LinkTypeError struct {
	Interface string
	Type      string // the kernel's name of the hardware type
}

func (e *LinkTypeError) Error() string {
	return fmt.Sprintf("attach to %s: frames of hardware type %q are not understood: attach to an Ethernet or IP interface above it", e.Interface, e.Type)
}

// errorText is the innermost error's text: what the kernel said.
func errorText(err error) string {
	for err != nil {
		next := errors.Unwrap(err)
		if next == nil {
			return err.Error()
		}
		err = next
	}
	return "no reason given"
}
