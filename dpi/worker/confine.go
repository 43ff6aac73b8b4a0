package worker

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/loader/sandbox"
)

// filesMax is room for what the Go runtime opens of itself.
const filesMax = 32

// confine gives up what a process can give up for all of its threads before it
// knows what it is to do; its user, capabilities and files went before it was
// started.
func confine() error {
	if err := limit(unix.RLIMIT_CORE, 0); err != nil {
		return fmt.Errorf("forbid core files: %w", err)
	}
	if err := limit(unix.RLIMIT_NOFILE, filesMax); err != nil {
		return fmt.Errorf("bound open files: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("forbid tracing: %w", err)
	}
	return nil
}

// confined bounds memory before it opens, and leaves afterwards, when all is open
// that will ever be, only the system calls of somebody who computes.
func confined(open Opener) Opener {
	return func(h Hello) (Inspector, string, error) {
		if h.Unconfined {
			return open(h)
		}
		if err := limit(unix.RLIMIT_DATA, memoryMax(h)); err != nil {
			return nil, "", fmt.Errorf("bound memory: %w", err)
		}
		i, release, err := open(h)
		if err == nil {
			err = sandbox.WorkerCalls().Limit()
		}
		return i, release, err
	}
}

func limit(resource int, to uint64) error {
	return unix.Setrlimit(resource, &unix.Rlimit{Cur: to, Max: to})
}

// What memory is for, generously.
const (
	memoryBase    = 256 << 20 // Go's heap, nDPI's tables
	memoryCPU     = 16 << 20  // threads' stacks
	memoryFlow    = 12 << 10  // a flow under inspection: 8 KB of QUIC with all details
	memoryPerFile = 16        // times the octets of what the user teaches nDPI
)

// memoryMax is how much private memory the process may have that it can write to,
// Go's and C's: address space alone says nothing, for Go reserves plenty.
func memoryMax(h Hello) uint64 {
	most := memoryBase + uint64(runtime.NumCPU())*memoryCPU + uint64(h.MaxFlows)*memoryFlow
	fd := FilesFD
	for bits := h.Files; bits != 0; bits &= bits - 1 {
		var s unix.Stat_t
		if unix.Fstat(fd, &s) == nil {
			most += memoryPerFile * uint64(s.Size)
		}
		fd++
	}
	return most
}
