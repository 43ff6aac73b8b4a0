package dpi

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/dpi/ndpi"
	"github.com/weirflow/weir/dpi/rules"
	"github.com/weirflow/weir/loader/sandbox"
)

// Files are what the user teaches nDPI, in its own formats, by path; empty for
// none. Package rules tells the formats.
type Files = ndpi.Files

// fileMax bounds a file; a list of a million hosts has 30 MB.
const fileMax = 256 << 20

// A known file is one that was checked, in memory, so that a process started
// later reads the same, and needs no right to the user's.
type known struct {
	kind rules.Kind
	file *os.File
}

// readFiles reads and checks the files, and returns those that are there.
func readFiles(f Files) (all []known, err error) {
	defer func() {
		if err != nil {
			closeFiles(all)
			all = nil
		}
	}()
	for kind, path := range f.Paths() {
		if path == "" {
			continue
		}
		file, fileErr := readFile(rules.Kind(kind), path)
		if fileErr != nil {
			err = errors.Join(err, fileErr)
			continue
		}
		all = append(all, known{rules.Kind(kind), file})
	}
	return all, err
}

func readFile(kind rules.Kind, path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read nDPI's %v: %w", kind, err)
	}
	if info.Size() > fileMax {
		return nil, fmt.Errorf("read nDPI's %v: %s has %d octets, more than %d", kind, path, info.Size(), fileMax)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read nDPI's %v: %w", kind, err)
	}
	l, err := ndpi.Loaded()
	if err != nil {
		return nil, err
	}
	clean, bad := rules.Check(kind, path, content, rules.Release{Major: l.BuiltMajor, Minor: l.BuiltMinor, JA4: l.ClientsAreJA4})
	if len(bad) > 0 {
		return nil, fmt.Errorf("read nDPI's %v: %w", kind, errors.Join(bad[:min(len(bad), badMax)]...))
	}
	return inMemory(kind.String(), clean)
}

// badMax is how many bad lines are told of at once.
const badMax = 10

// inMemory makes a file that has no path.
func inMemory(name string, content []byte) (*os.File, error) {
	fd, err := sandbox.MemoryFile("weir "+name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("keep nDPI's %s in memory: %w", name, err)
	}
	file := os.NewFile(uintptr(fd), name)
	if _, err := file.Write(content); err != nil {
		file.Close()
		return nil, fmt.Errorf("keep nDPI's %s in memory: %w", name, err)
	}
	return file, nil
}

func closeFiles(all []known) {
	for _, k := range all {
		k.file.Close()
	}
}

// Knowledge is what the linked library knows, by name.
type Knowledge struct {
	Library    Library         `json:"library"`
	Protocols  []ndpi.Protocol `json:"protocols"`
	Categories []string        `json:"categories"` // by number
	Risks      []string        `json:"risks"`      // by bit
}

// Known lists what nDPI knows, the user's files included.
func Known(f Files) (Knowledge, error) {
	if !Available() {
		return Knowledge{}, fmt.Errorf("list protocols: %w", ErrNotAvailable)
	}
	l, err := ndpi.Loaded()
	if err != nil {
		return Knowledge{}, fmt.Errorf("list protocols: %w", err)
	}
	files, err := readFiles(f)
	if err != nil {
		return Knowledge{}, fmt.Errorf("list protocols: %w", err)
	}
	defer closeFiles(files)
	var inMemory Files
	paths := inMemory.Places()
	for _, k := range files {
		*paths[k.kind] = fmt.Sprintf("/proc/self/fd/%d", k.file.Fd())
	}
	m, err := ndpi.Open(inMemory)
	if err != nil {
		return Knowledge{}, fmt.Errorf("list protocols: %w", err)
	}
	defer m.Close()
	return Knowledge{l, m.Protocols(), m.Categories(), m.Risks()}, nil
}
