package flowgen

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// A residence keeps an XDP program among those that the kernel jumps to without
// a retpoline: it is attached to the loopback interface of a network namespace
// that nobody is in. A test run of any other program makes it one of them and
// undoes that at its end, and both wait for every CPU: 25 ms a run, in which
// 40,000 frames could have been sent.
type residence struct {
	namespace *os.File // lives as long as it is open
	link      link.Link
}

// reside attaches the program.
func reside(p *ebpf.Program) (*residence, error) {
	var r residence
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends, and so leaves the namespace
		done <- r.enter(p)
	}()
	if err := <-done; err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return &r, nil
}

// enter takes the calling thread along.
func (r *residence) enter(p *ebpf.Program) (err error) {
	const loopback = 1 // of every namespace
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("make a network namespace (needs CAP_SYS_ADMIN): %w", err)
	}
	if r.namespace, err = os.Open("/proc/thread-self/ns/net"); err != nil {
		return fmt.Errorf("hold a network namespace: %w", err)
	}
	r.link, err = link.AttachXDP(link.XDPOptions{Program: p, Interface: loopback, Flags: link.XDPGenericMode})
	if err != nil {
		return fmt.Errorf("attach %v to the loopback interface of an empty namespace: %w", p, err)
	}
	return nil
}

// Close detaches the program and lets the namespace go.
func (r *residence) Close() error {
	var errs []error
	if r.link != nil {
		errs = append(errs, r.link.Close())
	}
	if r.namespace != nil {
		errs = append(errs, r.namespace.Close())
	}
	return errors.Join(errs...)
}
