package loader

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/bpf"
)

// An Attachment is a running meter: programs in the path of some interfaces, and
// the maps that they share. Its methods may be called from several goroutines.
type Attachment struct {
	netlink   *netlink.Handle
	instances []*instance
	direction Direction
	options   Options
	linkNames []PinnedLink // of links, in the same order
	pin       *pin         // nil if it ends with the process
	adopted   bool
	within    bool       // opened to be read, in the network namespace of its interfaces
	iterator  *link.Iter // the sweep's, nil where there is none
	copied    bool       // the object that runs is the one for a process without CAP_PERFMON

	mu       sync.Mutex
	ports    []port
	links    []link.Link
	hooks    []string // of links, in the same order
	warnings []string
	counters interval
	detached bool
	closed   bool
}

// Attach loads the metering programs and attaches them to the named interfaces
// of the calling thread's network namespace, all of them or none; with
// Options.Pin it adopts the meter that is pinned there, if one is. Each error says
// in one line what to do; their types are those of this package.
func Attach(names []string, o Options) (*Attachment, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("attach: %w", err)
	}
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("attach: open netlink: %w", err)
	}
	a := &Attachment{netlink: h, direction: o.Direction, options: o}
	if a.ports, err = findPorts(h, names); err == nil {
		if o.Pin != "" {
			err = a.attachPinned(&o)
		} else {
			err = a.start(&o)
		}
	}
	if err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

func (a *Attachment) start(o *Options) error {
	for i := range a.ports {
		if o.receives() && o.hookOf(&a.ports[i]) == HookXDP {
			if err := a.ports[i].otherProgram(); err != nil {
				return err
			}
		}
	}
	if err := a.load(o, nil); err != nil {
		return err
	}
	a.openIterator()
	a.counters.take(a, &a.counters.before)
	for i, p := range a.ports {
		if err := a.attachPort(i, p, o); err != nil {
			return err
		}
	}
	a.counters.take(a, &a.counters.begun)
	return nil
}

func (o *Options) receives() bool { return o.Direction != DirectionOut }
func (o *Options) sends() bool    { return o.Direction != DirectionIn }

// hookOf settles HookAuto for an interface.
func (o *Options) hookOf(p *port) Hook {
	switch {
	case o.Hook != HookAuto:
		return o.Hook
	case p.linkType == bpf.WeirLinkTypeLINK_ETHERNET:
		return HookXDP
	}
	return HookTCX
}

func (a *Attachment) attachPort(i int, p port, o *Options) error {
	programs := a.instances[i].programs
	switch {
	case !o.receives():
	case o.hookOf(&p) == HookXDP:
		if err := a.attachXDP(p, programs[bpf.WeirProgWeirXdpIn], o.XDPMode); err != nil {
			return err
		}
		a.nameLink(i, bpf.WeirProgWeirXdpIn)
	default:
		if err := a.attachTCX(p, programs[bpf.WeirProgWeirTcxIn], ebpf.AttachTCXIngress); err != nil {
			return err
		}
		a.nameLink(i, bpf.WeirProgWeirTcxIn)
	}
	if o.sends() {
		if err := a.attachTCX(p, programs[bpf.WeirProgWeirTcxOut], ebpf.AttachTCXEgress); err != nil {
			return err
		}
		a.nameLink(i, bpf.WeirProgWeirTcxOut)
	}
	return nil
}

// nameLink says what the newest link is to be pinned as.
func (a *Attachment) nameLink(point int, program string) {
	a.linkNames = append(a.linkNames, PinnedLink{Pin: fmt.Sprintf("%s%d_%s", pinLinkPrefix, point, program), Point: point, Program: program})
}

func (a *Attachment) attachXDP(p port, program *ebpf.Program, mode XDPMode) error {
	var refused error
	if mode != XDPGeneric {
		l, err := link.AttachXDP(link.XDPOptions{Program: program, Interface: p.ifindex, Flags: link.XDPDriverMode})
		if err == nil {
			a.attached(l, p, "native XDP")
			return nil
		}
		if refused = xdpError(p, err); mode == XDPNative || !errors.As(refused, new(*NativeXDPError)) {
			return refused
		}
	}
	l, err := link.AttachXDP(link.XDPOptions{Program: program, Interface: p.ifindex, Flags: link.XDPGenericMode})
	if err != nil {
		return genericError(p, err)
	}
	a.attached(l, p, "generic XDP")
	if refused != nil {
		a.warnings = append(a.warnings, fmt.Sprintf("%s: its driver refuses native XDP (%s); metering in generic XDP, which is slower and sees packets after they were merged (GRO), so that packet counts can differ from the wire's",
			p.name, errorText(errors.Unwrap(refused))))
	}
	return nil
}

// xdpError tells apart why a native attachment failed.
func xdpError(p port, err error) error {
	switch {
	case errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EEXIST):
		if busy := p.otherProgram(); busy != nil {
			return busy
		}
		return &BusyError{Interface: p.name}
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.ENODEV):
		return explain("attach to "+p.name, err)
	}
	return &NativeXDPError{p.name, err}
}

func genericError(p port, err error) error {
	refused := xdpError(p, err)
	if native := new(NativeXDPError); errors.As(refused, &native) {
		return fmt.Errorf("attach to %s in generic XDP: %w: use --hook tcx", p.name, err)
	}
	return refused
}

// attachTCX puts the program where it sees most: first of those that receive,
// last of those that send.
func (a *Attachment) attachTCX(p port, program *ebpf.Program, at ebpf.AttachType) error {
	anchor, name := link.Head(), "TCX ingress"
	if at == ebpf.AttachTCXEgress {
		anchor, name = link.Tail(), "TCX egress"
	}
	l, err := link.AttachTCX(link.TCXOptions{Program: program, Interface: p.ifindex, Attach: at, Anchor: anchor})
	switch {
	case errors.Is(err, ebpf.ErrNotSupported):
		return &KernelTooOldError{name, "6.6", kernelRelease(), "use --direction in with --hook xdp, or a newer kernel", err}
	case err != nil:
		return explain("attach to "+p.name+" at "+name, err)
	}
	a.attached(l, p, name)
	return nil
}

func (a *Attachment) attached(l link.Link, p port, how string) {
	a.links = append(a.links, l)
	a.hooks = append(a.hooks, p.name+": "+how)
}

// Handles is what reads the meter. It is the Attachment's and valid until Close.
func (a *Attachment) Handles() bpf.Handles {
	first := a.instances[0]
	h := bpf.Handles{
		Events:   first.maps[bpf.WeirMapEvents],
		Flows:    first.maps[bpf.WeirMapFlows],
		Ledgers:  first.maps[bpf.WeirMapLedgers],
		Progress: first.maps[bpf.WeirMapProgress],
		Sweep:    first.programs[bpf.WeirProgWeirSweep],
		DPIDone:  first.programs[bpf.WeirProgWeirDpiDone],

		SweepIter:  a.iterator,
		SweepState: first.maps[bpf.WeirMapSweepState],
		Object:     objectHash(a.copied),
	}
	for i, p := range a.ports {
		h.Points = append(h.Points, bpf.Point{Index: uint8(i), Name: p.name, Ifindex: p.ifindex})
	}
	return h
}

// Hooks says where each interface is observed, as in "eth0: native XDP".
func (a *Attachment) Hooks() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.hooks)
}

// Warnings are what the user should know of how the meter runs, a line each.
func (a *Attachment) Warnings() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.warnings)
}

// Detach takes the programs out of the interfaces' path. When it returns, none
// of them is running any more and the maps change no further. A second call does
// nothing.
func (a *Attachment) Detach() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.detached {
		return nil
	}
	a.detached = true
	a.counters.take(a, &a.counters.ending)
	var errs []error
	for _, l := range a.links {
		if a.pin != nil {
			if err := l.Detach(); err != nil && !errors.Is(err, unix.ENOLINK) {
				errs = append(errs, explain("detach", err))
			}
		}
		if err := l.Close(); err != nil {
			errs = append(errs, fmt.Errorf("detach: %w", err))
		}
	}
	waitForPrograms()
	a.counters.take(a, &a.counters.ended)
	return errors.Join(errs...)
}

// membarrierGlobal is MEMBARRIER_CMD_GLOBAL: returns after an RCU grace period.
const membarrierGlobal = 1

// waitForPrograms returns when every program run that had begun has ended: each
// is an RCU read-side critical section. Where the call is not allowed there is a
// window of some microseconds left, in which a last packet is metered.
func waitForPrograms() { _, _, _ = unix.Syscall(unix.SYS_MEMBARRIER, membarrierGlobal, 0, 0) }

// Close detaches, and frees all programs and maps. A pinned meter goes on, with
// its links and all, for whoever opens it next.
func (a *Attachment) Close() error {
	var err error
	if a.pin == nil {
		err = a.Detach()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return err
	}
	a.closed = true
	if !a.detached { // it is pinned
		for _, l := range a.links {
			err = errors.Join(err, l.Close())
		}
	}
	defer a.release()
	err = errors.Join(err, a.closeIterator())
	closeAll(a.instances)
	a.netlink.Close()
	return err
}
