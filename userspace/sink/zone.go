package sink

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"
)

// numberZone has the interface that an address of IPv6 names (fe80::1%eth0) as its number,
// as it is at the moment. The library would ask for it over netlink, which no sandbox lets
// it, and go on without.
func numberZone(network, address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address, nil // of a Unix socket
	}
	a, err := netip.ParseAddr(host)
	if err != nil || a.Zone() == "" {
		return address, nil
	}
	index, err := interfaceIndex(network, a.Zone())
	if err != nil {
		if _, isNumber := strconv.ParseUint(a.Zone(), 10, 32); isNumber == nil {
			return address, nil
		}
		return "", fmt.Errorf("find the interface %s: %w", a.Zone(), err)
	}
	return net.JoinHostPort(a.WithZone(strconv.FormatUint(uint64(index), 10)).String(), port), nil
}

// interfaceIndex asks by a socket of the kind that is about to be made anyway.
func interfaceIndex(network, name string) (uint32, error) {
	kind := unix.SOCK_STREAM
	if network == networkUDP {
		kind = unix.SOCK_DGRAM
	}
	fd, err := unix.Socket(unix.AF_INET6, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq(name)
	if err != nil {
		return 0, unix.ENODEV // it is too long
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, request); err != nil {
		return 0, err
	}
	return request.Uint32(), nil
}
