package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/weirflow/weir/tools/vm/guest"
)

// Where things are in the machine. The checkout has a directory above it, as the
// captures that are not in it lie beside it.
const (
	guestCheckout = "/src/weir"
	guestCaptures = "/src/shared/captures"
	guestBinaries = "/tests"

	hostCaptures = "../shared/captures"
)

// A tree is the machine's root directory: links to the files that it is to hold.
type tree struct{ root string }

// pack builds the tests and puts them, with all that they need, into an archive
// that the kernel unpacks. It returns the archive's path.
func pack(ctx context.Context, k *kernel, tested []suite, o *options) (string, error) {
	t := tree{filepath.Join(o.work, "root")}
	bin := filepath.Join(o.work, "bin")
	if err := errors.Join(os.RemoveAll(t.root), os.RemoveAll(bin), os.MkdirAll(bin, 0o755)); err != nil {
		return "", err
	}
	if err := build(ctx, tested, bin); err != nil {
		return "", err
	}
	plan, err := t.plan(ctx, k, tested, bin, o)
	if err != nil {
		return "", err
	}
	file := filepath.Join(o.work, "plan.json")
	if err := os.WriteFile(file, plan, 0o644); err != nil {
		return "", err
	}
	if err := errors.Join(t.link(file, guest.PlanPath), t.link(filepath.Join(bin, "init"), "/init")); err != nil {
		return "", err
	}
	for _, dir := range []string{"/dev", "/proc", "/sys", "/tmp"} {
		if err := os.MkdirAll(filepath.Join(t.root, dir), 0o755); err != nil {
			return "", err
		}
	}
	archive := filepath.Join(o.work, "initramfs")
	return archive, t.archive(ctx, archive)
}

// plan fills the tree with the tests and what they use, and returns the plan.
func (t *tree) plan(ctx context.Context, k *kernel, tested []suite, bin string, o *options) ([]byte, error) {
	var plan guest.Plan
	files, err := k.load(modules)
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		at := filepath.Join("/modules", filepath.Base(file))
		if err := t.link(file, at); err != nil {
			return nil, err
		}
		plan.Modules = append(plan.Modules, at)
	}
	for i := range tested {
		s := &tested[i]
		if err := s.stale(ctx, bin); err != nil {
			return nil, err
		}
		if err := t.program(ctx, filepath.Join(bin, s.binary()), filepath.Join(guestBinaries, s.binary())); err != nil {
			return nil, err
		}
		plan.Tests = append(plan.Tests, s.test(guestCheckout, guestBinaries, o))
	}
	for _, name := range programs {
		path, err := exec.LookPath(name)
		if err != nil {
			return nil, fmt.Errorf("the tests call %s: %w", name, err)
		}
		if err := t.program(ctx, path, filepath.Join("/usr/bin", name)); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(t.checkout(ctx), t.captures()); err != nil {
		return nil, err
	}
	return json.MarshalIndent(plan, "", "\t")
}

// build builds init, and the tests as go test does on this machine, cgo included.
func build(ctx context.Context, tested []suite, bin string) error {
	packages := []string{}
	for _, s := range tested {
		packages = append(packages, "./"+s.dir)
	}
	tests := exec.CommandContext(ctx, "go", append([]string{"test", "-c", "-ldflags=-s -w", "-o", bin + "/"}, packages...)...)
	system := exec.CommandContext(ctx, "go", "build", "-ldflags=-s -w", "-o", filepath.Join(bin, "init"), "./tools/vm/init")
	system.Env = append(os.Environ(), "CGO_ENABLED=0")
	for _, c := range []*exec.Cmd{tests, system} {
		c.Stdout, c.Stderr = os.Stderr, os.Stderr
		if err := c.Run(); err != nil {
			return fmt.Errorf("build the tests: %s: %w", strings.Join(c.Args, " "), err)
		}
	}
	return nil
}

// link puts a file of this machine at a place in the other. What is there stays:
// programs share their libraries.
func (t *tree) link(file, at string) error {
	at = filepath.Join(t.root, at)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	if err := os.Symlink(file, at); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// program links a program, and the libraries that it is bound to.
func (t *tree) program(ctx context.Context, file, at string) error {
	if err := t.link(file, at); err != nil {
		return err
	}
	// Of a static program ldd has nothing to say but that; it is no error here.
	out, _ := exec.CommandContext(ctx, "ldd", file).Output()
	for _, library := range libraries(string(out)) {
		if err := t.link(library, library); err != nil {
			return err
		}
	}
	return nil
}

// libraries finds the paths in what ldd says.
func libraries(said string) (paths []string) {
	for line := range strings.Lines(said) {
		for _, word := range strings.Fields(line) {
			if strings.HasPrefix(word, "/") {
				paths = append(paths, word)
			}
		}
	}
	return paths
}

// checkout links what git knows of, and what it would.
func (t *tree) checkout(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		return fmt.Errorf("list the checkout's files: git ls-files: %w", err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		file, err := filepath.Abs(name)
		if err != nil {
			return err
		}
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			continue // deleted, and not yet for git
		}
		if err := t.link(file, filepath.Join(guestCheckout, name)); err != nil {
			return err
		}
	}
	return nil
}

// captures links those beside the checkout, if there are any.
func (t *tree) captures() error {
	if _, err := os.Stat(hostCaptures); errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintf(os.Stderr, "vm: there is no %s: the tests have the checkout's captures only\n", hostCaptures)
		return nil
	}
	beside, err := filepath.Abs(hostCaptures)
	if err != nil {
		return err
	}
	return filepath.WalkDir(beside, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		return t.link(path, filepath.Join(guestCaptures, strings.TrimPrefix(path, beside)))
	})
}

// archive writes the tree, with the files in place of their links.
func (t *tree) archive(ctx context.Context, to string) error {
	var names bytes.Buffer
	err := filepath.WalkDir(t.root, func(path string, _ fs.DirEntry, err error) error {
		if name := strings.TrimPrefix(path, t.root+"/"); name != path {
			fmt.Fprintf(&names, "%s\x00", name)
		}
		return err
	})
	if err != nil {
		return err
	}
	c := exec.CommandContext(ctx, "cpio", "--quiet", "--create", "--null", "--dereference", "--format=newc", "--owner=0:0", "-F", to)
	c.Dir, c.Stdin, c.Stderr = t.root, &names, os.Stderr
	if err := c.Run(); err != nil {
		return fmt.Errorf("pack %s: cpio: %w", to, err)
	}
	return nil
}
