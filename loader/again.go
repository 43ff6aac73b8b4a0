package loader

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/testrun"
)

// An interface that is gone leaves links that hold nothing. When it returns, its
// programs, which run over the same maps, get new ones.

// A KindError says that an interface has returned as one whose frames begin with
// another header than those before.
type KindError struct {
	Interface string
	Was, Is   bpf.LinkType
}

func (e *KindError) Error() string {
	return fmt.Sprintf("attach to %s again: its frames are of link type %d now, and were of %d: start weir anew to meter it", e.Interface, e.Is, e.Was)
}

// linksOf are the indices of an interface's links.
func (a *Attachment) linksOf(point int) (indices []int) {
	for i := range a.linkNames {
		if a.linkNames[i].Point == point {
			indices = append(indices, i)
		}
	}
	return indices
}

// hooksOf is where an interface is observed.
func (a *Attachment) hooksOf(point int) (hooks []string) {
	for _, i := range a.linksOf(point) {
		if i < len(a.hooks) {
			_, how, _ := strings.Cut(a.hooks[i], ": ")
			hooks = append(hooks, how)
		}
	}
	return hooks
}

// indexOf is the index of the interface that a point's programs are at, in
// whichever network namespace, 0 if one of them is at none.
func (a *Attachment) indexOf(point int) (index int, err error) {
	for _, i := range a.linksOf(point) {
		if index, err = observed(a.links[i]); index == 0 || err != nil {
			return 0, err
		}
	}
	return index, nil
}

// isAt tells whether it is this interface that a point's programs are at, and not
// another one that has the same index in another network namespace.
func (a *Attachment) isAt(point int, dev netlink.Link) bool {
	for _, i := range a.linksOf(point) {
		info, err := a.links[i].Info()
		if err != nil {
			return false
		}
		if info.XDP() != nil {
			if xdp := dev.Attrs().Xdp; xdp == nil || ebpf.ProgramID(xdp.ProgId) != info.Program {
				return false
			}
			continue
		}
		at := ebpf.AttachType(info.TCX().AttachType)
		there, err := link.QueryPrograms(link.QueryOptions{Target: dev.Attrs().Index, Attach: at})
		if err == nil && !slices.ContainsFunc(there.Programs, func(p link.AttachedProgram) bool { return p.ID == info.Program }) {
			return false
		}
	}
	return true
}

// letGo takes what is left of an interface's programs out of its path: where one
// was taken out by hand, the others come back with it.
func (a *Attachment) letGo(point int) {
	for _, i := range a.linksOf(point) {
		_ = a.links[i].Detach() // most often there is nothing any more
	}
	if a.counters.err == nil {
		a.counters.err = fmt.Errorf("interface %s was gone in between", a.ports[point].now)
	}
}

// attachAgain puts a point's programs into the path of an interface that has
// returned, by links that take the place of the old ones.
func (a *Attachment) attachAgain(point int, dev netlink.Link) (err error) {
	old := &a.ports[point]
	attrs := dev.Attrs()
	linkType, known := linkTypes[attrs.EncapType]
	switch {
	case !known:
		return &LinkTypeError{attrs.Name, attrs.EncapType}
	case linkType != old.linkType:
		return &KindError{attrs.Name, old.linkType, linkType}
	}
	p := *old
	p.ifindex, p.now, p.state = attrs.Index, attrs.Name, InterfaceObserved
	fresh := &Attachment{netlink: a.netlink, instances: a.instances}
	defer func() {
		if err != nil { // also of those that are pinned by now, which would be in the way
			for _, l := range fresh.links {
				_ = l.Detach()
				_ = l.Close()
			}
		}
	}()
	if err := fresh.attachPort(point, p, &a.options); err != nil {
		return err
	}
	if a.pin != nil {
		if err := a.pinAgain(point, &p, fresh); err != nil {
			return err
		}
	}
	*old = p
	a.replaceLinks(point, fresh)
	return nil
}

func (a *Attachment) replaceLinks(point int, fresh *Attachment) {
	for n, i := range a.linksOf(point) {
		_ = a.links[i].Close()
		a.links[i], a.hooks[i] = fresh.links[n], fresh.hooks[n]
	}
	a.warnings = append(a.warnings, fresh.warnings...)
}

// pinAgain pins links in the place of those that hold nothing, and then says so in
// the meter's description. A process that dies before that leaves a link that
// tells by itself where it is.
func (a *Attachment) pinAgain(point int, p *port, fresh *Attachment) error {
	d := a.pin.about
	d.Points, d.Hooks = slices.Clone(d.Points), slices.Clone(d.Hooks)
	for n, i := range a.linksOf(point) {
		if err := a.replacePin(fresh.links[n], a.linkNames[i].Pin); err != nil {
			return err
		}
		d.Hooks[i] = fresh.hooks[n] // the mode of XDP may be another
	}
	d.Points[point].Ifindex = p.ifindex
	d.Points[point].Now = p.now
	d.Warnings = slices.Concat(d.Warnings, fresh.warnings)
	d.Gone++
	if err := a.writeAbout(&d); err != nil {
		return err
	}
	a.pin.about = d
	return nil
}

// noteName has the meter's description say what an interface is called now, by which
// it is found should it be deleted and return while nobody watches.
func (a *Attachment) noteName(point int) error {
	if a.pin == nil {
		return nil
	}
	a.pin.about.Points[point].Now = a.ports[point].now
	return a.writeAbout(&a.pin.about)
}

func (a *Attachment) writeAbout(d *About) error {
	if a.pin.description == nil {
		m, err := a.pin.loadMap(pinAbout, false)
		if err != nil {
			return err
		}
		a.pin.description = m
	}
	return writeAbout(a.pin.description, d)
}

// replacePin pins an object in the place of another. Its errors do not name the random
// name beside it: what is refused again and again is told once.
func (a *Attachment) replacePin(object interface{ Pin(string) error }, name string) (err error) {
	aside := beside(name, pinBuilding)
	defer func() {
		if err != nil {
			_ = os.Remove(filepath.Join(a.pin.path, aside)) // what is not there need not be
		}
	}()
	if err := pinAt(object, a.pin.path, aside, pinObjectMode); err != nil {
		return err
	}
	if err := unix.Chown(filepath.Join(a.pin.path, aside), -1, a.pin.group); err != nil {
		return fmt.Errorf("give %s to the group of the pinned meter: %w", name, err)
	}
	if err := unix.Rename(filepath.Join(a.pin.path, aside), filepath.Join(a.pin.path, name)); err != nil {
		return fmt.Errorf("pin %s in the place of another: %w", name, err)
	}
	return nil
}

// removeAsides removes what a process that was killed had pinned and not put in
// its place yet.
func removeAsides(dir string) error {
	all, err := beginning(dir, "")
	if err != nil {
		return fmt.Errorf("look for what was left in %s: %w", dir, err)
	}
	for _, path := range all {
		if !strings.Contains(filepath.Base(path), pinBuilding) {
			continue
		}
		if strings.HasPrefix(filepath.Base(path), pinLinkPrefix) {
			if err := detachPinned(path); err != nil {
				return err
			}
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove what a process that was killed left: %w", err)
		}
	}
	return nil
}

// resume attaches the interfaces again that were gone while nobody watched the
// pinned meter, and have returned. Flows of before are closed first.
func (a *Attachment) resume(gone []int) error {
	for _, point := range gone {
		p := &a.ports[point]
		dev, err := p.netlink.LinkByIndex(p.ifindex)
		if err != nil {
			return fmt.Errorf("look up interface %s: %w", p.name, err)
		}
		a.letGo(point)
		if err := a.endPoint(point); err != nil {
			return err
		}
		if err := a.attachAgain(point, dev); err != nil {
			return err
		}
	}
	return nil
}

// endPoint closes what is open of an observation point. What finds no room in the
// ring buffer goes on under the same key. Nobody else sweeps: the meter is adopted, and
// has no reader yet.
func (a *Attachment) endPoint(point int) error {
	first := a.instances[0]
	sweep := testrun.NewSweep(first.maps[bpf.WeirMapFlows], first.programs[bpf.WeirProgWeirSweep])
	if _, err := sweep.Run(bpf.Sweep{Mode: uint32(bpf.WeirSweepModeSWEEP_POINT), Point: uint32(point)}); err != nil {
		return fmt.Errorf("close the flows of %s, which was gone: %w", a.ports[point].name, err)
	}
	return nil
}
