package sandbox

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// setGroups sets the calling thread's supplementary groups.
func setGroups(groups []uint32) error {
	_, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(unsafe.SliceData(groups))), 0)
	if errno != 0 {
		return errno
	}
	return nil
}
