package loader_test

import (
	"encoding/binary"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/weirflow/weir/loader"
)

// deepFrame is flow n's packet inside of IPv6, behind an extension header of 1,000
// octets.
func deepFrame(n, payload int) []byte {
	inner := udpFrame(n, payload)
	extension := make([]byte, 1000)
	extension[0], extension[1] = 4, 1000/8-1 // then IPv4
	outer := append(inner[:12:12], 0x86, 0xdd, 0x60, 0, 0, 0)
	outer = binary.BigEndian.AppendUint16(outer, uint16(len(extension)+len(inner)-14))
	outer = append(append(outer, 60, 64), make([]byte, 32)...)
	return append(append(outer, extension...), inner[14:]...)
}

// TestHeadersInPageFragmentsAreReadAtTCX sends frames longer than a page: of
// those the kernel has the link-layer header in one piece, and the rest in page
// fragments.
func TestHeadersInPageFragmentsAreReadAtTCX(t *testing.T) {
	w := newWorld(t)
	w.setFarMTU(9000)
	if err := netlink.LinkSetMTU(w.near, 9000); err != nil {
		t.Fatal(err)
	}
	o := options()
	o.Hook, o.Direction = loader.HookTCX, loader.DirectionOut
	c := consumer(t, attach(t, o, nearName), o)
	for n := range 3 {
		for range 5 {
			w.sendFrame(w.nearSocket, deepFrame(n, 6000))
		}
	}
	arrived(t, c)
	flows := harvest(t, c)
	if len(flows) != 3 {
		t.Errorf("%d flows, want 3", len(flows))
	}
	for n, f := range flows {
		if want := uint64(5 * len(deepFrame(n, 6000))); len(f) != 1 || f[0].Packets() != 5 || f[0].Octets() != want {
			t.Errorf("flow %d: %d records, the first of %d packets, %d octets; want one of 5, %d", n, len(f), f[0].Packets(), f[0].Octets(), want)
		}
	}
}
