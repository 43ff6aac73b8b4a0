package bpftest

import (
	"errors"
	"fmt"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// WithCapabilities runs f on this thread with nothing effective but caps.
func WithCapabilities(tb testing.TB, caps []int, f func()) {
	tb.Helper()
	if err := Restrict(caps, f); err != nil {
		tb.Fatal(err)
	}
}

// Restrict is WithCapabilities for whoever is no test.
func Restrict(caps []int, f func()) (err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var full [2]unix.CapUserData
	if err := unix.Capget(&head, &full[0]); err != nil {
		return fmt.Errorf("read this thread's capabilities: %w", err)
	}
	few := full
	few[0].Effective, few[1].Effective = 0, 0
	for _, c := range caps {
		few[c/32].Effective |= 1 << (c % 32)
	}
	if err := unix.Capset(&head, &few[0]); err != nil {
		return fmt.Errorf("leave this thread capabilities %v only: %w", caps, err)
	}
	defer func() { err = errors.Join(err, unix.Capset(&head, &full[0])) }()
	f()
	return nil
}
