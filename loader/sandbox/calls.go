package sandbox

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"

	"github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/sys/unix"
)

// Calls are the system calls that a process may make. Others fail with EPERM.
type Calls struct {
	always []string
	when   []call
	// fatal end the process: nothing that is not taken over makes them.
	fatal []string
}

// A call is a system call with what its arguments must be, all of it.
type call struct {
	name       string
	conditions []seccomp.Condition
}

// errNoSeccomp: the kernel cannot restrict system calls.
var errNoSeccomp = errors.New("no seccomp filters")

// Limit leaves this process the calls, with all its threads, for ever, and no way to
// new privileges. A kernel without filters leaves it all.
func (c *Calls) Limit() error {
	err := c.limitProcess()
	if errors.Is(err, errNoSeccomp) {
		return nil
	}
	return err
}

func (c *Calls) limitProcess() error {
	runtime.LockOSThread() // from which the others take both
	defer runtime.UnlockOSThread()
	if err := ForbidNewPrivileges(); err != nil {
		return err
	}
	return c.limit(seccomp.FilterFlagTSync)
}

func (c *Calls) limit(flag seccomp.FilterFlag) error {
	if !SeccompFilters() {
		return errNoSeccomp
	}
	policy, err := c.policy("")
	if err != nil {
		return fmt.Errorf("describe the system calls that may be made: %w", err)
	}
	if err := seccomp.LoadFilter(seccomp.Filter{Flag: flag, Policy: *policy}); err != nil {
		return fmt.Errorf("restrict system calls: %w", err)
	}
	return nil
}

// SeccompFilters tells whether the kernel has them.
func SeccompFilters() bool {
	return unix.Prctl(unix.PR_GET_SECCOMP, 0, 0, 0, 0) == nil && seccomp.Supported()
}

// policy leaves out names that the architecture does not have: some have successors
// only.
func (c *Calls) policy(architecture string) (*seccomp.Policy, error) {
	info, err := arch.GetInfo(architecture)
	if err != nil {
		return nil, err
	}
	unknown := func(name string) bool { _, known := info.SyscallNames[name]; return !known }
	known := func(names []string) []string { return slices.DeleteFunc(slices.Clone(names), unknown) }
	var when []seccomp.NameWithConditions
	for _, w := range c.when {
		if !unknown(w.name) {
			when = append(when, seccomp.NameWithConditions{Name: w.name, Conditions: w.conditions})
		}
	}
	return &seccomp.Policy{
		DefaultAction: seccomp.ActionErrno,
		Syscalls: []seccomp.SyscallGroup{
			{Action: seccomp.ActionAllow, Names: known(c.always), NamesWithCondtions: when},
			// Its flags are in memory, where a filter cannot look: the library goes on to clone.
			{Action: seccomp.ActionErrno | seccomp.Action(unix.ENOSYS), Names: []string{"clone3"}},
			{Action: seccomp.ActionKillProcess, Names: known(c.fatal)},
		},
	}, nil
}

// either is a call with one argument that must be one of the values.
func either(name string, argument uint32, values ...uint64) (all []call) {
	for _, v := range values {
		all = append(all, call{name, []seccomp.Condition{{Argument: argument, Operation: seccomp.Equal, Value: v}}})
	}
	return all
}

// bits is a call with an argument in which some bits must be set, or not.
func bits(name string, argument uint32, how seccomp.Operation, mask uint64) call {
	return call{name, []seccomp.Condition{{Argument: argument, Operation: how, Value: mask}}}
}

// own is this process, for calls that name one.
func own() uint64 { return uint64(os.Getpid()) }
