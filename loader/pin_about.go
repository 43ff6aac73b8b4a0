package loader

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/bpf"
)

// About is what a pinned meter says of itself. It is kept beside it, as JSON.
type About struct {
	Layout    string // bpf.LayoutHash of the build that made it
	Object    string // bpf.ObjectHash, or bpf.CopiedObjectHash, of the programs that run
	PID       int    // of the process that attached it, or adopted it last
	Attached  time.Time
	Namespace uint64 // the network namespace's inode
	Points    []PinnedPoint
	Hooks     []string
	Warnings  []string
	Config    Config
	Direction Direction
	Hook      Hook
	XDPMode   XDPMode
	Ring      int    // octets
	Filter    string // SHA-256 over the compiled filter, empty without one
	// What the interfaces had counted around the attaching.
	Before, Begun Counters
	Links         []PinnedLink
	Gone          int // how often an interface was gone and returned
}

// A PinnedPoint is an interface that a pinned meter observes.
type PinnedPoint struct {
	Name     string
	Ifindex  int
	LinkType bpf.LinkType
}

// A PinnedLink is what holds a program to an interface.
type PinnedLink struct {
	Pin     string // name in the directory
	Point   int
	Program string // name in the object
}

// programPin is the name in the directory of what the link runs.
func (l *PinnedLink) programPin() string {
	return pinProgramPrefix + strings.TrimPrefix(l.Pin, pinLinkPrefix)
}

// aboutOctets bounds the JSON: some 100 octets for each of maxPoints interfaces,
// and as much for its links.
const aboutOctets = 128 << 10

func newAboutMap() (*ebpf.Map, error) {
	m, err := ebpf.NewMap(&ebpf.MapSpec{Name: "about", Type: ebpf.Array, KeySize: 4, ValueSize: aboutOctets, MaxEntries: 1})
	if err != nil {
		return nil, explain("make the map that describes the meter", err)
	}
	return m, nil
}

// write replaces what the map holds, in one system call.
func (d *About) write(m *ebpf.Map) error {
	text, err := json.Marshal(d)
	if err == nil && len(text) > int(m.ValueSize()) {
		err = fmt.Errorf("%d octets where %d fit: observe fewer interfaces", len(text), m.ValueSize())
	}
	if err != nil {
		return fmt.Errorf("describe the meter: %w", err)
	}
	value := append(text, make([]byte, int(m.ValueSize())-len(text))...)
	if err := m.Update(uint32(0), value, ebpf.UpdateAny); err != nil {
		return fmt.Errorf("describe the meter: %w", err)
	}
	return nil
}

// readAbout fills in p.about.
func (p *pin) readAbout() error {
	m, err := p.loadMap(pinAbout, true)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("open the pinned meter %s: nothing in it says that it is one: choose another directory", p.path)
	}
	if err != nil {
		return err
	}
	defer m.Close()
	value, err := m.LookupBytes(uint32(0))
	if err == nil {
		err = json.Unmarshal(bytes.TrimRight(value, "\x00"), &p.about)
	}
	if err != nil {
		return fmt.Errorf("read what the pinned meter %s says of itself: %w", p.path, err)
	}
	return nil
}

// describe is what is to be known of a meter that was just attached.
func (a *Attachment) describe(o *Options) (*About, error) {
	layout, err := bpf.LayoutHash()
	if err != nil {
		return nil, err
	}
	d := &About{
		Layout: layout, Object: objectHash(a.copied), PID: os.Getpid(), Attached: time.Now().Round(0), Namespace: namespace(),
		Hooks: a.hooks, Warnings: a.warnings, Config: o.Config, Direction: o.Direction, Hook: o.Hook, XDPMode: o.XDPMode,
		Ring: o.RingOctets, Before: a.counters.before, Begun: a.counters.begun, Links: a.linkNames,
	}
	for _, p := range a.ports {
		d.Points = append(d.Points, PinnedPoint{p.name, p.ifindex, p.linkType})
	}
	d.Filter, err = filterHash(inOrder(d.Points), o)
	return d, err
}

// filterHash tells filters apart by what they compile to.
func filterHash(points []PinnedPoint, o *Options) (string, error) {
	if o.Filter == nil {
		return "", nil
	}
	h := sha256.New()
	for _, p := range points {
		raw, err := o.Filter(int(p.LinkType))
		if err != nil {
			return "", fmt.Errorf("attach: %w", err)
		}
		fmt.Fprintln(h, raw)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// namespace is the inode of the calling thread's network namespace, 0 if it
// cannot be told.
func namespace() uint64 {
	var s unix.Stat_t
	if unix.Stat("/proc/thread-self/ns/net", &s) != nil {
		return 0
	}
	return s.Ino
}

// A LayoutError says that a pinned meter's records are laid out otherwise than
// this build reads them.
type LayoutError struct {
	Path        string
	Pinned, Own string // layout hashes
}

func (e *LayoutError) Error() string {
	return fmt.Sprintf("the pinned meter %s is of another build: its layout is %s, this one's %s: let that build end it, or give up what it holds with weir detach --pin %s --discard",
		e.Path, e.Pinned, e.Own, e.Path)
}

// checkLayout returns a *LayoutError where nothing further may be read.
func (p *pin) checkLayout() error {
	own, err := bpf.LayoutHash()
	if err != nil {
		return err
	}
	if p.about.Layout != own {
		return &LayoutError{p.path, p.about.Layout, own}
	}
	return nil
}

// A DifferenceError says in what a pinned meter was started otherwise than is
// asked for now.
type DifferenceError struct {
	Path        string
	Differences []string
}

func (e *DifferenceError) Error() string {
	return fmt.Sprintf("the pinned meter %s was started otherwise: %s: ask for the same, or end it with weir detach --pin %s first",
		e.Path, strings.Join(e.Differences, ", "), e.Path)
}

// differences lists in what two descriptions differ that shapes flows.
func (d *About) differences(want *About) (found []string) {
	if had, wanted := inOrder(d.Points), inOrder(want.Points); !slices.EqualFunc(had, wanted, sameInterface) {
		found = append(found, fmt.Sprintf("interfaces %s, not %s", names(had), names(wanted)))
	}
	for _, c := range []struct {
		name      string
		had, want any
	}{
		{"network namespace", d.Namespace, want.Namespace},
		{"direction", d.Direction, want.Direction},
		{"hook", d.Hook, want.Hook},
		{"XDP mode", d.XDPMode, want.XDPMode},
		{"ring octets", d.Ring, want.Ring},
		{"idle timeout", d.Config.IdleTimeout, want.Config.IdleTimeout},
		{"active timeout", d.Config.ActiveTimeout, want.Config.ActiveTimeout},
		{"accounting", d.Config.Accounting, want.Config.Accounting},
		{"statistics", d.Config.Statistics, want.Config.Statistics},
		{"TCP statistics", d.Config.TCPStatistics, want.Config.TCPStatistics},
		{"IP statistics", d.Config.IPStatistics, want.Config.IPStatistics},
		{"end of TCP", d.Config.TCPEnd, want.Config.TCPEnd},
		{"splt", d.Config.SPLT, want.Config.SPLT},
		{"dissections", d.Config.Samples, want.Config.Samples},
		{"sample octets", d.Config.SampleOctets, want.Config.SampleOctets},
		{"tunnels", d.Config.DecodeTunnels, want.Config.DecodeTunnels},
		{"max flows", d.Config.MaxFlows, want.Config.MaxFlows},
	} {
		if had, wanted := fmt.Sprint(c.had), fmt.Sprint(c.want); had != wanted {
			found = append(found, fmt.Sprintf("%s %s, not %s", c.name, had, wanted))
		}
	}
	if d.Filter != want.Filter {
		found = append(found, "another filter")
	}
	return found
}

// inOrder sorts interfaces by their index, so that it does not matter in which
// order they are named.
func inOrder(points []PinnedPoint) []PinnedPoint {
	return slices.SortedFunc(slices.Values(points), func(a, b PinnedPoint) int { return a.Ifindex - b.Ifindex })
}

// sameInterface goes by the index: an interface may be renamed.
func sameInterface(a, b PinnedPoint) bool { return a.Ifindex == b.Ifindex }

func names(points []PinnedPoint) string {
	var list []string
	for _, p := range points {
		list = append(list, fmt.Sprintf("%s (%d)", p.Name, p.Ifindex))
	}
	return strings.Join(list, " ")
}
