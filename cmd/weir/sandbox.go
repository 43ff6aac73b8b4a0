package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/loader/sandbox"
	"github.com/weirflow/weir/userspace/sink"
)

const categorySandbox = "Sandbox"

func (s *settings) noSandboxFlag() cli.Flag {
	return &cli.BoolFlag{Name: "no-sandbox", Destination: &s.noSandbox, Category: categorySandbox,
		Usage: "leave every process the files, system calls and user of the one that was started"}
}

func (s *settings) sandboxFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "user", Destination: &s.user, Category: categorySandbox,
			Usage: "read and write flows as `USER`, by name or number (default: weir, nobody, or the owner of the output's directory, whoever may write there)"},
		s.noSandboxFlag(),
	}
}

// warnWithoutSandbox is loud: whoever leaves the sandbox out should mean it.
func warnWithoutSandbox(s *settings, say speaker) {
	if s.noSandbox {
		say.always("WARNING: --no-sandbox: what a hostile packet makes of a fault in weir or in nDPI may do all that the user may who has started weir")
	}
}

// wants are the files that a consumer needs beside those of the program.
type wants struct {
	files sandbox.Files
	reach *reach
	try   []try // that show whether a user may
	owner []int // of the program and the directories of outputs
}

// A try is an access that must be allowed.
type try struct {
	path string
	mode uint32
}

// wantsOf finds what outputs and nDPI's files need. What is not there is left to
// whoever opens it.
func wantsOf(s *settings) (*wants, error) {
	self, err := sandbox.Self()
	if err != nil {
		return nil, err
	}
	w := &wants{files: self}
	w.need("/proc/self/exe", unix.X_OK)
	w.note("/proc/self/exe") // under a strict umask it is its owner's only
	for _, path := range s.files.Paths() {
		if path != "" {
			w.files.Read = append(w.files.Read, path)
			w.need(path, unix.R_OK)
		}
	}
	if w.reach, err = reachOf(s.outputs); err != nil {
		return nil, err
	}
	w.remote(s)
	for _, spec := range s.outputs {
		_, path, err := sink.Parse(spec)
		if err != nil {
			return nil, err
		}
		if _, _, remote := sink.Remote(path); !remote && path != "-" {
			w.output(path)
		}
	}
	return w, nil
}

func (w *wants) need(path string, mode uint32) { w.try = append(w.try, try{path, mode}) }

// remote adds what it takes to reach addresses, for their names to be resolved, and to prove who
// is who.
func (w *wants) remote(s *settings) {
	w.files.Ports = w.reach.ports
	for _, path := range w.reach.paths {
		w.need(path, unix.W_OK)
	}
	if w.reach.names {
		w.files.Read = append(w.files.Read, "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf")
	}
	if w.reach.services {
		w.files.Read = append(w.files.Read, "/etc/services")
	}
	if !overTLS(s.outputs) {
		return
	}
	named, system := s.tls.reads()
	w.files.Read = slices.Concat(w.files.Read, named, system)
	for _, path := range named {
		w.need(path, unix.R_OK)
		w.note(path)
	}
}

// output adds a file that is written, renamed by others, and made anew.
func (w *wants) output(path string) {
	info, err := os.Stat(path)
	if err == nil {
		w.need(path, unix.W_OK)
	}
	if err == nil && !info.Mode().IsRegular() {
		if !isAnonymous(path) {
			w.files.Write = append(w.files.Write, path)
		}
		return
	}
	w.directory(filepath.Dir(path))
	if target, err := filepath.EvalSymlinks(path); err == nil {
		w.directory(filepath.Dir(target))
	}
}

// isAnonymous tells of what has no place in any directory, such as the pipe behind
// /dev/stdout: Landlock has no rules for it, and does not restrict it.
func isAnonymous(path string) bool {
	var s unix.Statfs_t
	return unix.Statfs(path, &s) == nil && (s.Type == unix.PIPEFS_MAGIC || s.Type == unix.SOCKFS_MAGIC)
}

func (w *wants) directory(dir string) {
	if slices.Contains(w.files.Create, dir) {
		return
	}
	w.files.Create = append(w.files.Create, dir)
	w.need(dir, unix.W_OK|unix.X_OK)
	w.note(dir)
}

// note takes the owner of something for a candidate.
func (w *wants) note(path string) {
	if info, err := os.Stat(path); err == nil {
		if s, ok := info.Sys().(*syscall.Stat_t); ok && s.Uid != 0 && !slices.Contains(w.owner, int(s.Uid)) {
			w.owner = append(w.owner, int(s.Uid))
		}
	}
}

// met tells why a user may not do all that is wanted.
func (w *wants) met(u *sandbox.User) error {
	return u.As(func() error {
		for _, t := range w.try {
			if err := unix.Access(t.path, t.mode); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("%s: %w", t.path, err)
			}
		}
		return nil
	})
}

// confinement is the consumer's. It says as whom the consumer acts where that is
// not what a reader of the manual would expect.
func (p *parent) confinement(s *settings) (*sandbox.Confinement, error) {
	w, err := wantsOf(s)
	if err != nil {
		return nil, err
	}
	u, err := p.chooseUser(s, w)
	if err != nil {
		return nil, err
	}
	return &sandbox.Confinement{User: u, Files: &w.files, Calls: sandbox.ConsumerCalls(true, w.reach.sockets)}, nil
}

// chooseUser is nil for the user that weir was started as.
func (p *parent) chooseUser(s *settings, w *wants) (*sandbox.User, error) {
	if s.user != "" {
		return chosenUser(s.user, w)
	}
	if !sandbox.MayBecomeOthers() {
		if os.Geteuid() == 0 {
			p.say.note("without CAP_SETUID and CAP_SETGID the consumer stays user 0, without capabilities")
		}
		return nil, nil
	}
	var refused error // the first
	for _, u := range candidates(w) {
		err := w.met(u)
		if err == nil {
			if u.UID == 0 {
				p.say.note("the consumer stays user 0, without capabilities: others may not do what it has to (%v); --user NAME chooses another", refused)
				return nil, nil
			}
			p.say.detail("the consumer is user %s", u.Name)
			return u, nil
		}
		if refused == nil {
			refused = fmt.Errorf("%s: %w", u.Name, err)
		}
	}
	return nil, fmt.Errorf("find a user for the consumer: %w: choose one that may with --user, or --no-sandbox", refused)
}

// chosenUser is the one that was asked for, who must do.
func chosenUser(name string, w *wants) (*sandbox.User, error) {
	u, err := sandbox.LookUpUser(name)
	if err != nil {
		return nil, err
	}
	if u.UID == os.Geteuid() {
		return nil, nil
	}
	if !sandbox.MayBecomeOthers() {
		return nil, fmt.Errorf("become %s: CAP_SETUID and CAP_SETGID are missing: start weir as root", name)
	}
	if err := w.met(u); err != nil {
		return nil, fmt.Errorf("let %s read and write flows: %w: choose another output, or another --user", name, err)
	}
	return u, nil
}

// nobodyUID owns nothing, on every Linux.
const nobodyUID = 65534

// candidates are in the order in which they are tried: whoever can do least that
// is of harm first. Root without capabilities may still write what is root's.
func candidates(w *wants) []*sandbox.User {
	nobody := &sandbox.User{Name: "nobody", UID: nobodyUID, GID: nobodyUID}
	all := []*sandbox.User{nobody}
	if _, err := user.Lookup("weir"); err == nil {
		if own, err := sandbox.LookUpUser("weir"); err == nil {
			all = []*sandbox.User{own, nobody}
		}
	}
	for _, uid := range w.owner {
		if u, err := sandbox.LookUpUser(strconv.Itoa(uid)); err == nil {
			all = append(all, u)
		}
	}
	return append(all, &sandbox.User{Name: "root"})
}
