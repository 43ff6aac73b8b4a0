package sandbox

import (
	"errors"

	"golang.org/x/sys/unix"
)

// MemoryFile makes a file that has no path, which nothing that is in it can be executed from,
// where the kernel (6.3 or newer) has such. A process with ConsumerCalls can make no other
// there: Landlock's rules are of files with a path. The flags are those of memfd_create.
func MemoryFile(name string, flags int) (fd int, err error) {
	fd, err = unix.MemfdCreate(name, flags|unix.MFD_NOEXEC_SEAL)
	if errors.Is(err, unix.EINVAL) { // it does not know the flag
		return unix.MemfdCreate(name, flags)
	}
	return fd, err
}

// memoryIsSealed tells whether the kernel has memory that cannot be executed.
func memoryIsSealed() bool {
	fd, err := unix.MemfdCreate("", unix.MFD_CLOEXEC|unix.MFD_NOEXEC_SEAL)
	if err != nil {
		return false
	}
	_ = unix.Close(fd)
	return true
}
