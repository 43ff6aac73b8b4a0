// Package procstatus reads what Linux tells of a process in /proc/PID/status.
package procstatus

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A Status is what is told of a process at a moment, a line a field.
type Status string

// Of reads the status of a process; the error of one that is no more is
// fs.ErrNotExist.
func Of(pid int) (Status, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	return Status(text), err
}

// All are those of the processes that there are. Parents are to be looked up one by
// one, as not every kernel lists the children of a process.
func All() (all []Status) {
	paths, _ := filepath.Glob("/proc/[0-9]*/status")
	for _, path := range paths {
		if text, err := os.ReadFile(path); err == nil { // else it has ended
			all = append(all, Status(text))
		}
	}
	return all
}

// Number is that of a field, of memory in KiB; 0 without one, as a zombie has no
// memory.
func (s Status) Number(field string) int {
	_, after, _ := strings.Cut("\n"+string(s), "\n"+field+":")
	line, _, _ := strings.Cut(after, "\n")
	n, _ := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(line, " kB")))
	return n
}
