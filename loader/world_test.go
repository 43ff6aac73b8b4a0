package loader_test

import (
	"context"
	"encoding/binary"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/bpf/bpftest"
	"github.com/weirflow/weir/loader"
	"github.com/weirflow/weir/userspace"
)

// world is a network namespace of the test's own, which its thread lives in,
// with one end of a veth pair; the other end is in a second one. Both go with
// the test.
type world struct {
	t         *testing.T
	near, far netlink.Link
	// The namespaces of both ends.
	here, there netns.NsHandle
	away        netns.NsHandle // where moveNear has moved the near end
	// Raw sockets of both ends, to send frames by.
	nearSocket, farSocket int
	farNetlink            *netlink.Handle
}

const (
	nearName = "weir0"
	farName  = "weir1"
)

func up(t *testing.T, name string) netlink.Link {
	t.Helper()
	dev, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(dev); err != nil {
		t.Fatal(err)
	}
	return dev
}

func newWorld(t *testing.T) *world {
	t.Helper()
	bpftest.NewNamespace(t)
	w := &world{t: t}
	var err error
	if w.here, err = netns.Get(); err != nil {
		t.Fatal(err)
	}
	if w.there, err = netns.New(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.there.Close(); _ = w.here.Close() })
	if w.farNetlink, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.farNetlink.Close)
	w.enter(w.here)
	w.connect()
	return w
}

func (w *world) enter(ns netns.NsHandle) {
	w.t.Helper()
	if err := netns.Set(ns); err != nil {
		w.t.Fatal(err)
	}
}

// connect makes the pair, and sockets at both ends.
func (w *world) connect() {
	w.t.Helper()
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: nearName}, PeerName: farName, PeerNamespace: netlink.NsFd(w.there)}
	if err := netlink.LinkAdd(veth); err != nil {
		w.t.Fatal(err)
	}
	w.enter(w.there)
	w.far = up(w.t, farName)
	w.farSocket = rawSocket(w.t, w.far)
	w.enter(w.here)
	w.near = up(w.t, nearName)
	w.nearSocket = rawSocket(w.t, w.near)
	w.waitForCarrier(nearName)
}

// waitForCarrier waits until both ends take frames. An end without a carrier drops
// what is sent by it without a word.
func (w *world) waitForCarrier(name string) {
	w.t.Helper()
	for range 1000 {
		near, err := netlink.LinkByName(name)
		if err == nil && near.Attrs().OperState == netlink.OperUp && w.farHasCarrier() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	w.t.Fatal("the veth pair did not come up")
}

// farHasCarrier is true of a world whose far end takes no part.
func (w *world) farHasCarrier() bool {
	if w.farNetlink == nil {
		return true
	}
	far, err := w.farNetlink.LinkByName(farName)
	return err == nil && far.Attrs().OperState == netlink.OperUp
}

func (w *world) setFarMTU(mtu int) {
	w.t.Helper()
	if err := w.farNetlink.LinkSetMTU(w.far, mtu); err != nil {
		w.t.Fatalf("MTU %d of the other end: %v", mtu, err)
	}
}

func rawSocket(t *testing.T, dev netlink.Link) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: dev.Attrs().Index}); err != nil {
		t.Fatal(err)
	}
	return fd
}

// firstPort is the destination port of flow 0; its source port is 4000.
const firstPort = 1000

// udpFrame is a frame of flow n.
func udpFrame(n int, payload int) []byte {
	b := []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2}
	b = binary.BigEndian.AppendUint16(b, 0x0800)
	b = append(b, 0x45, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(28+payload))
	b = append(b, 0, 0, 0x40, 0, 64, unix.IPPROTO_UDP, 0, 0)
	b = append(b, 192, 0, 2, 1, 192, 0, 2, 2)
	b = binary.BigEndian.AppendUint16(b, 4000)
	b = binary.BigEndian.AppendUint16(b, uint16(firstPort+n))
	b = binary.BigEndian.AppendUint16(b, uint16(8+payload))
	b = append(b, 0, 0)
	return append(b, make([]byte, payload)...)
}

// send sends packets frames of each of flows flows.
func (w *world) send(socket, flows, packets int) {
	w.t.Helper()
	for range packets {
		for n := range flows {
			w.sendFrame(socket, udpFrame(n, 100))
		}
	}
}

func (w *world) sendFrame(socket int, frame []byte) {
	w.t.Helper()
	if _, err := unix.Write(socket, frame); err != nil {
		w.t.Fatal(err)
	}
}

func options() loader.Options {
	c := userspace.DefaultConfig()
	c.MaxFlows = 4096
	return loader.Options{Config: loader.Config(c), RingOctets: 1 << 20}
}

func attach(t *testing.T, o loader.Options, names ...string) *loader.Attachment {
	t.Helper()
	a, err := loader.Attach(names, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

func consumer(t *testing.T, a *loader.Attachment, o loader.Options, more ...userspace.Option) *userspace.Consumer {
	t.Helper()
	c, err := userspace.NewConsumer(a.Handles(), append([]userspace.Option{
		userspace.WithConfig(userspace.Config(o.Config)),
		userspace.WithDetach(a.Detach),
		userspace.WithNIC(func() *userspace.Range {
			low, high, err := a.Counters()
			if err != nil {
				return nil
			}
			return &userspace.Range{Low: userspace.Count(low), High: userspace.Count(high)}
		}),
	}, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// harvest detaches and collects all flows, by the port of udpFrame; frames of
// others than the test, as the kernel's own neighbour discovery, are left out.
// The ledger must close.
// arrived waits until frames that were sent have come to the meter: some have, and
// no more come. On a busy machine the kernel may put their delivery off.
func arrived(t *testing.T, c *userspace.Consumer) {
	t.Helper()
	const interval, quiet = 10 * time.Millisecond, 10
	last, unchanged := uint64(0), 0
	for range 500 {
		time.Sleep(interval)
		l := c.Ledger()
		if unchanged++; l.Observed.Packets != last {
			last, unchanged = l.Observed.Packets, 0
		}
		if last > 0 && unchanged >= quiet {
			return
		}
	}
	t.Fatalf("frames do not arrive: %d so far", last)
}

func harvest(t *testing.T, c *userspace.Consumer) map[int][]userspace.Flow {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return collect(t, c, ctx)
}

func collect(t *testing.T, c *userspace.Consumer, ctx context.Context) map[int][]userspace.Flow {
	t.Helper()
	flows := map[int][]userspace.Flow{}
	for f, err := range c.Flows(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if n := int(f.DestinationPort()) - firstPort; f.Record.Key.Protocol == unix.IPPROTO_UDP && f.SourcePort() == 4000 {
			flows[n] = append(flows[n], *f.Clone())
		}
	}
	l := c.Ledger()
	if err := l.Check(); err != nil {
		t.Errorf("%v\n%+v\n%+v", err, l, l.NIC)
	}
	if l.NIC == nil {
		t.Error("the ledger has no interface counter")
	}
	return flows
}

func wantFlows(t *testing.T, got map[int][]userspace.Flow, flows, packets int) {
	t.Helper()
	if len(got) != flows {
		t.Errorf("%d flows, want %d", len(got), flows)
	}
	for n, f := range got {
		if len(f) != 1 || f[0].Packets() != uint64(packets) || f[0].Octets() != uint64(packets*len(udpFrame(n, 100))) {
			t.Errorf("flow %d: %d records, the first of %d packets, %d octets; want one of %d", n, len(f), f[0].Packets(), f[0].Octets(), packets)
		}
	}
}
