package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/weirflow/weir/loader/sandbox"
	"github.com/weirflow/weir/userspace/sink"
)

// A reach is what outputs over a network take.
type reach struct {
	sockets sandbox.Sockets
	ports   []uint16 // of TCP, that they connect to
	names   bool     // are to be resolved
	paths   []string // of Unix sockets
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
			if err := r.name(address); err != nil {
				return nil, fmt.Errorf("output %q: %w", spec, err)
			}
		default:
			if err := r.tcp(address); err != nil {
				return nil, fmt.Errorf("output %q: %w", spec, err)
			}
		}
	}
	return r, nil
}

// tcp adds a host and a port, either of which may be a name.
func (r *reach) tcp(address string) error {
	_, service, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	port, err := net.DefaultResolver.LookupPort(context.Background(), "tcp", service)
	if err != nil {
		return err
	}
	r.sockets.TCP = true
	r.connect(uint16(port))
	return r.name(address)
}

// name adds what it takes to resolve a host, if that is a name.
func (r *reach) name(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	if _, err := netip.ParseAddr(host); err != nil {
		r.names, r.sockets.UDP, r.sockets.TCP = true, true, true
		r.connect(portDNS)
	}
	return nil
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
