package testrun

import (
	"errors"
	"runtime"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/bpf"
)

// lookupBatchAttr is what BPF_MAP_LOOKUP_BATCH takes, of the kernel's union bpf_attr.
type lookupBatchAttr struct {
	from, behind uint64 // where to begin, 0 at the table's beginning; where the next one is to
	keys, values uint64
	count        uint32 // most, and how many there were
	table        uint32
	_, _         uint64
}

// A cursor is a place in the table, as the kernel says it. The zero cursor is the
// beginning.
type cursor struct {
	bucket uint32
	set    bool
}

// lookUp looks up keys from the cursor on, with their values, and moves the cursor behind
// them. With ENOENT they are the last, and with other errors of a bucket's they are what
// came before it. It takes the descriptor and no capability, whereas the library, after an
// error, first tries whether it may create a table of its own.
func lookUp(table *ebpf.Map, at *cursor, keys []bpf.Key, values []byte) (n int, err error) {
	attr := lookupBatchAttr{count: uint32(len(keys)), table: uint32(table.FD())}
	defer runtime.KeepAlive(table)
	var pinned runtime.Pinner
	defer pinned.Unpin()
	from, behind := at.bucket, at.bucket
	pinned.Pin(&from)
	pinned.Pin(&behind)
	if at.set {
		attr.from = uint64(uintptr(unsafe.Pointer(&from)))
	}
	attr.behind = uint64(uintptr(unsafe.Pointer(&behind)))
	attr.keys = address(&pinned, unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(keys))), uintptr(len(keys))*unsafe.Sizeof(keys[0])))
	attr.values = address(&pinned, values)
	_, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_MAP_LOOKUP_BATCH, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	if errno == 0 || errno == unix.ENOENT || isBusy(errno) {
		*at = cursor{behind, true}
		return int(attr.count), errOf(errno)
	}
	return 0, errno
}

func errOf(errno unix.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}

// isBusy tells of a bucket whose lock others hold: for as long as the kernel waits
// (ETIMEDOUT, EDEADLK), or on this very CPU (EBUSY).
func isBusy(err error) bool {
	return errors.Is(err, unix.EBUSY) || errors.Is(err, unix.ETIMEDOUT) || errors.Is(err, unix.EDEADLK)
}
