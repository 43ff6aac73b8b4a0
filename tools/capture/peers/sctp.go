package main

import (
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/pion/logging"
	"github.com/pion/sctp"
)

// rawConn is SCTP packets to and from one peer over a raw IPv4 socket.
type rawConn struct {
	*net.IPConn
	peer *net.IPAddr
}

func (c rawConn) Write(b []byte) (int, error) { return c.WriteTo(b, c.peer) }

func (c rawConn) Read(b []byte) (int, error) {
	n, _, err := c.ReadFrom(b)
	return n, err
}

func (c rawConn) RemoteAddr() net.Addr { return c.peer }

func sctpConfig(addr, peer string) (sctp.Config, error) {
	conn, err := net.ListenIP("ip4:132", &net.IPAddr{IP: net.ParseIP(addr)})
	if err != nil {
		return sctp.Config{}, fmt.Errorf("open raw SCTP socket on %s: %w", addr, err)
	}
	return sctp.Config{
		NetConn:       rawConn{conn, &net.IPAddr{IP: net.ParseIP(peer)}},
		LoggerFactory: logging.NewDefaultLoggerFactory(),
		MTU:           1400,
	}, nil
}

// sctpServer echoes the messages of one stream, until the association ends.
func sctpServer(args []string) error {
	config, err := sctpConfig(args[0], args[1])
	if err != nil {
		return err
	}
	association, err := sctp.Server(config)
	if err != nil {
		return fmt.Errorf("accept SCTP association: %w", err)
	}
	stream, err := association.AcceptStream()
	if err != nil {
		return fmt.Errorf("accept SCTP stream: %w", err)
	}
	buffer := make([]byte, 65536)
	for {
		n, err := stream.Read(buffer)
		if err != nil {
			return nil // the client is done
		}
		if _, err := stream.Write(buffer[:n]); err != nil {
			return fmt.Errorf("echo over SCTP: %w", err)
		}
	}
}

// sctpClient sends messages of growing size and waits for each to come back.
func sctpClient(args []string) error {
	config, err := sctpConfig(args[0], args[1])
	if err != nil {
		return err
	}
	association, err := sctp.Client(config)
	if err != nil {
		return fmt.Errorf("set up SCTP association: %w", err)
	}
	stream, err := association.OpenStream(1, sctp.PayloadTypeWebRTCBinary)
	if err != nil {
		return fmt.Errorf("open SCTP stream: %w", err)
	}
	buffer := make([]byte, 65536)
	for _, size := range []int{10, 100, 1000, 5000} {
		if _, err := stream.Write([]byte(strings.Repeat("x", size))); err != nil {
			return fmt.Errorf("send over SCTP: %w", err)
		}
		if _, err := stream.Read(buffer); err != nil {
			return fmt.Errorf("wait for echo over SCTP: %w", err)
		}
	}
	time.Sleep(300 * time.Millisecond) // the last acknowledgement
	return association.Close()
}
