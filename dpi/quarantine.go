package dpi

import (
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/dpi/worker"
	"github.com/weirflow/weir/loader/sandbox"
)

// A quarantine knows of which samples processes died. Once may be chance; a sample
// whose like was there twice is not shown to another. It belongs to the goroutine that
// starts processes.
type quarantine struct {
	memory *os.File // the process's Witness
	once   []worker.Digest
	twice  []worker.Digest
}

// newQuarantine makes the memory, whose size the process cannot change.
func newQuarantine() (*quarantine, error) {
	fd, err := sandbox.MemoryFile("weir sample", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("make memory for what nDPI works on: %w", err)
	}
	q := &quarantine{memory: os.NewFile(uintptr(fd), "weir sample")}
	if err = q.memory.Truncate(worker.WitnessOctets); err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL)
	}
	if err != nil {
		q.memory.Close()
		return nil, fmt.Errorf("make memory for what nDPI works on: %w", err)
	}
	return q, nil
}

// begin is said before a process is started.
func (q *quarantine) begin() error {
	if _, err := q.memory.WriteAt(make([]byte, 4), 0); err != nil {
		return fmt.Errorf("clear the memory for what nDPI works on: %w", err)
	}
	return nil
}

// end is said when a process has died, and tells whether it was of a sample.
func (q *quarantine) end() (atWork bool) {
	packet, err := worker.Witnessed(q.memory)
	if err != nil || len(packet) == 0 {
		return false
	}
	digest := worker.DigestOf(packet)
	switch {
	case slices.Contains(q.twice, digest): // it came another way
	case slices.Contains(q.once, digest):
		q.twice = keepLast(q.twice, digest)
	default:
		q.once = keepLast(q.once, digest)
	}
	return true
}

// keepLast appends to a list of the latest worker.QuarantineMax.
func keepLast(list []worker.Digest, d worker.Digest) []worker.Digest {
	if len(list) == worker.QuarantineMax {
		list = slices.Delete(list, 0, 1)
	}
	return append(list, d)
}

func (q *quarantine) close() { q.memory.Close() }
