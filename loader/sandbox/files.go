package sandbox

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
)

// Files are those that a process may open, by path; what a path leads to when the
// process is confined counts. Descriptors that it has already are not concerned.
type Files struct {
	ReadAll bool     // reading and executing is as it was
	Execute []string // files
	Read    []string // files, and directories with all in them
	Write   []string // files that exist: devices, pipes
	// Create are directories in which files may be made, written, renamed and removed.
	Create []string
	// Ports are those that TCP sockets may connect to, at any address. None may bind.
	Ports []uint16
}

// errNoLandlock: the kernel cannot restrict files.
var errNoLandlock = errors.New("no Landlock")

const (
	landlockExecute = landlock.AccessFSSet(ll.AccessFSExecute | ll.AccessFSReadFile)
	landlockRead    = landlock.AccessFSSet(ll.AccessFSReadFile)
	landlockWrite   = landlock.AccessFSSet(ll.AccessFSReadFile | ll.AccessFSWriteFile)
	landlockCreate  = landlock.AccessFSSet(ll.AccessFSReadFile | ll.AccessFSWriteFile | ll.AccessFSTruncate |
		ll.AccessFSMakeReg | ll.AccessFSRemoveFile | ll.AccessFSReadDir)
)

// ruleset makes what restrictFiles takes, -1 if there is no Landlock. It is made
// before the user is changed: the new one may not be able to follow the paths.
func (f *Files) ruleset() (int, error) {
	if LandlockABI() == 0 {
		return -1, errNoLandlock
	}
	config := landlock.V6
	if f.ReadAll {
		config.HandledAccessFS &^= ll.AccessFSExecute | ll.AccessFSReadFile | ll.AccessFSReadDir
	}
	var rules []landlock.Rule
	for _, r := range []struct {
		rights landlock.AccessFSSet
		paths  []string
	}{{landlockExecute, f.Execute}, {landlockRead, f.Read}, {landlockWrite, f.Write}, {landlockCreate, f.Create}} {
		if rights := r.rights & config.HandledAccessFS; rights != 0 && len(r.paths) > 0 {
			rules = append(rules, landlock.PathAccess(rights, r.paths...).IgnoreIfMissing())
		}
	}
	for _, port := range f.Ports {
		rules = append(rules, landlock.ConnectTCP(port))
	}
	fd, _, err := config.BestEffort().NewRulesetFD(rules...)
	if err != nil {
		return -1, fmt.Errorf("describe the files that may be opened: %w", err)
	}
	return fd, nil
}

func restrictFiles(ruleset int) error {
	if err := ll.LandlockRestrictSelf(ruleset, 0); err != nil {
		return fmt.Errorf("restrict files: %w", err)
	}
	return nil
}

// PortsABI is the first version of Landlock that limits what TCP sockets connect to.
const PortsABI = 4

// LandlockABI is the version of Landlock that the kernel has, 0 for none.
func LandlockABI() int {
	version, err := ll.LandlockGetABIVersion()
	if err != nil {
		return 0
	}
	return version
}

// Self are the files that it takes to start this program again: itself, what it is
// linked with, and what a Go program and the C library read when they start.
func Self() (Files, error) {
	f := Files{
		Execute: []string{"/proc/self/exe"},
		Read: []string{"/etc/ld.so.cache", "/etc/localtime", "/usr/share/zoneinfo",
			"/sys/devices/system/cpu", "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size"},
		Write: []string{os.DevNull},
	}
	libraries, err := mapped()
	if err != nil {
		return f, err
	}
	for _, path := range libraries {
		if strings.HasPrefix(filepath.Base(path), "ld-") { // the kernel executes the loader of a program
			f.Execute = append(f.Execute, path)
		}
		// The directory, for a library may be replaced by its next release.
		if dir := filepath.Dir(path); !slices.Contains(f.Read, dir) {
			f.Read = append(f.Read, dir)
		}
	}
	return f, nil
}

// mapped are the shared objects in this process.
func mapped() (paths []string, err error) {
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return nil, fmt.Errorf("find the libraries that are in use: %w", err)
	}
	defer maps.Close()
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		// 7f8a00000000-7f8a00021000 r-xp 00001000 00:20 1234 /usr/lib/libc.so.6
		w := strings.Fields(lines.Text())
		if len(w) < 6 || !strings.Contains(w[1], "x") || !strings.Contains(filepath.Base(w[5]), ".so") {
			continue
		}
		if !slices.Contains(paths, w[5]) {
			paths = append(paths, w[5])
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("find the libraries that are in use: %w", err)
	}
	return paths, nil
}
