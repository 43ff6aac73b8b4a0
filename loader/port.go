package loader

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/bpf"
)

// A port is an interface to observe.
type port struct {
	name     string // by which it was attached
	ifindex  int
	linkType bpf.LinkType
	netlink  *netlink.Handle // in the network namespace of the interface

	now     string // what it is called now
	state   InterfaceState
	refused string // why it was not attached again, as it was told
}

// maxPoints is the number of entries in the ledgers map.
const maxPoints = 256

func findPorts(h *netlink.Handle, names []string) ([]port, error) {
	if len(names) == 0 || len(names) > maxPoints {
		return nil, fmt.Errorf("attach to %d interfaces: want 1 to %d", len(names), maxPoints)
	}
	ports := make([]port, len(names))
	seen := make(map[int]string)
	for i, name := range names {
		p, err := findPort(h, name)
		if err != nil {
			return nil, err
		}
		if other, twice := seen[p.ifindex]; twice {
			return nil, fmt.Errorf("attach to %s: it is named twice, as %s too: name it once", name, other)
		}
		seen[p.ifindex] = name
		ports[i] = p
	}
	return ports, nil
}

func findPort(h *netlink.Handle, name string) (port, error) {
	dev, err := h.LinkByName(name)
	var missing netlink.LinkNotFoundError
	switch {
	case errors.As(err, &missing):
		return port{}, fmt.Errorf("attach to %q: %w: there are %s", name, ErrNoInterface, interfaceNames(h))
	case err != nil:
		return port{}, fmt.Errorf("look up interface %q: %w", name, err)
	}
	a := dev.Attrs()
	lt, ok := linkTypes[a.EncapType]
	if !ok {
		return port{}, &LinkTypeError{name, a.EncapType}
	}
	return newPort(a.Name, a.Index, lt, h), nil
}

func newPort(name string, ifindex int, linkType bpf.LinkType, h *netlink.Handle) port {
	return port{name: name, ifindex: ifindex, linkType: linkType, netlink: h, now: name, state: InterfaceObserved}
}

// pinnedPort is the port of a pinned meter's point, under the name it was seen with last.
func pinnedPort(point *PinnedPoint, h *netlink.Handle) port {
	p := newPort(point.Name, point.Ifindex, point.LinkType, h)
	p.now = cmp.Or(point.Now, point.Name)
	return p
}

// linkTypes tells from the hardware type (ARPHRD_*, in netlink's spelling) what
// a frame begins with. On tunnels, ppp and wireguard that is the IP header.
var linkTypes = map[string]bpf.LinkType{
	"ether":               bpf.WeirLinkTypeLINK_ETHERNET,
	"loopback":            bpf.WeirLinkTypeLINK_ETHERNET,
	"none":                bpf.WeirLinkTypeLINK_RAW,
	"rawip":               bpf.WeirLinkTypeLINK_RAW,
	"ppp":                 bpf.WeirLinkTypeLINK_RAW,
	"ipip":                bpf.WeirLinkTypeLINK_RAW,
	"tunnel6":             bpf.WeirLinkTypeLINK_RAW,
	"sit":                 bpf.WeirLinkTypeLINK_RAW,
	"ieee802.11/radiotap": bpf.WeirLinkTypeLINK_RADIOTAP,
}

func interfaceNames(h *netlink.Handle) string {
	devs, err := h.LinkList()
	if err != nil {
		return "none that could be listed"
	}
	var names []string
	for _, d := range devs {
		names = append(names, d.Attrs().Name)
	}
	return strings.Join(names, ", ")
}

// otherProgram returns a *BusyError if the interface has an XDP program.
func (p *port) otherProgram() error {
	dev, err := p.netlink.LinkByIndex(p.ifindex)
	if err != nil {
		return fmt.Errorf("look up interface %s: %w", p.name, err)
	}
	xdp := dev.Attrs().Xdp
	if xdp == nil || !xdp.Attached {
		return nil
	}
	return &BusyError{Interface: p.name, ProgramID: xdp.ProgId, Program: programName(xdp.ProgId)}
}

// programInfoName is where struct bpf_prog_info has the name.
const programInfoName = 64

// programName asks the kernel alone: the library reads /proc besides, and who has
// handed its meter over opens no file.
func programName(id uint32) string {
	program, err := ebpf.NewProgramFromID(ebpf.ProgramID(id))
	if err != nil {
		return ""
	}
	defer program.Close()
	var info [programInfoName + unix.BPF_OBJ_NAME_LEN]byte
	attributes := struct {
		fd, length uint32
		info       unsafe.Pointer
	}{uint32(program.FD()), uint32(len(info)), unsafe.Pointer(&info)}
	if _, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_OBJ_GET_INFO_BY_FD, uintptr(unsafe.Pointer(&attributes)), unsafe.Sizeof(attributes)); errno != 0 {
		return ""
	}
	return unix.ByteSliceToString(info[programInfoName:])
}
