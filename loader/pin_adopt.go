package loader

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/pinned"
)

// A GoneError says that a pinned meter does not observe an interface any more: the
// interface was deleted, or a detachment did not come to its end.
type GoneError struct {
	Path      string
	Interface string
}

func (e *GoneError) Error() string {
	return fmt.Sprintf("the pinned meter %s observes %s no more: the interface was deleted, or ending the meter was interrupted: hand out what it holds with weir detach --pin %s",
		e.Path, e.Interface, e.Path)
}

// attachPinned attaches a meter that outlives the process, or adopts it where it
// runs already.
func (a *Attachment) attachPinned(o *Options) error {
	path, err := checkPinPath(o.Pin)
	if err != nil {
		return err
	}
	if err := removeStale(path); err != nil {
		return err
	}
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
		if err := a.startPinned(path, o); err != nil {
			a.release()
			return err
		}
		return nil
	}
	if err := a.adopt(path, o); err != nil {
		return err
	}
	a.adopted = true
	return nil
}

// adopt takes over the meter at path, which must have been started with the same
// options.
func (a *Attachment) adopt(path string, o *Options) error {
	if err := a.open(path); err != nil {
		return err
	}
	want, err := a.describe(o)
	if err != nil {
		return err
	}
	had := &a.pin.about
	if found := differences(had, want); len(found) > 0 {
		return &DifferenceError{path, found}
	}
	a.arrange()
	if err := a.openAll(true); err != nil {
		return err
	}
	if err := a.checkLinks(); err != nil {
		return err
	}
	if had.Object != want.Object {
		if err := a.upgrade(o); err != nil {
			return fmt.Errorf("put this build's programs into the pinned meter %s: %w", path, err)
		}
	}
	had.Object, had.PID = want.Object, want.PID
	m, err := a.pin.loadMap(pinAbout, false)
	if err != nil {
		return err
	}
	defer m.Close()
	return writeAbout(m, had)
}

// open locks the meter at path and reads what it says of itself.
func (a *Attachment) open(path string) error {
	lock, err := pinned.Lock(path)
	if err != nil {
		return err
	}
	a.pin = &pin{path: path, lock: lock}
	if err := a.pin.readAbout(); err != nil {
		return err
	}
	return a.pin.checkLayout()
}

// arrange takes what was decided when the meter was started.
func (a *Attachment) arrange() {
	d := &a.pin.about
	a.ports = nil
	for _, p := range d.Points {
		a.ports = append(a.ports, port{p.Name, p.Ifindex, p.LinkType, a.netlink})
	}
	a.direction, a.hooks, a.warnings, a.linkNames = Direction(d.Direction), d.Hooks, d.Warnings, d.Links
	a.counters.before, a.counters.begun = d.Before, d.Begun
	if d.Namespace != namespace() {
		a.counters.err = errors.New("the interfaces are in another network namespace")
	}
}

// openAll opens what is pinned: what it takes to read the meter, and with owner
// what it takes to change it.
func (a *Attachment) openAll(owner bool) error {
	in := &instance{map[string]*ebpf.Program{}, map[string]*ebpf.Map{}}
	a.instances = []*instance{in}
	for name, mode := range pinnedMaps {
		shared := mode == pinSharedMode
		if !owner && !shared && name != bpf.WeirMapFlows && name != bpf.WeirMapLedgers {
			continue
		}
		m, err := a.pin.loadMap(name, !owner && !shared)
		if err != nil {
			return err
		}
		in.maps[name] = m
	}
	for _, name := range pinnedPrograms {
		program, err := a.pin.loadProgram(name)
		if err != nil {
			return err
		}
		in.programs[name] = program
	}
	if !owner {
		return nil
	}
	for _, name := range a.linkNames {
		l, err := link.LoadPinnedLink(filepath.Join(a.pin.path, name.Pin), nil)
		if err != nil {
			return a.pin.explain(name.Pin, err)
		}
		a.links = append(a.links, l)
	}
	return nil
}

// checkLinks returns a *GoneError if a program is in no interface's path any more.
func (a *Attachment) checkLinks() error {
	for i, l := range a.links {
		index, err := observed(l)
		if err != nil {
			return a.pin.explain(a.linkNames[i].Pin, err)
		}
		if p := &a.ports[a.linkNames[i].Point]; index != p.ifindex {
			return &GoneError{a.pin.path, p.name}
		}
	}
	return nil
}

// observed is the index of the interface that a link's program is attached to, 0
// if it is not.
func observed(l link.Link) (int, error) {
	info, err := l.Info()
	if err != nil {
		return 0, err
	}
	if xdp := info.XDP(); xdp != nil {
		return int(xdp.Ifindex), nil
	}
	if tcx := info.TCX(); tcx != nil {
		return int(tcx.Ifindex), nil
	}
	return 0, nil
}

// upgrade puts the programs of this build in the place of those that run, over the
// same maps. Should it be interrupted, the description still names the old object,
// and the next adoption does it again.
func (a *Attachment) upgrade(o *Options) error {
	old := a.instances[0]
	a.instances = nil
	defer old.close()
	if err := a.load(o, old.maps); err != nil {
		return err
	}
	for _, name := range pinnedPrograms {
		if err := a.replaceProgram(name); err != nil {
			return err
		}
	}
	for i, l := range a.links {
		n := a.linkNames[i]
		if err := l.Update(a.instances[n.Point].programs[n.Program]); err != nil {
			return explain("update the program of "+a.ports[n.Point].name, err)
		}
	}
	return nil
}

// replaceProgram pins a program in the place of another.
func (a *Attachment) replaceProgram(name string) error {
	aside := beside(name, pinBuilding)
	if err := pinAt(a.instances[0].programs[name], a.pin.path, aside, pinObjectMode); err != nil {
		return err
	}
	return os.Rename(filepath.Join(a.pin.path, aside), filepath.Join(a.pin.path, name))
}

// An Access is what a pinned meter is opened for.
type Access int

// AccessRead reads flows, and needs no privilege but the directory's group.
// AccessOwner can also detach and remove the meter.
const (
	AccessRead Access = iota
	AccessOwner
)

// Open opens the meter that is pinned at path, which nobody else may have open. Its
// Config tells how it was started.
func Open(path string, access Access) (*Attachment, error) {
	path, err := checkPinPath(path)
	if err != nil {
		return nil, err
	}
	if access == AccessOwner {
		if err := removeStale(path); err != nil {
			return nil, err
		}
	}
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open the pinned meter %s: open netlink: %w", path, err)
	}
	a := &Attachment{netlink: h}
	if err = a.open(path); err == nil {
		a.arrange()
		a.adopted = true
		err = a.openAll(access == AccessOwner)
	}
	if err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

// Discard removes the meter that is pinned at path, of whatever layout, with all
// that it holds.
func Discard(path string) error {
	path, err := checkPinPath(path)
	if err != nil {
		return err
	}
	if err := removeStale(path); err != nil {
		return err
	}
	lock, err := pinned.Lock(path)
	if err != nil {
		return err
	}
	defer lock.Close()
	p := &pin{path: path, lock: lock}
	if err := p.readAbout(); err != nil {
		return err
	}
	return p.remove()
}

// Adopted tells whether the meter ran before.
func (a *Attachment) Adopted() bool { return a.adopted }

// Pinned is what a pinned meter says of itself, nil of one that ends with its
// process.
func (a *Attachment) Pinned() *About {
	if a.pin == nil {
		return nil
	}
	return &a.pin.about
}

// release gives up the place of a meter that did not come to be pinned.
func (a *Attachment) release() {
	if a.pin != nil && a.pin.lock != nil {
		_ = a.pin.lock.Close()
	}
	a.pin = nil
}
