package pinned

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// An InUseError says that another process reads a pinned meter, or works on its
// directory. There is one at a time.
type InUseError struct {
	Path string
	PID  int // 0 where it cannot be told, as from another PID namespace
}

func (e *InUseError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("the pinned meter %s is in use by a process that cannot be seen from here: end it first", e.Path)
	}
	return fmt.Sprintf("the pinned meter %s is in use by pid %d: end that process first; weir status --pin %s looks on", e.Path, e.PID, e.Path)
}

// Lock locks a directory until the file is closed, or the process ends
// in whatever way. The lock stays with the directory when it is renamed.
func Lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("open the pinned meter: %w: none is there; weir attach --pin %s INTERFACE makes one", err, path)
	}
	if err != nil {
		return nil, fmt.Errorf("open the pinned meter: %w", err)
	}
	switch err := lockFile(f); {
	case errors.Is(err, unix.EWOULDBLOCK):
		busy := &InUseError{path, lockHolder(f)}
		_ = f.Close()
		return nil, busy
	case err != nil:
		_ = f.Close()
		return nil, fmt.Errorf("lock the pinned meter %s: %w", path, err)
	}
	// Whoever had it before may have moved it away.
	if now, err := os.Stat(path); err == nil {
		if then, err := f.Stat(); err == nil && os.SameFile(now, then) {
			return f, nil
		}
	}
	_ = f.Close()
	return nil, fmt.Errorf("open the pinned meter %s: %w", path, os.ErrNotExist)
}

// endingTime is how long a process may take to end whose parent, which had the lock,
// has been killed.
const endingTime = time.Second

// lookingTime is how long a process may have the lock that only looks whether it can be had.
const lookingTime = 100 * time.Millisecond

// lockFile locks f, or returns EWOULDBLOCK where whoever has the lock lives and is
// not just looking.
func lockFile(f *os.File) error {
	for begun := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		waited := time.Since(begun)
		if !errors.Is(err, unix.EWOULDBLOCK) || waited > endingTime {
			return err
		}
		if pid := lockHolder(f); waited > lookingTime && pid != 0 && !errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
			return err
		}
	}
}

// lockHolder is the process that holds the lock of f, 0 if it cannot be told.
func lockHolder(f *os.File) int {
	var s unix.Stat_t
	if unix.Fstat(int(f.Fd()), &s) != nil {
		return 0
	}
	locks, err := os.Open("/proc/locks")
	if err != nil {
		return 0
	}
	defer locks.Close()
	file := fmt.Sprintf("%02x:%02x:%d", unix.Major(s.Dev), unix.Minor(s.Dev), s.Ino)
	// 1: FLOCK  ADVISORY  WRITE 1234 00:20:5678 0 EOF
	for lines := bufio.NewScanner(locks); lines.Scan(); {
		if w := strings.Fields(lines.Text()); len(w) > 5 && w[1] == "FLOCK" && w[5] == file {
			pid, _ := strconv.Atoi(w[4])
			return max(pid, 0)
		}
	}
	return 0
}
