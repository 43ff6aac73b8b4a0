package sandbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// A Confinement is what is left to a process. In any case that is no capability,
// and no way to gain one.
type Confinement struct {
	User  *User  // whom to become; nil to stay
	Files *Files // that may be opened; nil for all
	Calls *Calls // that may be made; nil for all
}

// Thread runs do on a thread of its own, which ends with it: on one that may Enter a
// Confinement. It is not the process's first, whose user others take for the
// process's. Thread does not wait.
func Thread(do func()) {
	go func() {
		runtime.LockOSThread() // and not unlocked, so that the thread goes with the goroutine
		if unix.Gettid() != unix.Getpid() {
			do()
			return
		}
		found := make(chan struct{})
		go func() { // while the first is taken
			runtime.LockOSThread()
			close(found)
			do()
		}()
		<-found
		runtime.UnlockOSThread()
	}()
}

// Enter confines the calling thread, which is one of Thread's, for ever. What this kernel has no means for is left
// out and listed in missing, a clause each.
func (c *Confinement) Enter() (missing []string, err error) {
	ruleset := -1
	if c.Files != nil {
		switch ruleset, err = c.Files.ruleset(); {
		case errors.Is(err, errNoLandlock):
			missing = append(missing, "this kernel has no Landlock: files are protected by their modes only")
		case err != nil:
			return nil, err
		default:
			defer unix.Close(ruleset)
			if abi := LandlockABI(); abi < PortsABI && len(c.Files.Ports) > 0 {
				missing = append(missing, fmt.Sprintf("this kernel's Landlock (ABI %d, ports since %d) lets it connect to every port, for outputs over a network", abi, PortsABI))
			}
		}
	}
	if err := c.shedPrivilege(); err != nil {
		return nil, err
	}
	if ruleset >= 0 {
		if err := restrictFiles(ruleset); err != nil {
			return nil, err
		}
	}
	if c.Calls == nil {
		return missing, nil
	}
	if err = c.Calls.limit(0); errors.Is(err, errNoSeccomp) {
		return append(missing, "this kernel has no seccomp filters: every system call may be made"), nil
	}
	return missing, err
}

// ForbidNewPrivileges keeps the calling thread, and what it starts, from gaining
// any, and leaves it those it has.
func ForbidNewPrivileges() error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("forbid new privileges: %w", err)
	}
	return nil
}

// shedPrivilege gives up the thread's user and capabilities.
func (c *Confinement) shedPrivilege() error {
	if err := ForbidNewPrivileges(); err != nil {
		return err
	}
	if err := emptyBounds(); err != nil {
		return err
	}
	if c.User != nil {
		if err := c.User.become(); err != nil {
			return err
		}
	}
	return dropCapabilities()
}

// emptyBounds empties the bounding and the ambient set. Without CAP_SETPCAP the
// bounding set stays: without new privileges it has no effect. So do the capabilities
// of the program's file, for the kernel starts no program that cannot have those.
func emptyBounds() error {
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("clear ambient capabilities: %w", err)
	}
	kept := fileCapabilities("/proc/self/exe")
	for capability := uintptr(0); ; capability++ {
		if capability < 64 && kept>>capability&1 == 1 {
			continue
		}
		switch err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0); {
		case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EPERM):
			return nil // the kernel knows no more, or does not let it
		case err != nil:
			return fmt.Errorf("bound capabilities: %w", err)
		}
	}
}

// fileCapabilities are those that a program is to have by its file (setcap).
func fileCapabilities(path string) (permitted uint64) {
	// struct vfs_cap_data of its revisions 2 and 3: magic, then permitted and
	// inheritable, of 32 bits each, for the lower capabilities and for the upper ones.
	var data [24]byte
	n, err := unix.Getxattr(path, "security.capability", data[:])
	if err != nil || n < 20 {
		return 0
	}
	return uint64(binary.LittleEndian.Uint32(data[4:])) | uint64(binary.LittleEndian.Uint32(data[12:]))<<32
}

// dropCapabilities empties the effective, permitted and inheritable sets.
func dropCapabilities() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	return nil
}
