package loader

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/pinned"
)

// A pinned meter is a directory in a BPF file system that holds the links, the
// maps and the programs that user space runs. It is built beside its place, and
// put there by one rename: it is there whole or not at all.

// Modes of what is pinned. A group that is given the directory may read the
// meter, and take nothing out of the table: its ring buffer is mapped for writing.
const (
	pinDirectoryMode = 0o750
	pinObjectMode    = 0o640
	pinSharedMode    = 0o660 // the ring buffer and the progress of who reads it
)

const (
	pinAbout      = pinned.AboutName
	pinLinkPrefix = "link_"
	// What a link runs is pinned by itself as well: should the link come to hold
	// nothing, it is needed for the next one.
	pinProgramPrefix = "program_"
	// A name with one of these behind it is a directory that is being built, or
	// taken away. A BPF file system takes no dots.
	pinBuilding = "-new-"
	pinRemoving = "-old-"
)

// pinnedMaps are those of the object that are pinned, with their modes.
var pinnedMaps = map[string]os.FileMode{
	bpf.WeirMapFlows:     pinObjectMode,
	bpf.WeirMapEvents:    pinSharedMode,
	bpf.WeirMapLedgers:   pinObjectMode,
	bpf.WeirMapProgress:  pinSharedMode,
	bpf.WeirMapFlowIds:   pinObjectMode,
	bpf.WeirMapVacant:    pinObjectMode,
	bpf.WeirMapDeletions: pinObjectMode,
	bpf.WeirMapRefusals:  pinObjectMode,
	// what a sweep is told; its iterator is made of the pinned program
	bpf.WeirMapSweepState: pinSharedMode,
}

// pinnedPrograms are those that user space runs; the others are those of links. The
// sweep's iterator is another one of them where there is one.
var pinnedPrograms = []string{bpf.WeirProgWeirSweep, bpf.WeirProgWeirDpiDone}

// A pin is the directory of a pinned meter, locked.
type pin struct {
	path  string
	lock  *os.File
	about About
	// What is opened and looked up before privileges are given up: the map that holds
	// about, once it was written, and the directory's group.
	description *ebpf.Map
	group       int
}

// beside is a name next to path that nothing has.
func beside(path, purpose string) string {
	return fmt.Sprintf("%s%s%08x", path, purpose, rand.Uint32())
}

// checkPinPath makes a path absolute and says whether something can be pinned
// there.
func checkPinPath(path string) (string, error) {
	given := path
	path, err := filepath.Abs(given)
	if err != nil {
		return "", fmt.Errorf("a pinned meter at %s: %w", given, err)
	}
	var fs unix.Statfs_t
	parent := filepath.Dir(path)
	switch err := unix.Statfs(parent, &fs); {
	case err != nil:
		return "", fmt.Errorf("a pinned meter at %s: %w: mount a BPF file system (mount -t bpf bpf /sys/fs/bpf) and choose a place in it", path, err)
	case fs.Type != unix.BPF_FS_MAGIC && unix.Statfs(path, &fs) == nil && fs.Type == unix.BPF_FS_MAGIC:
		return "", fmt.Errorf("a pinned meter at %s: it is a BPF file system, and a meter has a directory of its own in one: name that, as %s/weir", path, path)
	case fs.Type != unix.BPF_FS_MAGIC:
		return "", fmt.Errorf("a pinned meter at %s: %s is not in a BPF file system: mount one there (mount -t bpf bpf /sys/fs/bpf) or choose a place in one", path, parent)
	case strings.Contains(filepath.Base(path), "."):
		return "", fmt.Errorf("a pinned meter at %s: a BPF file system takes no name with a dot: choose another", path)
	}
	return path, nil
}

// removeStale takes away what starts and ends that were killed have left.
func removeStale(path string) error {
	for _, purpose := range []string{pinBuilding, pinRemoving} {
		left, err := beginning(filepath.Dir(path), filepath.Base(path)+purpose)
		if err != nil {
			return fmt.Errorf("look for what was left beside %s: %w", path, err)
		}
		for _, dir := range left {
			lock, err := pinned.Lock(dir)
			if inUse := new(InUseError); errors.As(err, &inUse) || errors.Is(err, os.ErrNotExist) {
				continue // somebody is at it
			}
			if err != nil {
				return err
			}
			err = removePins(dir, lock)
			_ = lock.Close()
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// beginning are the paths in a directory of names that begin with a prefix, none of one
// that this process may not list.
func beginning(dir, prefix string) (paths []string, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrPermission) {
		return nil, nil
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths, err
}

// removePins detaches what is pinned in a directory, and removes it. It stops at
// what no meter has put there. The directory is read by its lock: who has handed its
// meter over opens none.
func removePins(dir string, lock *os.File) error {
	_, err := lock.Seek(0, io.SeekStart)
	var names []string
	if err == nil {
		names, err = lock.Readdirnames(-1)
	}
	if err != nil {
		return fmt.Errorf("remove the pinned meter %s: %w", dir, err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, pinLinkPrefix) {
			if err := detachPinned(filepath.Join(dir, name)); err != nil {
				return err
			}
		}
	}
	for _, name := range names {
		if !isPin(name) {
			return fmt.Errorf("remove the pinned meter %s: %s in it is not weir's: remove it by hand", dir, name)
		}
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove the pinned meter %s: %w", dir, err)
		}
	}
	if err := os.Remove(dir); err != nil {
		return fmt.Errorf("remove the pinned meter %s: %w", dir, err)
	}
	return nil
}

func isPin(name string) bool {
	name, _, _ = strings.Cut(name, pinBuilding)
	_, isMap := pinnedMaps[name]
	return isMap || name == pinAbout || strings.HasPrefix(name, pinLinkPrefix) || strings.HasPrefix(name, pinProgramPrefix) ||
		name == bpf.WeirProgWeirSweep || name == bpf.WeirProgWeirDpiDone || name == bpf.WeirProgWeirSweepWalk
}

// detachPinned takes a program out of the path at once; removing the pin alone
// would do so a little later.
func detachPinned(path string) error {
	l, err := link.LoadPinnedLink(path, nil)
	if err != nil {
		return explain("open the pinned link "+path, err)
	}
	defer l.Close()
	if err := l.Detach(); err != nil && !errors.Is(err, unix.ENOLINK) {
		return explain("detach the pinned link "+path, err)
	}
	return nil
}

// startPinned loads and attaches, and pins all of it at path.
func (a *Attachment) startPinned(path string, o *Options) (err error) {
	dir := beside(path, pinBuilding)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("pin a meter at %s: make a directory beside it: %w", path, err)
	}
	a.pin = &pin{path: path}
	if a.pin.lock, err = pinned.Lock(dir); err != nil {
		return errors.Join(err, os.Remove(dir))
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, removePins(dir, a.pin.lock))
		}
	}()
	if err := a.start(o); err != nil {
		return err
	}
	if err := a.pinObjects(dir, o); err != nil {
		return fmt.Errorf("pin a meter at %s: %w", path, err)
	}
	if err := a.pin.giveTo(dir, o.PinGroup); err != nil {
		return err
	}
	if err := unix.Renameat2(unix.AT_FDCWD, dir, unix.AT_FDCWD, path, unix.RENAME_NOREPLACE); err != nil {
		return fmt.Errorf("pin a meter at %s: another start was faster, or something else is there: %w", path, err)
	}
	return nil
}

// pinObjects fills the directory of a meter that runs.
func (a *Attachment) pinObjects(dir string, o *Options) error {
	first := a.instances[0]
	for name, mode := range pinnedMaps {
		if err := pinAt(first.maps[name], dir, name, mode); err != nil {
			return err
		}
	}
	for _, name := range pinnedPrograms {
		if err := pinAt(first.programs[name], dir, name, pinObjectMode); err != nil {
			return err
		}
	}
	if iterator := first.programs[bpf.WeirProgWeirSweepWalk]; iterator != nil {
		if err := pinAt(iterator, dir, bpf.WeirProgWeirSweepWalk, pinObjectMode); err != nil {
			return err
		}
	}
	for i, l := range a.links {
		n := a.linkNames[i]
		err := errors.Join(pinAt(l, dir, n.Pin, pinObjectMode),
			pinAt(a.instances[n.Point].programs[n.Program], dir, programPin(n), pinObjectMode))
		if err != nil {
			return err
		}
	}
	about, err := a.describe(o)
	if err != nil {
		return err
	}
	a.pin.about = *about
	m, err := newAboutMap()
	if err != nil {
		return err
	}
	a.pin.description = m
	if err := errors.Join(writeAbout(m, about), pinAt(m, dir, pinAbout, pinObjectMode)); err != nil {
		return err
	}
	return os.Chmod(dir, pinDirectoryMode)
}

func pinAt(object interface{ Pin(string) error }, dir, name string, mode os.FileMode) error {
	path := filepath.Join(dir, name)
	name, _, _ = strings.Cut(name, pinBuilding)
	if err := object.Pin(path); err != nil {
		return fmt.Errorf("pin %s: %w", name, err)
	}
	if err := unix.Chmod(path, uint32(mode)); err != nil {
		return fmt.Errorf("set the mode of %s: %w", name, err)
	}
	return nil
}

// Remove removes the pins of a meter that was detached, the whole directory. What
// was not read by then is gone.
func (a *Attachment) Remove() error {
	if a.pin == nil {
		return errors.New("remove a meter that is not pinned: it ends with its process")
	}
	return a.pin.remove()
}

func (p *pin) remove() error {
	dir := beside(p.path, pinRemoving)
	if err := os.Rename(p.path, dir); err != nil {
		return fmt.Errorf("remove the pinned meter %s: %w", p.path, err)
	}
	return removePins(dir, p.lock)
}

// loadMap opens a map of the directory.
func (p *pin) loadMap(name string, readOnly bool) (*ebpf.Map, error) {
	return pinned.Map(p.path, name, readOnly)
}

func (p *pin) loadProgram(name string) (*ebpf.Program, error) { return pinned.Program(p.path, name) }

func (p *pin) explain(name string, err error) error { return pinned.Explain(p.path, name, err) }

// readAbout fills in p.about.
func (p *pin) readAbout() (err error) {
	p.about, err = pinned.ReadAbout(p.path)
	return err
}

// checkLayout returns a *LayoutError where nothing further may be read.
func (p *pin) checkLayout() error { return p.about.CheckLayout(p.path) }
