package sink

import (
	"fmt"
	"net"
	"slices"
	"strings"
)

// A place is where the other end of a connection is.
type place struct{ network, address string }

// The networks.
const (
	networkTCP  = "tcp"
	networkTLS  = "tls"
	networkUDP  = "udp" // for IPFIX
	networkUnix = "unix"
)

// findPlace takes tcp://HOST:PORT, tls://HOST:PORT, udp://HOST:PORT or unix://PATH apart. What is neither is a path;
// reason is why it cannot be what was meant.
func findPlace(path string) (p place, found bool, reason string) {
	network, address, found := strings.Cut(path, "://")
	switch {
	case !found || network != networkTCP && network != networkTLS && network != networkUDP && network != networkUnix:
		return place{}, false, meantNetwork(path)
	case network == networkUnix && !strings.HasPrefix(address, "/"):
		return place{}, true, "want an absolute path, as in unix:///run/collector.sock"
	case network == networkUnix:
		return place{network, address}, true, ""
	}
	if host, port, err := net.SplitHostPort(address); err != nil || host == "" || port == "" {
		return place{}, true, fmt.Sprintf("want a host and a port, as in %s://collector:5170 or %s://[2001:db8::1]:5170", network, network)
	}
	return place{network, address}, true, ""
}

// otherNetworks are what people write where flows are to go over a network.
var otherNetworks = []string{"dtls", "http", "https", "ipfix", "kafka", "ssl", "syslog", "tcp4", "tcp6", "tcps", "udp4", "udp6", "unixgram", "ws", "wss"}

// meantNetwork is why a path is hardly meant to be a file's: it begins as an address
// does.
func meantNetwork(path string) string {
	scheme, rest, found := strings.Cut(path, ":")
	if !found {
		return ""
	}
	const form, file = "%s: is no network that weir sends over, which are tcp://HOST:PORT, tls://HOST:PORT, unix:///PATH, and udp://HOST:PORT of ipfix", "; a file of that name is ./%s"
	switch network := strings.ToLower(scheme); {
	case network == networkTCP, network == networkTLS, network == networkUDP:
		return fmt.Sprintf("an address is written %s://HOST:PORT"+file, network, path)
	case network == networkUnix:
		return fmt.Sprintf("an address is written unix:///PATH"+file, path)
	case slices.Contains(otherNetworks, network), isWord(network) && strings.HasPrefix(rest, "//"):
		return fmt.Sprintf(form+file, scheme, path)
	}
	return ""
}

// Remote tells what a path, as Parse returns it, is the address of: "tcp", "tls" or "udp" with
// host and port, or "unix" with a path; it is of a file where remote is false.
func Remote(path string) (network, address string, remote bool) {
	p, found, _ := findPlace(path)
	return p.network, p.address, found
}
