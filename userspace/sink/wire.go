package sink

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A link is a connection as a remote sees it. Positions are octets since its beginning.
type link interface {
	// write writes p. Meanwhile, it calls arrived with each position up to which
	// everything is known to have arrived.
	write(ctx context.Context, p []byte, arrived func(int64)) error
	// look finds out how far everything has arrived. Its error ends the connection.
	look(arrived func(int64)) error
	hasArrived() bool
	// position is behind what was written, in whole or in part.
	position() int64
	// close ends the connection; in order, if all has arrived, else so that nothing
	// further does.
	close()
}

// dial connects.
func dial(ctx context.Context, p place, l *limits) (link, error) {
	if p.network != networkTLS {
		return dialWire(ctx, p.network, p.address, l)
	}
	w, err := dialWire(ctx, networkTCP, p.address, l)
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(p.address)
	if err != nil {
		return nil, err
	}
	return secure(ctx, w, host, l)
}

// A wire is a connection, and how far what was written to it has arrived. The kernel
// tells: TCP how much the other machine has not acknowledged, a Unix socket how
// much has not been read.
type wire struct {
	conn    net.Conn
	raw     syscall.RawConn
	limits  *limits
	written atomic.Int64
	arrived int64
	moved   time.Time // when something was last written or arrived
}

func dialWire(ctx context.Context, network, address string, l *limits) (*wire, error) {
	dialer := net.Dialer{Timeout: l.connect, Resolver: l.resolver}
	address, err := numberZone(network, address)
	if err != nil {
		return nil, err
	}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, bareNetwork(err)
	}
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &wire{conn: conn, raw: raw, limits: l, moved: time.Now()}, nil
}

// Why a connection is given up.
var (
	errStalled = errors.New("nothing is taken any more")
	errClosed  = errors.New("closed by the other side")
)

func (w *wire) write(ctx context.Context, p []byte, arrived func(int64)) error {
	for len(p) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := w.conn.SetWriteDeadline(time.Now().Add(w.limits.stall / 10)); err != nil {
			return bareNetwork(err)
		}
		n, err := w.conn.Write(p)
		p = p[n:]
		w.written.Add(int64(n))
		if n > 0 {
			w.moved = time.Now()
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			w.lookAgain(arrived)
			return bareNetwork(err)
		}
		if err := w.look(arrived); err != nil {
			return err
		}
	}
	return nil
}

func (w *wire) look(arrived func(int64)) error {
	waiting, broken, err := w.inFlight()
	if err != nil {
		return err
	}
	if broken {
		w.lookAgain(arrived)
		return w.ending()
	}
	w.at(w.written.Load()-int64(waiting), arrived)
	if !w.hasArrived() && time.Since(w.moved) > w.limits.stall {
		return fmt.Errorf("%w for %v", errStalled, w.limits.stall)
	}
	return nil
}

// lookAgain is for a connection that has broken. TCP still knows what was
// acknowledged; a Unix socket has forgotten what was not read.
func (w *wire) lookAgain(arrived func(int64)) {
	if _, tcp := w.conn.(*net.TCPConn); !tcp {
		return
	}
	if waiting, _, err := w.inFlight(); err == nil {
		w.at(w.written.Load()-int64(waiting), arrived)
	}
}

func (w *wire) hasArrived() bool { return w.arrived == w.written.Load() }

func (w *wire) at(position int64, arrived func(int64)) {
	if position > w.arrived {
		w.arrived, w.moved = position, time.Now()
		arrived(position)
	}
}

// inFlight asks how many octets have not arrived, and after that whether the
// connection had broken: then a Unix socket's answer is worth nothing.
func (w *wire) inFlight() (octets int, broken bool, err error) {
	controlled := w.raw.Control(func(fd uintptr) {
		if octets, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ); err != nil {
			return
		}
		poll := []unix.PollFd{{Fd: int32(fd)}}
		if _, err = unix.Poll(poll, 0); errors.Is(err, unix.EINTR) {
			err = nil
		}
		broken = poll[0].Revents&(unix.POLLERR|unix.POLLHUP) != 0
	})
	if err = errors.Join(controlled, err); err != nil {
		err = fmt.Errorf("ask how much has arrived: %w", err)
	}
	return octets, broken, err
}

// ending is why a connection has broken.
func (w *wire) ending() error {
	var cause error
	_ = w.raw.Control(func(fd uintptr) {
		if errno, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR); err == nil && errno != 0 {
			cause = unix.Errno(errno)
		}
	})
	if cause == nil {
		cause = errClosed
	}
	return cause
}

func (w *wire) position() int64 { return w.written.Load() }

func (w *wire) close() {
	if tcp, ok := w.conn.(*net.TCPConn); ok && !w.hasArrived() {
		_ = tcp.SetLinger(0)
	}
	_ = w.conn.Close()
}

// bareNetwork strips operation and address: the sink's own error has them.
func bareNetwork(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	var call *os.SyscallError
	if errors.As(err, &call) {
		err = call.Err
	}
	return err
}

// A backoff is how long to wait before the next try: twice as long each time, up
// to a bound, and shorter by chance, so that many do not come at once.
type backoff struct {
	limits *limits
	tries  int
}

func (b *backoff) next() time.Duration {
	d := min(b.limits.pauseMin<<min(b.tries, 20), b.limits.pauseMax)
	b.tries++
	return d/2 + rand.N(d/2+1)
}
