// Package captures finds the capture files that tests and tools run over, and reads
// them into memory.
package captures

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/weirflow/weir/userspace"
	"github.com/weirflow/weir/userspace/pcapfile"
)

// Below lists every capture file below the folders, in order.
func Below(folders ...string) (paths []string, err error) {
	for _, folder := range folders {
		root := folder
		if info, err := os.Stat(folder); err == nil && info.IsDir() {
			root += string(filepath.Separator) // where it is a link, what this leads to
		}
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() && named(path) {
				paths = append(paths, path)
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("list captures: %w", err)
		}
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("list captures: none in %s", strings.Join(folders, ", "))
	}
	slices.Sort(paths)
	return paths, nil
}

// named tells whether a file is called as captures are.
func named(path string) bool {
	base := strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(path), ".gz"), ".zst")
	ext := filepath.Ext(base)
	return ext == ".pcap" || ext == ".pcapng" || ext == ".cap"
}

// Beside is Below where only the first folder has to be there: the reference's lie
// beside some checkouts.
func Beside(folders ...string) ([]string, error) {
	there := slices.Clone(folders[:1])
	for _, folder := range folders[1:] {
		if _, err := os.Stat(folder); !errors.Is(err, fs.ErrNotExist) {
			there = append(there, folder)
		}
	}
	return Below(there...)
}

// Load reads a capture, up to its damage if it has any, by link type. Frames
// shorter than the given number of octets are left out and counted.
func Load(path string, shortest int) (byLink map[uint32][]userspace.CapturedPacket, short int, err error) {
	r, err := pcapfile.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer r.Close()
	byLink = map[uint32][]userspace.CapturedPacket{}
	for {
		var p userspace.CapturedPacket
		if err := r.ReadPacket(&p); err != nil {
			return byLink, short, nil
		}
		if len(p.Data) < shortest {
			short++
			continue
		}
		p.Data = bytes.Clone(p.Data)
		byLink[p.LinkType] = append(byLink[p.LinkType], p)
	}
}

// Packets are a capture in memory, and a userspace.PacketSource.
type Packets struct {
	List []userspace.CapturedPacket
	next int
}

// ReadPacket implements userspace.PacketSource.
func (p *Packets) ReadPacket(out *userspace.CapturedPacket) error {
	if p.next == len(p.List) {
		return io.EOF
	}
	*out = p.List[p.next]
	p.next++
	return nil
}

// Lines reads a file of JSON values, one a line, such as the reference's answers.
func Lines[T any](path string) (values []T, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var v T
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			return nil, fmt.Errorf("read line %d of %s: %w", 1+len(values), path, err)
		}
		values = append(values, v)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return values, nil
}
