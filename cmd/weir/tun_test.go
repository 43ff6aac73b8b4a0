package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// A tunnel is a tun or tap device named "far" in a namespace of its own, with the
// test at its other end.
type tunnel struct {
	*wire
	end *os.File
	mac net.HardwareAddr // of a tap device
}

const (
	tunNear4, tunFar4 = "198.51.100.1", "198.51.100.2"
	tunNear6, tunFar6 = "fd00:7765::1", "fd00:7765::2"
	tunNearMAC        = "02:00:00:00:00:01"
)

func newTunnel(t *testing.T, mode uint16) *tunnel {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("making network namespaces and attaching programs needs root")
	}
	name := fmt.Sprintf("weir-t%d-tun", os.Getpid())
	d := &tunnel{wire: &wire{rx: name}}
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", name).Run() })
	ip(t, "netns", "add", name)
	// No packets but those of the test, and its addresses at once.
	for _, key := range []string{"autoconf=0", "accept_ra=0", "router_solicitations=0", "accept_dad=0", "mldv2_unsolicited_report_interval=3600000", "mldv1_unsolicited_report_interval=3600000"} {
		command(t, "ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv6.conf.default."+key)
	}
	d.end = openTunnel(t, name, mode)
	ip(t, "-n", name, "addr", "add", tunFar4+"/24", "dev", "far")
	ip(t, "-n", name, "link", "set", "far", "up")
	ip(t, "-n", name, "addr", "add", tunFar6+"/64", "dev", "far", "nodad")
	if mode == unix.IFF_TAP {
		d.mac = net.HardwareAddr{2, 0, 0, 0, 0, 2}
		ip(t, "-n", name, "link", "set", "far", "address", d.mac.String())
		for _, near := range []string{tunNear4, tunNear6} {
			ip(t, "-n", name, "neigh", "replace", near, "lladdr", tunNearMAC, "dev", "far")
		}
	}
	return d
}

// openTunnel makes the device in the namespace, without the 4 octets of packet
// information.
func openTunnel(t *testing.T, namespace string, mode uint16) *os.File {
	t.Helper()
	runtime.LockOSThread()
	home, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	there, err := netns.GetFromName(namespace)
	if err != nil {
		t.Fatal(err)
	}
	defer there.Close()
	if err := netns.Set(there); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if netns.Set(home) == nil {
			runtime.UnlockOSThread()
		}
		_ = home.Close()
	}()
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatalf("open /dev/net/tun: %v (this test needs the tun driver)", err)
	}
	request, err := unix.NewIfreq("far")
	if err != nil {
		t.Fatal(err)
	}
	request.SetUint16(mode | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		t.Fatalf("make a tun device: %v", err)
	}
	file := os.NewFile(uintptr(fd), "/dev/net/tun")
	t.Cleanup(func() { _ = file.Close() })
	return file
}

// echo is an ICMP or ICMPv6 echo request to the device, as it takes it.
func (d *tunnel) echo(t *testing.T, v6 bool, sequence uint16) []byte {
	t.Helper()
	var ls []gopacket.SerializableLayer
	etherType := layers.EthernetTypeIPv4
	if v6 {
		etherType = layers.EthernetTypeIPv6
	}
	if d.mac != nil {
		near, _ := net.ParseMAC(tunNearMAC)
		ls = append(ls, &layers.Ethernet{SrcMAC: near, DstMAC: d.mac, EthernetType: etherType})
	}
	if v6 {
		h := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolICMPv6, SrcIP: net.ParseIP(tunNear6), DstIP: net.ParseIP(tunFar6)}
		icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeEchoRequest, 0)}
		_ = icmp.SetNetworkLayerForChecksum(h)
		ls = append(ls, h, icmp, &layers.ICMPv6Echo{Identifier: 1, SeqNumber: sequence})
	} else {
		ls = append(ls, &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolICMPv4, SrcIP: net.ParseIP(tunNear4), DstIP: net.ParseIP(tunFar4)},
			&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoRequest, 0), Id: 1, Seq: sequence})
	}
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, append(ls, gopacket.Payload(make([]byte, 32)))...); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// drain reads what the device sent of itself when it came up: it counts a packet
// when that is read.
func (d *tunnel) drain(t *testing.T) {
	t.Helper()
	if err := d.end.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	for b := make([]byte, 2048); ; {
		if _, err := d.end.Read(b); errors.Is(err, os.ErrDeadlineExceeded) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// replies reads what the device sends until n echo replies have come, and
// returns their octets.
func (d *tunnel) replies(t *testing.T, v6 bool, n int) (octets int) {
	t.Helper()
	link, version, reply, at := 0, byte(4), byte(0), 20
	if d.mac != nil {
		link = 14
	}
	if v6 {
		version, reply, at = 6, 129, 40
	}
	if err := d.end.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for b := make([]byte, 2048); n > 0; {
		size, err := d.end.Read(b)
		if err != nil {
			t.Fatalf("%d replies of version %d have not come: %v", n, version, err)
		}
		if p := b[link:size]; len(p) > at && p[0]>>4 == version && p[at] == reply && (p[9] == 1 || p[6] == 58) {
			n--
			octets += size
		}
	}
	return octets
}

// TestDevicesWithoutEthernetAreMetered sends IPv4 and IPv6 through a tun device,
// whose frames begin with the IP header, and a tap device, whose do not.
func TestDevicesWithoutEthernetAreMetered(t *testing.T) {
	for name, mode := range map[string]uint16{"tun": unix.IFF_TUN, "tap": unix.IFF_TAP} {
		t.Run(name, func(t *testing.T) {
			d := newTunnel(t, mode)
			d.drain(t)
			p := d.attach(t, "--hook", "tcx", "--direction", "both", "-o", "csv:-")
			sent, want := map[bool]int{}, map[string]string{}
			for v6, n := range map[bool]int{false: 20, true: 15} {
				for i := range n {
					frame := d.echo(t, v6, uint16(i))
					sent[v6] += len(frame)
					if _, err := d.end.Write(frame); err != nil {
						t.Fatal(err)
					}
				}
				back := d.replies(t, v6, n)
				near := map[bool]string{false: tunNear4, true: tunNear6}[v6]
				want[near] = fmt.Sprintf("%d packets, %d octets there; %d, %d back", n, sent[v6], n, back)
			}
			p.interrupt(t)
			code, out, said := p.end(t)
			if code != exitComplete {
				t.Fatalf("exit code %d: %s", code, said)
			}
			for _, r := range table(t, out) {
				got := fmt.Sprintf("%s packets, %s octets there; %s, %s back", r["src2dst_packets"], r["src2dst_bytes"], r["dst2src_packets"], r["dst2src_bytes"])
				if expected, ours := want[r["src_ip"]]; ours && got != expected {
					t.Errorf("%s: %s; want %s", r["src_ip"], got, expected)
				}
				delete(want, r["src_ip"])
			}
			for near := range want {
				t.Errorf("no flow from %s: %s", near, said)
			}
			closes(t, said)
		})
	}
}
