package sink

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// napping returns what has a reader sleep again and again, as one does that writes to a
// disk or shares its processor.
func napping() func() {
	awake := time.Now()
	return func() {
		if time.Since(awake) > 10*time.Millisecond {
			time.Sleep(100 * time.Millisecond)
			awake = time.Now()
		}
	}
}

// A burst of flows goes out no faster than a collector reads that looks up now and then:
// what its socket has no room for, nobody would tell of.
func TestG3BurstOverUDPLeavesTheCollectorTime(t *testing.T) {
	p := gatherNow(t, "127.0.0.1:0", napping())
	if err := setReceiveBuffer(p.UDPConn, 4<<20); err != nil {
		t.Fatal(err)
	}
	s := openExporter(t, "udp://"+p.LocalAddr().String(), WithDrain(time.Minute))
	const flows = 40_000
	for n := uint64(1); n <= flows; n++ {
		if err := s.Write(numbered(n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	sessions := p.sessions(t)
	if got := checkArrivals(t, sessions); len(got) != flows || len(sessions) != 1 {
		t.Errorf("of %d flows %d arrived, in %d sessions", flows, len(got), len(sessions))
	}
}

func TestDatagramsKeepTheirPace(t *testing.T) {
	p := &pace{octets: 1_000_000}
	begun := time.Now()
	for range 200 {
		if err := p.wait(context.Background(), 1000); err != nil {
			t.Fatal(err)
		}
	}
	if took, least := time.Since(begun), 199*time.Millisecond-paceBurst; took < least {
		t.Errorf("200,000 octets at 1,000,000 a second took %v, want %v at least", took, least)
	}
	ended, end := context.WithCancel(context.Background())
	end()
	p.due = time.Now().Add(time.Hour)
	if err := p.wait(ended, 1000); err == nil {
		t.Error("the wait for the next does not end with its context")
	}
}

func TestPauseAllowsNoMoreThanABurst(t *testing.T) {
	p := &pace{octets: 1_000_000, due: time.Now().Add(-time.Hour)}
	if err := p.wait(context.Background(), 1_000_000); err != nil {
		t.Fatal(err)
	}
	if ahead := time.Until(p.due); ahead < time.Second/2 {
		t.Errorf("after an hour's pause and a second's octets the next is due in %v", ahead)
	}
}

func TestNoPaceIsNoWait(t *testing.T) {
	p := &pace{}
	for range 3 {
		if err := p.wait(context.Background(), 1<<30); err != nil || !p.due.IsZero() {
			t.Errorf("%v, the next is due at %v", err, p.due)
		}
	}
}

// setReceiveBuffer is SetReadBuffer beyond what the system allows everyone.
func setReceiveBuffer(conn *net.UDPConn, octets int) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	controlled := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, octets)
	})
	return errors.Join(controlled, err)
}
