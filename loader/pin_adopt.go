package loader

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/pinned"
)

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
	if err := errors.Join(removeAsides(path), a.openLinks()); err != nil {
		return err
	}
	gone, err := a.locate()
	if err != nil {
		return err
	}
	had := &a.pin.about
	if found := differences(had, want); len(found) > 0 {
		return &DifferenceError{path, found, a.unseen(gone)}
	}
	a.arrange()
	if err := a.openAll(true); err != nil {
		return err
	}
	if err := a.adoptPrograms(o); err != nil {
		return err
	}
	a.openIterator()
	if err := a.resume(gone); err != nil {
		return err
	}
	if err := a.pin.giveTo(path, o.PinGroup); err != nil {
		return err
	}
	had.PID = want.PID
	return a.writeAbout(had)
}

// adoptPrograms opens what the links run, or puts this build's in their place.
func (a *Attachment) adoptPrograms(o *Options) error {
	had := &a.pin.about
	if mayStay(had.Object) {
		a.copied = had.Object == bpf.CopiedObjectHash()
		// Builds there were that did not pin them: then they are pinned now.
		if err := a.openPrograms(); !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if err := a.upgrade(o); err != nil {
		return fmt.Errorf("put this build's programs into the pinned meter %s: %w", a.pin.path, err)
	}
	had.Object, had.Warnings = objectHash(a.copied), a.warnings
	return nil
}

// open locks the meter at path and reads what it says of itself.
func (a *Attachment) open(path string) error {
	lock, err := pinned.Lock(path)
	if err != nil {
		return err
	}
	a.pin = &pin{path: path, lock: lock}
	if a.pin.group, err = groupOf(path); err != nil {
		return err
	}
	if err := a.pin.readAbout(); err != nil {
		return err
	}
	return a.pin.checkLayout()
}

// arrange takes what was decided when the meter was started.
func (a *Attachment) arrange() {
	d := &a.pin.about
	a.ports = nil
	for i := range d.Points {
		a.ports = append(a.ports, pinnedPort(&d.Points[i], a.netlink))
	}
	a.direction, a.hooks, a.warnings, a.linkNames = Direction(d.Direction), d.Hooks, d.Warnings, d.Links
	a.counters.before, a.counters.begun = d.Before, d.Begun
	if d.Namespace != namespace() {
		a.counters.err = errors.New("the interfaces are in another network namespace")
	}
	if d.Gone > 0 {
		a.counters.err = errors.New("an interface was gone in between")
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
	switch program, err := a.pin.loadProgram(bpf.WeirProgWeirSweepWalk); {
	case err == nil:
		in.programs[bpf.WeirProgWeirSweepWalk] = program
	case !errors.Is(err, os.ErrNotExist):
		return err
	}
	return nil
}

// openLinks opens what holds the programs to the interfaces.
func (a *Attachment) openLinks() error {
	a.linkNames = a.pin.about.Links
	for _, name := range a.linkNames {
		l, err := link.LoadPinnedLink(filepath.Join(a.pin.path, name.Pin), nil)
		if err != nil {
			return a.pin.explain(name.Pin, err)
		}
		a.links = append(a.links, l)
	}
	return nil
}

// openPrograms opens what the links run. The first point's programs are beside
// those that user space runs.
func (a *Attachment) openPrograms() error {
	for len(a.instances) < len(a.ports) {
		a.instances = append(a.instances, &instance{programs: map[string]*ebpf.Program{}})
	}
	for _, name := range a.linkNames {
		program, err := a.pin.loadProgram(programPin(name))
		if err != nil {
			return err
		}
		a.instances[name.Point].programs[name.Program] = program
	}
	return nil
}

// locate enters into the description where the interfaces are now: one that was
// deleted and has returned has another index. It returns the points whose links
// hold nothing any more.
func (a *Attachment) locate() (gone []int, err error) {
	points := a.pin.about.Points
	for i, l := range a.links {
		point := a.linkNames[i].Point
		index, err := observed(l)
		switch {
		case err != nil:
			return nil, a.pin.explain(a.linkNames[i].Pin, err)
		case index != 0:
			// A process that put a link to the returned interface into its place may
			// have been killed before it said so.
			if points[point].Ifindex != index {
				a.pin.about.Gone++
			}
			points[point].Ifindex = index
		case !slices.Contains(gone, point):
			gone = append(gone, point)
		}
	}
	for _, point := range gone {
		if i := a.returned(&points[point]); i >= 0 {
			points[point].Ifindex = a.ports[i].ifindex
		}
	}
	return gone, nil
}

// returned is which of the interfaces that were asked for is that of a point which
// holds nothing: one of a name that it has had, -1 if there is none.
func (a *Attachment) returned(point *PinnedPoint) int {
	return slices.IndexFunc(a.ports, func(p port) bool { return p.name == point.Now || p.name == point.Name })
}

// unseen are the names of points that hold nothing, for which no interface was asked.
func (a *Attachment) unseen(gone []int) (names []string) {
	for _, i := range gone {
		if point := &a.pin.about.Points[i]; a.returned(point) < 0 {
			names = append(names, cmp.Or(point.Now, point.Name))
		}
	}
	return names
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
	old := a.instances
	a.instances = nil
	defer closeAll(old)
	if err := a.load(o, old[0].maps); err != nil {
		return err
	}
	for _, name := range pinnedPrograms {
		if err := a.replacePin(a.instances[0].programs[name], name); err != nil {
			return err
		}
	}
	if err := a.replaceIterator(); err != nil {
		return err
	}
	for i, l := range a.links {
		n := a.linkNames[i]
		program := a.instances[n.Point].programs[n.Program]
		if err := a.replacePin(program, programPin(n)); err != nil {
			return err
		}
		if err := l.Update(program); err != nil && !errors.Is(err, unix.ENOLINK) {
			return explain("update the program of "+a.ports[n.Point].name, err)
		}
	}
	return nil
}

// replaceIterator pins this build's, or takes away the one of before where there is none
// of this build: it would go on sweeping.
func (a *Attachment) replaceIterator() error {
	const name = bpf.WeirProgWeirSweepWalk
	if program := a.instances[0].programs[name]; program != nil {
		return a.replacePin(program, name)
	}
	if err := os.Remove(filepath.Join(a.pin.path, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the sweep's iterator of another build: %w", err)
	}
	return nil
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
	if err == nil {
		a.openIterator()
	}
	if err == nil && access == AccessOwner {
		err = a.openLinks()
	}
	if err == nil && access == AccessRead { // it is told, and not watched
		a.within = a.pin.about.Namespace == namespace()
		for i, seen := range a.pin.interfaces() {
			a.ports[i].state, a.ports[i].now = seen.State, seen.Now
		}
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

// PinPath is the directory of a pinned meter, empty of one that ends with its process.
func (a *Attachment) PinPath() string {
	if a.pin == nil {
		return ""
	}
	return a.pin.path
}

// release gives up the place of a meter that did not come to be pinned.
func (a *Attachment) release() {
	if a.pin != nil && a.pin.lock != nil {
		_ = errors.Join(a.pin.lock.Close(), a.pin.description.Close())
	}
	a.pin = nil
}
