package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/loader"
	"github.com/weirflow/weir/loader/sandbox"
)

// settle gives up, for ever, what this process has no use for from the hand-over on.
// The consumer, which is somebody, or nil for this process's user, reads no packet
// before.
func (p *parent) settle(consumer *sandbox.User) error {
	if p.env.settle == nil {
		return nil
	}
	r := &sandbox.Remainder{Capabilities: p.capabilities(consumer), Calls: sandbox.ParentCalls()}
	if path := p.attachment.PinPath(); path != "" && p.watched != nil {
		r.Group = groupOf(path)
	}
	missing, err := p.env.settle(r)
	if err != nil {
		return fmt.Errorf("give up the privileges that metering does not take: %w", err)
	}
	for _, clause := range missing {
		p.say.always("warning: %s", clause)
	}
	return nil
}

// capabilities are those that are of use: to detach and to attach again, and to end a
// process of another user, by the death signal too. Who reads a pinned meter of others
// detaches nothing.
func (p *parent) capabilities(consumer *sandbox.User) (kept []int) {
	if p.watched != nil || p.ends {
		kept = loader.Keep()
	}
	if consumer != nil {
		kept = append(kept, unix.CAP_KILL)
	}
	for _, dir := range p.directories() {
		if err := mayChange(dir); err != nil {
			p.say.detail("CAP_DAC_OVERRIDE and CAP_FOWNER are kept: %v", err)
			return append(kept, unix.CAP_DAC_OVERRIDE, unix.CAP_FOWNER)
		}
	}
	return kept
}

// directories are those in which something is removed, or replaced.
func (p *parent) directories() (all []string) {
	if path := p.attachment.PinPath(); path != "" && (p.watched != nil || p.ends) {
		all = append(all, path, filepath.Dir(path))
	}
	if p.control != nil {
		all = append(all, filepath.Dir(p.control.path))
	}
	return all
}

// mayChange tells why this process, without its capabilities, may not make and remove
// files in a directory.
func mayChange(dir string) error {
	me, err := sandbox.Myself()
	if err != nil {
		return err
	}
	return me.As(func() error {
		if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
			return &fs.PathError{Op: "change", Path: dir, Err: err}
		}
		return nil
	})
}

// groupOf is the group of a directory, 0 if it cannot be told.
func groupOf(dir string) int {
	info, err := os.Stat(dir)
	if err != nil {
		return 0
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	return int(s.Gid)
}
