package loader

import (
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/bpf"
)

// HandOver duplicates the descriptors that reading the meter takes, for a process
// that inherits them in this order and passes the first one's number to TakeOver. The
// lock of a pinned meter is among them: another reader has to wait until that
// process has ended as well. The caller closes the files.
func (a *Attachment) HandOver() (files []*os.File, err error) {
	h := a.Handles()
	objects := []struct {
		name string
		fd   int
	}{
		{bpf.WeirMapEvents, h.Events.FD()}, {bpf.WeirMapFlows, h.Flows.FD()}, {bpf.WeirMapLedgers, h.Ledgers.FD()},
		{bpf.WeirMapProgress, h.Progress.FD()}, {bpf.WeirProgWeirSweep, h.Sweep.FD()}, {bpf.WeirProgWeirDpiDone, h.DPIDone.FD()},
	}
	if a.pin != nil {
		objects = append(objects, struct {
			name string
			fd   int
		}{"lock", int(a.pin.lock.Fd())})
	}
	for _, object := range objects {
		fd, err := unix.FcntlInt(uintptr(object.fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			for _, f := range files {
				_ = f.Close()
			}
			return nil, fmt.Errorf("hand over %s: %w", object.name, err)
		}
		files = append(files, os.NewFile(uintptr(fd), object.name))
	}
	return files, nil
}

// TakeOver makes handles of the descriptors from first on that were handed over to
// this process. They are not passed on to what it starts.
func TakeOver(first int, points []bpf.Point) (bpf.Handles, error) {
	h := bpf.Handles{Points: points}
	fd := first
	for _, m := range []**ebpf.Map{&h.Events, &h.Flows, &h.Ledgers, &h.Progress} {
		unix.CloseOnExec(fd)
		var err error
		if *m, err = ebpf.NewMapFromFD(fd); err != nil {
			return h, fmt.Errorf("take over descriptor %d: %w", fd, err)
		}
		fd++
	}
	for _, p := range []**ebpf.Program{&h.Sweep, &h.DPIDone} {
		unix.CloseOnExec(fd)
		var err error
		if *p, err = ebpf.NewProgramFromFD(fd); err != nil {
			return h, fmt.Errorf("take over descriptor %d: %w", fd, err)
		}
		fd++
	}
	unix.CloseOnExec(fd) // the lock, if there is one: it stays until the process ends
	return h, nil
}
