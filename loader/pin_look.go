package loader

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/pinned"
)

// A Look is a pinned meter as somebody sees it who does not read it.
type Look struct {
	About
	Reader     int // pid of the process that reads it; 0: nobody, or it cannot be told
	Read       bool
	Interfaces []Interface // as far as it may be told
	Handles    bpf.Handles
}

// LookAt looks at the meter that is pinned at path, whoever reads it.
func LookAt(path string) (*Look, error) {
	path, err := checkPinPath(path)
	if err != nil {
		return nil, err
	}
	look := &Look{}
	lock, err := pinned.Lock(path)
	if busy := new(InUseError); errors.As(err, &busy) {
		look.Read, look.Reader = true, busy.PID
	} else if err != nil {
		return nil, err
	} else if err := lock.Close(); err != nil {
		return nil, fmt.Errorf("unlock the pinned meter %s: %w", path, err)
	}
	p := &pin{path: path}
	if err := p.readAbout(); err != nil {
		return nil, err
	}
	look.About = p.about
	if err := p.checkLayout(); err != nil {
		return nil, err
	}
	look.Interfaces = p.interfaces()
	look.Handles.Object = p.about.Object
	for i, point := range p.about.Points {
		look.Handles.Points = append(look.Handles.Points, bpf.Point{Index: uint8(i), Name: point.Name, Ifindex: point.Ifindex})
	}
	if look.Handles.Ledgers, err = p.loadMap(bpf.WeirMapLedgers, true); err != nil {
		return nil, err
	}
	if look.Handles.Progress, err = p.loadMap(bpf.WeirMapProgress, true); err != nil {
		return nil, errors.Join(err, look.Close())
	}
	return look, nil
}

// interfaces tells how those under observation are. A link opens only to those who
// may change it, and tells for certain; a name is known only in the meter's network
// namespace.
func (p *pin) interfaces() []Interface {
	a := &Attachment{hooks: p.about.Hooks, linkNames: p.about.Links}
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err == nil {
		defer h.Close()
	}
	within := err == nil && p.about.Namespace == namespace()
	for i := range p.about.Points {
		port := pinnedPort(&p.about.Points[i], h)
		if within {
			port.find()
		}
		a.ports = append(a.ports, port)
	}
	for _, n := range p.about.Links {
		l, err := link.LoadPinnedLink(filepath.Join(p.path, n.Pin), nil)
		if err != nil {
			continue
		}
		port := &a.ports[n.Point]
		switch index, err := observed(l); {
		case err != nil:
		case index == 0: // whatever has its index now is another
			*port = pinnedPort(&p.about.Points[n.Point], h)
			port.state = InterfaceGone
		case port.state == InterfaceUnseen:
			port.state = InterfaceAway
		}
		_ = l.Close()
	}
	return a.Interfaces()
}

// find looks an interface up in this network namespace, by its index.
func (p *port) find() {
	dev, err := p.netlink.LinkByIndex(p.ifindex)
	switch {
	case err == nil:
		p.now = dev.Attrs().Name
	case errors.As(err, new(netlink.LinkNotFoundError)):
		p.state = InterfaceUnseen
	}
}

// Look looks after the interfaces of a meter that was opened to be read, and returns
// those that are out of sight since the last look: nobody attaches them again before the
// meter is adopted. It takes no privilege, and opens nothing. In another network
// namespace than the meter's nothing can be seen.
func (a *Attachment) Look() (lost []Interface) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.within {
		return nil
	}
	for i := range a.ports {
		p := &a.ports[i]
		before := p.state
		if before == InterfaceGone {
			continue // for certain
		}
		p.state = InterfaceObserved // it may be back from another network namespace
		if p.find(); before == InterfaceObserved && p.state == InterfaceUnseen {
			lost = append(lost, a.describePort(i))
		}
	}
	return lost
}

// Close closes the maps.
func (l *Look) Close() error {
	var errs []error
	if l.Handles.Ledgers != nil {
		errs = append(errs, l.Handles.Ledgers.Close())
	}
	if l.Handles.Progress != nil {
		errs = append(errs, l.Handles.Progress.Close())
	}
	return errors.Join(errs...)
}
