package loader

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/cilium/ebpf/link"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/pinned"
)

// A Look is a pinned meter as somebody sees it who does not read it.
type Look struct {
	About
	Reader  int // pid of the process that reads it; 0: nobody, or it cannot be told
	Read    bool
	Gone    []string // interfaces that are observed no more, as far as it may be told
	Handles bpf.Handles
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
	look.Gone = p.gone()
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

// gone lists the interfaces whose links hold nothing. A link opens only to those
// who may change it.
func (p *pin) gone() (names []string) {
	for _, n := range p.about.Links {
		l, err := link.LoadPinnedLink(filepath.Join(p.path, n.Pin), nil)
		if err != nil {
			continue
		}
		index, err := observed(l)
		if point := p.about.Points[n.Point]; err == nil && index != point.Ifindex {
			names = append(names, point.Name)
		}
		_ = l.Close()
	}
	return names
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
