package sink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// datagrams is a link over UDP: each write is a datagram. Nothing tells whether one has
// arrived. It is taken to have when no ICMP message has said otherwise for a while: that
// nobody listens there is told after the fact.
type datagrams struct {
	conn    *net.UDPConn
	limits  *limits
	pace    *pace // of all sockets of the output, one after the other
	written atomic.Int64
	flight  flight[departure]
}

// A departure is a datagram of which nothing is known yet.
type departure struct {
	at  time.Time
	end int64 // position
}

// dialDatagrams makes a socket for the address, or for one of those that a name has: of
// each try for the next, since no socket finds out by itself whether somebody listens.
func dialDatagrams(ctx context.Context, p place, l *limits, pace *pace, try int) (*datagrams, error) {
	host, port, err := net.SplitHostPort(p.address)
	if err != nil {
		return nil, err
	}
	if err := pace.hush(ctx, l.hush); err != nil {
		return nil, err
	}
	brief, cancel := context.WithTimeout(ctx, l.connect)
	defer cancel()
	all, err := l.resolver.LookupIPAddr(brief, host)
	if err != nil {
		return nil, err
	}
	address, err := numberZone(p.network, net.JoinHostPort(all[try%len(all)].String(), port))
	if err != nil {
		return nil, err
	}
	conn, err := (&net.Dialer{Timeout: l.connect, Control: tellAll}).DialContext(ctx, p.network, address)
	if err != nil {
		return nil, bareNetwork(err)
	}
	return &datagrams{conn: conn.(*net.UDPConn), limits: l, pace: pace}, nil
}

// tellAll has the kernel say of a socket what it keeps to itself otherwise: that the
// interface's queue was full, and that a router knows no way.
func tellAll(network, _ string, raw syscall.RawConn) (err error) {
	level, option := unix.SOL_IP, unix.IP_RECVERR
	if network == "udp6" {
		level, option = unix.SOL_IPV6, unix.IPV6_RECVERR
	}
	controlled := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, option, 1) })
	if err = errors.Join(controlled, err); err != nil {
		return fmt.Errorf("have errors of datagrams told: %w", err)
	}
	return nil
}

func (d *datagrams) write(ctx context.Context, p []byte, arrived func(int64)) error {
	if err := d.pace.wait(ctx, len(p)); err != nil {
		return err
	}
	begun := time.Now()
	for {
		err := d.conn.SetWriteDeadline(time.Now().Add(d.limits.stall))
		if err == nil {
			_, err = d.conn.Write(p)
		}
		if err == nil {
			break
		}
		// What the kernel has no room for now it may have later.
		if !errors.Is(err, unix.ENOBUFS) || time.Since(begun) > d.limits.stall {
			return d.told(bareNetwork(err))
		}
		if err := wait(ctx, d.limits.look); err != nil {
			return err
		}
	}
	d.flight.add(departure{time.Now(), d.written.Add(int64(len(p)))})
	d.land(arrived)
	return nil
}

func (d *datagrams) look(arrived func(int64)) error {
	if err := d.answer(); err != nil {
		return d.told(err)
	}
	d.land(arrived)
	return nil
}

// told remembers when the error was told, unless all is mended already: of a message that
// was too long for the path the kernel keeps what the path lets through.
func (d *datagrams) told(err error) error {
	if !errors.Is(err, unix.EMSGSIZE) {
		d.pace.told = time.Now()
	}
	return err
}

// land takes what has been under way for long enough to have arrived.
func (d *datagrams) land(arrived func(int64)) {
	now := time.Now()
	if last, landed := d.flight.land(func(x *departure) bool { return now.Sub(x.at) >= d.limits.silence }); landed {
		arrived(last.end)
	}
}

// answer is what an ICMP message has said.
func (d *datagrams) answer() (err error) {
	raw, err := d.conn.SyscallConn()
	if err != nil {
		return err
	}
	failed := raw.Control(func(fd uintptr) {
		var errno int
		if errno, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR); err == nil && errno != 0 {
			err = unix.Errno(errno)
		}
	})
	return errors.Join(failed, err)
}

// await waits until everything is taken to have arrived.
func (d *datagrams) await(ctx context.Context, arrived func(int64)) error {
	for !d.hasArrived() {
		if err := wait(ctx, d.limits.look); err != nil {
			return err
		}
		if err := d.look(arrived); err != nil {
			return err
		}
	}
	return nil
}

func (d *datagrams) hasArrived() bool { return d.flight.empty() }

func (d *datagrams) position() int64 { return d.written.Load() }

func (d *datagrams) close() { _ = d.conn.Close() }

// wait waits for a while, or the end of ctx.
func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
