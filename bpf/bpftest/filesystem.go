package bpftest

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// PinPlace is where a meter can be pinned, in a BPF file system of the test's own.
func PinPlace(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	MountFileSystem(t, dir, "")
	return filepath.Join(dir, "meter")
}

// MountFileSystem mounts a BPF file system with those options on dir, until the
// test ends.
func MountFileSystem(t *testing.T, dir, options string) {
	t.Helper()
	if err := unix.Mount("bpf", dir, "bpf", 0, options); err != nil {
		t.Fatalf("mount a BPF file system: %v (this test needs CAP_SYS_ADMIN: run as root)", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}
