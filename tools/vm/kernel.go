package main

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A kernel is an image, with its config and its modules where its package has
// put them.
type kernel struct {
	image, release string
	config         string // path
	modules        string // directory
}

// needed is what the tests cannot do without; the rest may be modules.
var needed = []string{"CONFIG_BPF_SYSCALL", "CONFIG_BPF_JIT", "CONFIG_DEBUG_INFO_BTF", "CONFIG_NET_NS",
	"CONFIG_BLK_DEV_INITRD", "CONFIG_DEVTMPFS", "CONFIG_SERIAL_8250_CONSOLE"}

func openKernel(image string) (*kernel, error) {
	image, err := filepath.Abs(image)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(image)
	if err != nil {
		return nil, fmt.Errorf("read the kernel's image: %w", err)
	}
	release, err := releaseOf(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", image, err)
	}
	boot := filepath.Dir(image)
	return &kernel{
		image: image, release: release,
		config:  filepath.Join(boot, "config-"+release),
		modules: filepath.Join(boot, "..", "lib", "modules", release),
	}, nil
}

var errNoImage = errors.New("this is no bootable image of an x86 kernel (vmlinuz)")

// releaseOf reads what uname -r will say from the image's header, which is
// described in the kernel's Documentation/arch/x86/boot.rst.
func releaseOf(image []byte) (string, error) {
	const magicAt, versionAt, versionBase = 0x202, 0x20e, 0x200
	if len(image) < versionAt+2 || string(image[magicAt:magicAt+4]) != "HdrS" {
		return "", errNoImage
	}
	at := versionBase + int(binary.LittleEndian.Uint16(image[versionAt:]))
	if at >= len(image) {
		return "", errNoImage
	}
	release, _, found := bytes.Cut(image[at:], []byte(" "))
	if !found {
		return "", errNoImage
	}
	return string(release), nil
}

// check tells what the kernel was built without.
func (k *kernel) check() error {
	text, err := os.ReadFile(k.config)
	if errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintf(os.Stderr, "vm: no %s: what the kernel can is not checked\n", k.config)
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the kernel's config: %w", err)
	}
	if lacks := lacking(string(text)); len(lacks) > 0 {
		return fmt.Errorf("Linux %s is built without %s, which the tests need: take another", k.release, strings.Join(lacks, ", "))
	}
	return nil
}

func lacking(config string) (lacks []string) {
	lines := strings.Split(config, "\n")
	for _, option := range needed {
		if !slices.Contains(lines, option+"=y") {
			lacks = append(lacks, option)
		}
	}
	return lacks
}

// load lists the files of the modules, each after those that it depends on.
// Modules that the kernel has built in have none.
func (k *kernel) load(names []string) (files []string, err error) {
	there, err := k.files()
	if err != nil {
		return nil, err
	}
	builtin, err := os.ReadFile(filepath.Join(k.modules, "modules.builtin"))
	if err != nil {
		return nil, fmt.Errorf("which modules the kernel has built in: %w", err)
	}
	var add func(name string) error
	add = func(name string) error {
		file, found := there[name]
		if !found {
			if strings.Contains(string(builtin), "/"+name+".ko\n") {
				return nil
			}
			return fmt.Errorf("no module %s in %s (compressed ones cannot be loaded): the tests need it", name, k.modules)
		}
		if slices.Contains(files, file) {
			return nil
		}
		before, err := dependencies(file)
		if err != nil {
			return err
		}
		for _, d := range before {
			if err := add(d); err != nil {
				return err
			}
		}
		files = append(files, file)
		return nil
	}
	for _, name := range names {
		if err := add(name); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// files finds the modules by their names.
func (k *kernel) files() (map[string]string, error) {
	found := map[string]string{}
	err := filepath.WalkDir(k.modules, func(path string, _ fs.DirEntry, err error) error {
		if name, isModule := strings.CutSuffix(filepath.Base(path), ".ko"); isModule {
			found[strings.ReplaceAll(name, "-", "_")] = path
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look for the kernel's modules: %w", err)
	}
	return found, nil
}

// dependencies reads the modules that one depends on from itself: the list that
// depmod makes of them is made where a kernel is installed.
func dependencies(file string) ([]string, error) {
	m, err := elf.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read module %s: %w", file, err)
	}
	defer m.Close()
	section := m.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("module %s has no .modinfo", file)
	}
	info, err := section.Data()
	if err != nil {
		return nil, fmt.Errorf("read module %s: %w", file, err)
	}
	for field := range strings.SplitSeq(string(info), "\x00") {
		if list, found := strings.CutPrefix(field, "depends="); found {
			return strings.FieldsFunc(list, func(r rune) bool { return r == ',' }), nil
		}
	}
	return nil, nil
}
