// Package testrun asks for what BPF programs do that are in no interface's path, by
// BPF_PROG_TEST_RUN: the sweep, which closes and deletes flows, foremost.
package testrun

import (
	"errors"
	"runtime"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// testRunAttr is what BPF_PROG_TEST_RUN takes, of the kernel's union bpf_attr.
type testRunAttr struct {
	program    uint32
	_          uint32 // what the program returned
	inOctets   uint32
	outOctets  uint32
	in, out    uint64
	repeat     uint32
	_          uint32
	_          [2]uint32
	_          [2]uint64
	_, _, _, _ uint32
}

// bpfProgTestRun is BPF_PROG_TEST_RUN.
const bpfProgTestRun = 10

// Run runs a program once on a packet; out, which may be nil, receives the packet
// after it. It takes the descriptor and no capability, whereas the library first
// tries whether it may load a program of its own.
func Run(program *ebpf.Program, in, out []byte) error {
	attr := testRunAttr{program: uint32(program.FD()), inOctets: uint32(len(in)), outOctets: uint32(len(out)), repeat: 1}
	defer runtime.KeepAlive(program)
	var pinned runtime.Pinner
	defer pinned.Unpin()
	attr.in = address(&pinned, in)
	attr.out = address(&pinned, out)
	for {
		_, _, errno := unix.Syscall(unix.SYS_BPF, bpfProgTestRun, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
		switch {
		case errno == 0:
			return nil
		case errors.Is(errno, unix.EINTR):
		default:
			return errno
		}
	}
}

// address keeps b where it is until it is unpinned.
func address(pinned *runtime.Pinner, b []byte) uint64 {
	if len(b) == 0 {
		return 0
	}
	pinned.Pin(unsafe.SliceData(b))
	return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b))))
}
