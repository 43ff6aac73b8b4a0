package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"

	"github.com/weirflow/weir/loader/sandbox"
	"github.com/weirflow/weir/userspace/sink"
)

// A reach is what outputs over a network take.
type reach struct {
	sockets  sandbox.Sockets
	ports    []uint16 // of TCP, that they connect to
	names    bool     // are to be resolved
	services bool     // a port is a name
	paths    []string // of Unix sockets
}

// portDNS is where names are asked for, over TCP where an answer is too long for UDP.
const portDNS = 53

// reachOf finds what the outputs take.
func reachOf(outputs []string) (*reach, error) {
	r := &reach{}
	for _, spec := range outputs {
		_, path, err := sink.Parse(spec)
		if err != nil {
			return nil, err
		}
		switch network, address, remote := sink.Remote(path); {
		case !remote:
		case network == "unix":
			r.sockets.Unix = true
			r.paths = append(r.paths, address)
		case network == "udp":
			r.sockets.UDP = true
			if _, err := r.address("udp", address); err != nil {
				return nil, fmt.Errorf("output %q: %w", spec, err)
			}
		default:
			port, err := r.address("tcp", address)
			if err != nil {
				return nil, fmt.Errorf("output %q: %w", spec, err)
			}
			r.sockets.TCP = true
			r.connect(port)
		}
	}
	return r, nil
}

// address adds what it takes to resolve a host and a port, either of which may be a
// name, and finds the port.
func (r *reach) address(network, address string) (port uint16, err error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return 0, err
	}
	n, err := net.DefaultResolver.LookupPort(context.Background(), network, service)
	if err != nil {
		return 0, err
	}
	if _, err := strconv.Atoi(service); err != nil {
		r.services = true
	}
	if _, err := netip.ParseAddr(host); err != nil {
		r.names, r.sockets.UDP, r.sockets.TCP = true, true, true
		r.connect(portDNS)
	}
	return uint16(n), nil
}

func (r *reach) connect(port uint16) {
	if !slices.Contains(r.ports, port) {
		r.ports = append(r.ports, port)
	}
}

// sockets are those that the outputs take, which were found to be in order before.
func (s *settings) sockets() (sandbox.Sockets, error) {
	r, err := reachOf(s.outputs)
	if err != nil {
		return sandbox.Sockets{}, err
	}
	return r.sockets, nil
}
