package loader

import (
	"errors"
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/bpf"
)

// handed is a descriptor with a name for errors.
type handed struct {
	name string
	fd   int
}

// HandOver duplicates the descriptors that reading the meter takes, for a process
// that inherits them in this order and passes the first one's number to TakeOver. The
// lock of a pinned meter is among them: another reader has to wait until that
// process has ended as well. The caller closes the files.
func (a *Attachment) HandOver() (files []*os.File, err error) {
	h := a.Handles()
	objects := []handed{
		{bpf.WeirMapEvents, h.Events.FD()}, {bpf.WeirMapFlows, h.Flows.FD()}, {bpf.WeirMapLedgers, h.Ledgers.FD()},
		{bpf.WeirMapProgress, h.Progress.FD()}, {bpf.WeirMapSweepState, h.SweepState.FD()}, {bpf.WeirProgWeirSweep, h.Sweep.FD()}, {bpf.WeirProgWeirDpiDone, h.DPIDone.FD()},
	}
	if h.SweepIter != nil {
		objects = append(objects, handed{bpf.WeirProgWeirSweepWalk, h.SweepIter.FD()})
	}
	if a.pin != nil {
		objects = append(objects, handed{"lock", int(a.pin.lock.Fd())})
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
// this process, and of what else is known of them, Handles.Points and Handles.Object:
// iterates tells whether there was Handles.SweepIter among them. They are not passed on
// to what it starts.
func TakeOver(first int, known bpf.Handles, iterates bool) (bpf.Handles, error) {
	h := bpf.Handles{Points: known.Points, Object: known.Object}
	fd := first
	for _, m := range []**ebpf.Map{&h.Events, &h.Flows, &h.Ledgers, &h.Progress, &h.SweepState} {
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
	if iterates {
		unix.CloseOnExec(fd)
		var err error
		if h.SweepIter, err = iteratorFrom(fd); err != nil {
			return h, fmt.Errorf("take over descriptor %d: %w", fd, err)
		}
		fd++
	}
	unix.CloseOnExec(fd) // the lock, if there is one: it stays until the process ends
	return h, nil
}

func iteratorFrom(fd int) (*link.Iter, error) {
	l, err := link.NewFromFD(fd)
	if err != nil {
		return nil, err
	}
	iterator, is := l.(*link.Iter)
	if !is {
		return nil, errors.Join(errors.New("it is no iterator's"), l.Close())
	}
	return iterator, nil
}
