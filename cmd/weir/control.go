package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"time"
	"unsafe"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"
)

// The control socket answers questions to a meter that runs: a line of JSON asks,
// a line of JSON answers, and the connection is closed. Whatever else is said is not
// answered.

const (
	controlMode = 0o660
	// controlPathMax is what a struct sockaddr_un holds, without its end.
	controlPathMax = 107
	// controlOctets bounds a request.
	controlOctets = 4 << 10
	// controlAnswerOctets bounds what a client takes: every interface and output in
	// some 200 octets.
	controlAnswerOctets = 1 << 20
	// controlTime bounds a connection.
	controlTime = 2 * time.Second
	// controlConnections bounds those that are open at a time; further ones wait.
	controlConnections = 8
)

const commandStatus = "status"

// A controlRequest is what can be asked.
type controlRequest struct {
	Command string `json:"command"`
}

// parseRequest reads a request, which must be one and nothing else.
func parseRequest(line []byte) (r controlRequest, err error) {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return r, fmt.Errorf("read a request: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return r, errors.New("read a request: something follows it")
	}
	if r.Command != commandStatus {
		return r, fmt.Errorf("read a request: there is no command %q", r.Command)
	}
	return r, nil
}

// A control is the socket, and those who are connected.
type control struct {
	listener *net.UnixListener
	path     string
	file     os.FileInfo // of the socket, for who removes it
	place    *os.File    // the socket where it is bound, for its group: who answers may not be able to reach it
	uid      uint32      // that may ask, beside root
	answer   func() *statusReport
	slots    chan struct{}
	serving  sync.WaitGroup
	closed   bool
	handed   bool // another process removes it
}

// listenControl makes the socket beside its place and puts it there with its mode.
// What a weir that was killed left there is replaced.
func listenControl(path string) (c *control, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("listen at the control socket %s: %w", path, err)
		}
	}()
	if err := checkControlPath(path); err != nil {
		return nil, err
	}
	aside := fmt.Sprintf("%s.%d", path, os.Getpid())
	if len(aside) > controlPathMax {
		return nil, fmt.Errorf("with a process's number behind it, it is longer than the %d octets that a socket's path may have: choose a shorter one", controlPathMax)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: aside, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	c = &control{listener: l, path: path, uid: uint32(os.Geteuid()), slots: make(chan struct{}, controlConnections)}
	if err = os.Chmod(aside, controlMode); err == nil {
		c.file, err = os.Stat(aside)
	}
	if err == nil {
		c.place, err = os.OpenFile(aside, unix.O_PATH|unix.O_NOFOLLOW, 0)
	}
	if err == nil {
		err = os.Rename(aside, path)
	}
	if err != nil {
		_ = l.Close()
		_ = c.place.Close() // which may be nil
		return nil, errors.Join(err, os.Remove(aside))
	}
	return c, nil
}

// takeControl serves a socket that another process has made, and removes.
func takeControl(fd int, path string, uid uint32) (*control, error) {
	unix.CloseOnExec(fd)
	unix.CloseOnExec(fd + 1)
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("take over the control socket %s: %w", path, err)
	}
	unixListener, ok := l.(*net.UnixListener)
	if !ok {
		return nil, fmt.Errorf("take over the control socket %s: it is another socket: %w", path, errors.Join(errors.ErrUnsupported, l.Close()))
	}
	unixListener.SetUnlinkOnClose(false)
	return &control{listener: unixListener, path: path, place: os.NewFile(uintptr(fd+1), path), uid: uid, handed: true,
		slots: make(chan struct{}, controlConnections)}, nil
}

// checkControlPath says whether something is at path that must stay.
func checkControlPath(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&os.ModeSocket == 0:
		return errors.New("something else is there: choose another path")
	}
	conn, err := net.DialTimeout("unix", path, controlTime)
	if err == nil {
		_ = conn.Close()
		return errors.New("another process listens there: end it, or choose another path")
	}
	return nil
}

// serve answers until close.
func (c *control) serve(answer func() *statusReport) {
	c.answer = answer
	c.serving.Go(func() {
		for {
			conn, err := c.listener.AcceptUnix()
			if err != nil {
				return
			}
			c.slots <- struct{}{}
			c.serving.Go(func() {
				defer func() { <-c.slots }()
				c.attend(conn)
			})
		}
	})
}

// attend answers one request, if it is one and who asks may.
func (c *control) attend(conn *net.UnixConn) {
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(controlTime)); err != nil || !c.mayAsk(conn) {
		return
	}
	line, err := bufio.NewReaderSize(conn, controlOctets).ReadSlice('\n')
	if err != nil {
		return
	}
	if _, err := parseRequest(line); err != nil {
		return
	}
	_ = json.NewEncoder(conn).Encode(c.answer()) // who asked may have left
}

// mayAsk lets root ask, the user that the meter runs as, and the members of the
// group that the socket is of.
func (c *control) mayAsk(conn *net.UnixConn) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	var peer *unix.Ucred
	var groups []uint32
	if ctl := raw.Control(func(fd uintptr) {
		if peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			groups = peerGroups(int(fd))
		}
	}); ctl != nil || err != nil {
		return false
	}
	return allowed(peer, groups, c.uid, c.group())
}

func allowed(peer *unix.Ucred, groups []uint32, uid uint32, gid int) bool {
	return peer.Uid == 0 || peer.Uid == uid ||
		gid >= 0 && (peer.Gid == uint32(gid) || slices.Contains(groups, uint32(gid)))
}

// group is the one that the socket is of, -1 if it is there no more.
func (c *control) group() int {
	var s unix.Stat_t
	if unix.Fstat(int(c.place.Fd()), &s) != nil || s.Nlink == 0 {
		return -1
	}
	return int(s.Gid)
}

// peerGroupsMax is NGROUPS_MAX.
const peerGroupsMax = 65536

// peerGroups are the supplementary groups of whoever is at the other end.
func peerGroups(fd int) []uint32 {
	for n := uint32(64); n <= peerGroupsMax; n *= 32 {
		groups := make([]uint32, n)
		octets := n * 4
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&groups[0])), uintptr(unsafe.Pointer(&octets)), 0)
		if errno == 0 {
			return groups[:octets/4]
		}
		if errno != unix.ERANGE {
			return nil
		}
	}
	return nil
}

// close ends the answers, and removes the socket if it is still this one. A second
// call does nothing.
func (c *control) close() error {
	if c == nil || c.closed {
		return nil
	}
	c.closed = true
	err := c.listener.Close()
	c.serving.Wait()
	err = errors.Join(err, c.place.Close())
	if c.handed {
		return err
	}
	if info, there := os.Lstat(c.path); there == nil && os.SameFile(info, c.file) {
		err = errors.Join(err, os.Remove(c.path))
	}
	return err
}

func controlFlag(into *string, usage string) cli.Flag {
	return &cli.StringFlag{Name: "control", Destination: into, Category: categoryAttachment, Usage: usage}
}

// askControl asks a meter for its status.
func askControl(path string) (*statusReport, error) {
	conn, err := net.DialTimeout("unix", path, controlTime)
	if err != nil {
		return nil, fmt.Errorf("ask the meter at %s: %w: is weir attach --control %s running, and are you in the socket's group?", path, err, path)
	}
	defer conn.Close()
	report := &statusReport{}
	if err = conn.SetDeadline(time.Now().Add(controlTime)); err == nil {
		err = json.NewEncoder(conn).Encode(controlRequest{commandStatus})
	}
	if err == nil {
		err = json.NewDecoder(io.LimitReader(conn, controlAnswerOctets)).Decode(report)
	}
	if err != nil {
		return nil, fmt.Errorf("ask the meter at %s: it does not answer (%w): only root, its own user and the socket's group may ask, and a weir of the same release", path, err)
	}
	return report, nil
}
