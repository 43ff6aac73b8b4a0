package loader

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/bpf"
)

func probeInterfaces() []Check {
	devs, err := netlink.LinkList()
	if err != nil {
		return []Check{refused("interfaces", err, "")}
	}
	// without ethtool, as in some containers, less is known
	tool, _ := ethtool.NewEthtool()
	if tool != nil {
		defer tool.Close()
	}
	var checks []Check
	for _, d := range devs {
		checks = append(checks, probeInterface(d.Attrs(), tool))
	}
	return checks
}

func probeInterface(a *netlink.LinkAttrs, tool *ethtool.Ethtool) Check {
	c := Check{Name: "interface " + a.Name, OK: true}
	linkType, known := linkTypes[a.EncapType]
	if !known {
		c.OK = false
		c.Detail = fmt.Sprintf("frames of hardware type %q are not understood", a.EncapType)
		return c
	}
	detail := []string{"state " + a.OperState.String(), fmt.Sprintf("MTU %d", a.MTU)}
	var advice []string
	if tool != nil {
		if driver, err := tool.DriverName(a.Name); err == nil {
			detail = append(detail, "driver "+driver)
		}
		advice = append(advice, offloadAdvice(a.Name, tool)...)
	}
	if linkType == bpf.WeirLinkTypeLINK_ETHERNET {
		detail = append(detail, nativeXDP(a.Index))
	} else {
		detail = append(detail, "bare IP packets, metered by TCX")
	}
	if a.Xdp != nil && a.Xdp.Attached {
		c.OK = false
		detail = append(detail, fmt.Sprintf("XDP program %d (%s) attached", a.Xdp.ProgId, programName(a.Xdp.ProgId)))
		advice = append(advice, "meter beside the other program with --hook tcx")
	}
	c.Detail, c.Advice = strings.Join(detail, ", "), strings.Join(advice, "; ")
	return c
}

// offloads that hide something from the programs, by ethtool's names.
var offloads = []struct{ feature, advice string }{
	{"rx-lro", "received packets are merged by hardware (LRO): counts differ from the wire's; ethtool -K %s lro off"},
	{"rx-gro-hw", "received packets are merged by hardware: counts differ from the wire's; ethtool -K %s rx-gro-hw off"},
	{"rx-vlan-hw-parse", "VLAN tags may be taken off before XDP sees them; ethtool -K %s rxvlan off if there are any"},
}

func offloadAdvice(name string, tool *ethtool.Ethtool) (advice []string) {
	on, err := tool.Features(name)
	if err != nil {
		return nil
	}
	for _, o := range offloads {
		if on[o.feature] {
			advice = append(advice, fmt.Sprintf(o.advice, name))
		}
	}
	return advice
}

// The kernel's netdev family (Linux 6.3): include/uapi/linux/netdev.h.
const (
	netdevFamily          = "netdev"
	netdevCmdDevGet       = 1
	netdevAttrIfindex     = 1
	netdevAttrXDPFeatures = 3
	netdevXDPBasic        = 1 << 0 // XDP_PASS, XDP_DROP, XDP_TX, XDP_ABORTED
	netdevXDPFragments    = 1 << 5 // frames of several buffers
)

// nativeXDP says in words what the driver can do.
func nativeXDP(ifindex int) string {
	features, ok := xdpFeatures(ifindex)
	switch {
	case !ok:
		return "native XDP not known before it is tried"
	case features&netdevXDPBasic == 0:
		return "no native XDP"
	case features&netdevXDPFragments == 0:
		return "native XDP for frames of one buffer"
	}
	return "native XDP"
}

// genericHeader is a struct genlmsghdr: command, version and two octets that are
// reserved and, for this family, must be zero.
type genericHeader [nl.SizeofGenlmsg]byte

// Len and Serialize make it a part of a netlink request.
func (h genericHeader) Len() int          { return len(h) }
func (h genericHeader) Serialize() []byte { return h[:] }

// xdpFeatures asks the kernel what a driver says of itself.
func xdpFeatures(ifindex int) (features uint64, ok bool) {
	family, err := netlink.GenlFamilyGet(netdevFamily)
	if err != nil {
		return 0, false
	}
	request := nl.NewNetlinkRequest(int(family.ID), 0)
	request.AddData(genericHeader{netdevCmdDevGet, 1, 0, 0})
	request.AddData(nl.NewRtAttr(netdevAttrIfindex, nl.Uint32Attr(uint32(ifindex))))
	answers, err := request.Execute(unix.NETLINK_GENERIC, 0)
	if err != nil || len(answers) == 0 || len(answers[0]) < nl.SizeofGenlmsg {
		return 0, false
	}
	attributes, err := nl.ParseRouteAttr(answers[0][nl.SizeofGenlmsg:])
	if err != nil {
		return 0, false
	}
	for _, a := range attributes {
		if a.Attr.Type == netdevAttrXDPFeatures && len(a.Value) == 8 {
			return binary.NativeEndian.Uint64(a.Value), true
		}
	}
	return 0, false
}
