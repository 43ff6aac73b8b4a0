package loader

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// giveTo makes the directory of a pinned meter, and all in it, a group's; 0 leaves them
// whose they are. What is pinned there later is to be that group's too.
func (p *pin) giveTo(dir string, group int) (err error) {
	if group == 0 {
		p.group, err = groupOf(dir)
		return err
	}
	p.group = group
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("give %s to group %d: %w", dir, group, err)
	}
	errs := []error{os.Chown(dir, -1, group)}
	for _, e := range entries {
		errs = append(errs, os.Chown(filepath.Join(dir, e.Name()), -1, group))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("give %s to group %d: %w", dir, group, err)
	}
	return nil
}

// groupOf is the group that a pinned meter is given to.
func groupOf(dir string) (int, error) {
	var s unix.Stat_t
	if err := unix.Stat(dir, &s); err != nil {
		return 0, fmt.Errorf("find the group of %s: %w", dir, err)
	}
	return int(s.Gid), nil
}
