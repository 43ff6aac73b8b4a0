package loader

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/pinned"
)

// What a pinned meter says of itself, which package pinned reads.
type (
	About       = pinned.About
	PinnedPoint = pinned.Point
	PinnedLink  = pinned.Link
	LayoutError = pinned.LayoutError
	InUseError  = pinned.InUseError
)

// programPin is the name in the directory of what the link runs.
func programPin(l PinnedLink) string {
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

// writeAbout replaces what the map holds, in one system call.
func writeAbout(m *ebpf.Map, d *About) error {
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

// describe is what is to be known of a meter that was just attached.
func (a *Attachment) describe(o *Options) (*About, error) {
	layout, err := bpf.LayoutHash()
	if err != nil {
		return nil, err
	}
	d := &About{
		Layout: layout, Object: objectHash(a.copied), PID: os.Getpid(), Attached: time.Now().Round(0), Namespace: namespace(),
		Hooks: a.hooks, Warnings: a.warnings, Config: o.Config, Direction: string(o.Direction), Hook: string(o.Hook), XDPMode: string(o.XDPMode),
		Ring: o.RingOctets, Before: a.counters.before, Begun: a.counters.begun, Links: a.linkNames,
	}
	for _, p := range a.ports {
		d.Points = append(d.Points, PinnedPoint{Name: p.name, Ifindex: p.ifindex, LinkType: p.linkType})
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
		raw, err := o.filterFor(p.LinkType)
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

// A DifferenceError says in what a pinned meter was started otherwise than is
// asked for now.
type DifferenceError struct {
	Path        string
	Differences []string
	// Gone are interfaces that were deleted, by the names that were seen last. One may
	// have returned under another, which the kernel does not tell.
	Gone []string
}

func (e *DifferenceError) Error() string {
	renamed := ""
	for _, name := range e.Gone {
		renamed += fmt.Sprintf("; %s was deleted: if it is back under another name, call it %s again (ip link set dev OTHER name %s)", name, name, name)
	}
	return fmt.Sprintf("the pinned meter %s was started otherwise: %s%s: ask for the same, or end it with weir detach --pin %s first",
		e.Path, strings.Join(e.Differences, ", "), renamed, e.Path)
}

// differences lists in what two descriptions differ that shapes flows.
func differences(d, want *About) (found []string) {
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
