package differential

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/weirflow/weir/userspace"
	"github.com/weirflow/weir/userspace/pcapfile"
)

// Captures lists every capture file below the folders. Only the first of them
// has to be there: the reference's lie beside some checkouts.
func Captures(folders ...string) (paths []string, err error) {
	for i, folder := range folders {
		if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) && i > 0 {
			continue
		}
		err := filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
			base := strings.TrimSuffix(strings.TrimSuffix(path, ".gz"), ".zst")
			if ext := filepath.Ext(base); ext == ".pcap" || ext == ".pcapng" {
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
	return paths, nil
}

// Load reads a capture, up to its damage if it has any, by link type. Frames
// shorter than the given number of octets are left out and counted.
func Load(path string, shortest int) (byLink map[uint32][]Step, short int, err error) {
	r, err := pcapfile.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer r.Close()
	byLink = map[uint32][]Step{}
	for {
		var p userspace.CapturedPacket
		if err := r.ReadPacket(&p); err != nil {
			return byLink, short, nil
		}
		if len(p.Data) < shortest {
			short++
			continue
		}
		byLink[p.LinkType] = append(byLink[p.LinkType], Step{Data: bytes.Clone(p.Data), Length: p.Length, TimeNs: p.TimeNs})
	}
}
