package sandbox

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/psx"
)

// A Remainder is what a process goes on with that has done what takes most privilege,
// and goes on with some.
type Remainder struct {
	// Capabilities are kept, of those that the process has.
	Capabilities []int
	// Group is one to be a member of besides, 0 for none, where the process may.
	Group int
	Calls *Calls // that may be made
}

// Settle leaves the process, with all its threads, no more than this, for ever. A
// thread that has Entered a Confinement must have ended, see OnThread: the kernel and
// psx take threads that differ for an attack.
func (r *Remainder) Settle() (missing []string, err error) {
	if err := r.join(); err != nil {
		return nil, err
	}
	if err := forAllThreads(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0); err != nil {
		return nil, fmt.Errorf("forbid new privileges: %w", err)
	}
	kept, err := r.capabilities()
	if err != nil {
		return nil, err
	}
	if err := boundProcess(kept); err != nil {
		return nil, err
	}
	if err := keepCapabilities(kept); err != nil {
		return nil, err
	}
	err = r.Calls.limitProcess()
	if errors.Is(err, errNoSeccomp) {
		return []string{"this kernel has no seccomp filters: every system call may be made"}, nil
	}
	return missing, err
}

// join makes the process a member of the group: what it makes it can then give to it.
func (r *Remainder) join() error {
	groups, err := os.Getgroups()
	if err != nil {
		return fmt.Errorf("list the groups of this process: %w", err)
	}
	if r.Group == 0 || r.Group == os.Getegid() || slices.Contains(groups, r.Group) || !MayBecomeOthers() {
		return nil
	}
	if err := syscall.Setgroups(append(groups, r.Group)); err != nil {
		return fmt.Errorf("join group %d: %w", r.Group, err)
	}
	return nil
}

// capabilities is the set that is kept, a bit each.
func (r *Remainder) capabilities() (kept uint64, err error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var had [2]unix.CapUserData
	if err := unix.Capget(&header, &had[0]); err != nil {
		return 0, fmt.Errorf("ask for the capabilities of this process: %w", err)
	}
	for _, c := range r.Capabilities {
		kept |= 1 << c
	}
	return kept & (uint64(had[0].Permitted) | uint64(had[1].Permitted)<<32), nil
}

// boundProcess leaves the bounding set what is kept, and the ambient set nothing. See
// emptyBounds of a process without CAP_SETPCAP.
func boundProcess(kept uint64) error {
	if err := forAllThreads(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0); err != nil {
		return fmt.Errorf("clear ambient capabilities: %w", err)
	}
	for capability := 0; ; capability++ {
		if kept>>capability&1 == 1 {
			continue
		}
		switch err := forAllThreads(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, uintptr(capability), 0); {
		case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EPERM):
			return nil // the kernel knows no more, or does not let it
		case err != nil:
			return fmt.Errorf("bound capabilities: %w", err)
		}
	}
}

// keepCapabilities makes the set the effective and the permitted one, and empties the
// inheritable one.
func keepCapabilities(kept uint64) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	sets[0].Effective, sets[1].Effective = uint32(kept), uint32(kept>>32)
	sets[0].Permitted, sets[1].Permitted = sets[0].Effective, sets[1].Effective
	err := forAllThreads(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&sets[0])), 0)
	if err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	return nil
}

// forAllThreads makes a system call on each thread of the process, which
// syscall.AllThreadsSyscall does in programs without cgo only.
//
//go:uintptrescapes
func forAllThreads(trap, a1, a2, a3 uintptr) error {
	if _, _, errno := psx.Syscall6(trap, a1, a2, a3, 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// OnThread runs do as Thread does, and returns when the thread is no more: then all
// threads of the process are alike again.
func OnThread(do func()) {
	id := make(chan int)
	Thread(func() {
		do()
		id <- unix.Gettid()
	})
	for tid := <-id; unix.Tgkill(os.Getpid(), tid, 0) == nil; {
		time.Sleep(threadEndTime)
	}
}

// threadEndTime is how often it is looked whether a thread has ended.
const threadEndTime = 100 * time.Microsecond
