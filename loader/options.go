package loader

import (
	"fmt"

	netbpf "golang.org/x/net/bpf"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/pinned"
)

// A Direction is which packets of an interface are observed.
type Direction string

// What an interface receives, what it sends, or both. Sending is seen at TCX
// egress whatever the hook: it needs Linux 6.6. Packets that leave by XDP_TX,
// XDP_REDIRECT or AF_XDP do not pass there.
const (
	DirectionIn   Direction = "in"
	DirectionOut  Direction = "out"
	DirectionBoth Direction = "both"
)

// A Hook is where received packets are observed.
type Hook string

// HookAuto is XDP on an interface of Ethernet frames, TCX on one of bare IP
// packets, for which XDP is not made. HookTCX lives beside other programs.
const (
	HookAuto Hook = "auto"
	HookXDP  Hook = "xdp"
	HookTCX  Hook = "tcx"
)

// An XDPMode is how XDP runs.
type XDPMode string

// XDPAuto is native where the driver has it, else generic with a warning.
const (
	XDPAuto    XDPMode = "auto"
	XDPNative  XDPMode = "native"
	XDPGeneric XDPMode = "generic"
)

// Config is what shapes flows.
type Config = pinned.Config

// Options say what to attach and how. Of what is zero, Config must be filled in;
// the rest has defaults.
type Options struct {
	Config    Config
	Direction Direction // default in
	Hook      Hook      // default auto
	XDPMode   XDPMode   // default auto
	// Filter compiles the user's filter for a link type, pcap's LINKTYPE_*, as
	// filter.Compile does; nil meters every frame. It is called once for each
	// interface.
	Filter func(linkType int) ([]netbpf.RawInstruction, error)
	// Pin is a directory to be, in a BPF file system: the meter is pinned there and
	// outlives the process, until it is removed. Empty: it ends with the process.
	Pin string
	// PinGroup is the group, by number, that may read the pinned meter; 0 leaves it
	// the group of who pins it, or that of the meter that is adopted.
	PinGroup int
	// RingOctets is the size of the ring buffer, a power of two and a multiple of
	// the page size; 0 is 16 MiB.
	RingOctets int
}

const defaultRingOctets = 16 << 20

// withDefaults fills in what was left out and says what cannot be.
func (o Options) withDefaults() (Options, error) {
	if o.Direction == "" {
		o.Direction = DirectionIn
	}
	if o.Hook == "" {
		o.Hook = HookAuto
	}
	if o.XDPMode == "" {
		o.XDPMode = XDPAuto
	}
	if o.RingOctets == 0 {
		o.RingOctets = defaultRingOctets
	}
	return o, o.validate()
}

func (o *Options) validate() error {
	c := &o.Config
	switch {
	case o.Direction != DirectionIn && o.Direction != DirectionOut && o.Direction != DirectionBoth:
		return fmt.Errorf("direction %q: want in, out or both", o.Direction)
	case o.Hook != HookAuto && o.Hook != HookXDP && o.Hook != HookTCX:
		return fmt.Errorf("hook %q: want auto, xdp or tcx", o.Hook)
	case o.XDPMode != XDPAuto && o.XDPMode != XDPNative && o.XDPMode != XDPGeneric:
		return fmt.Errorf("XDP mode %q: want auto, native or generic", o.XDPMode)
	case o.RingOctets < 4096 || o.RingOctets > 1<<30 || o.RingOctets&(o.RingOctets-1) != 0:
		return fmt.Errorf("ring of %d octets: want a power of two from 4096 to %d", o.RingOctets, 1<<30)
	case c.IdleTimeout < 0 || c.ActiveTimeout < 0:
		return fmt.Errorf("idle timeout %v, active timeout %v: want 0 or more", c.IdleTimeout, c.ActiveTimeout)
	case c.Accounting > bpf.WeirAccountingACCOUNTING_PAYLOAD:
		return fmt.Errorf("accounting mode %d: want 0 (link) to 3 (payload)", c.Accounting)
	case c.SPLT < 0 || c.SPLT > bpf.SPLTMax:
		return fmt.Errorf("splt %d: want 0 to %d packets", c.SPLT, bpf.SPLTMax)
	case c.Samples < 0 || c.Samples > 255 || c.SampleOctets < 0 || c.SampleOctets > sampleOctetsMax:
		return fmt.Errorf("%d samples of %d octets: want at most 255 of %d", c.Samples, c.SampleOctets, sampleOctetsMax)
	case c.Samples > 0 && c.SampleOctets == 0:
		return fmt.Errorf("%d samples of 0 octets: want 1 to %d octets of each packet, or no samples", c.Samples, sampleOctetsMax)
	case c.MaxFlows < 1 || c.MaxFlows > 1<<24:
		return fmt.Errorf("max flows %d: want 1 to %d", c.MaxFlows, 1<<24)
	}
	return nil
}

// filterFor compiles the filter for a link type. A panic of it is an error.
func (o *Options) filterFor(linkType bpf.LinkType) (raw []netbpf.RawInstruction, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("compile the filter: it panicked: %v", p)
		}
	}()
	return o.Filter(int(linkType))
}

// sampleOctetsMax is SAMPLE_OCTETS_MAX of bpf/emit.h.
const sampleOctetsMax = 16384
