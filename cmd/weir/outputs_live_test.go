package main

import (
	"bytes"
	"encoding/csv"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/tools/soak"
)

// ledgerTerm is how many packets a line of the summary's ledger has, 0 without one.
func ledgerTerm(t *testing.T, said, name string) (packets uint64) {
	t.Helper()
	m := regexp.MustCompile(`(?m)^ +` + regexp.QuoteMeta(name) + ` +(\d+)`).FindStringSubmatch(said)
	if m != nil {
		packets, _ = strconv.ParseUint(m[1], 10, 64)
	}
	return packets
}

// packetsWritten adds up the packets of flows in CSV. There may be millions.
func packetsWritten(t *testing.T, content []byte) (packets uint64) {
	t.Helper()
	rows := csv.NewReader(bytes.NewReader(content))
	rows.ReuseRecord = true
	header, err := rows.Read()
	if err != nil {
		t.Fatalf("CSV without a header: %v", err)
	}
	column := slices.Index(header, "bidirectional_packets")
	for {
		row, err := rows.Read()
		if err == io.EOF {
			return packets
		}
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.ParseUint(row[column], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		packets += n
	}
}

// settled waits until a file does not grow any more.
func settled(t *testing.T, path string) {
	t.Helper()
	size, same := int64(-1), 0
	for range 200 {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if same++; info.Size() != size {
			size, same = info.Size(), 0
		}
		if same == 8 && size > 0 {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("%s grows and grows", path)
}

// A disk is full for a while: metering goes on, what found no room in the queue either
// is counted, and once there is space again what waited is written, and what comes.
func TestG1OutputGoesOnWhenSpaceReturns(t *testing.T) {
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatalf("mount a file system of 1 MiB: %v (this test needs CAP_SYS_ADMIN: run as root)", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(disk, unix.MNT_DETACH) })
	other, path := filepath.Join(disk, "other"), filepath.Join(disk, "flows.csv")
	if err := os.WriteFile(other, make([]byte, 768<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWire(t)
	p := w.attach(t, "-o", path, "--queue-flows", "500", "--dissections", "0", "--idle-timeout", "200ms")
	s := w.sender(t)
	const before, after = 5000, 200
	s.send(before, 1)
	settled(t, path)
	full := len(table(t, read(t, path)))
	if err := os.Remove(other); err != nil {
		t.Fatal(err)
	}
	s.send(after, 3)
	time.Sleep(600 * time.Millisecond)
	p.interrupt(t)
	code, _, said := p.end(t)
	closes(t, said)
	rows, written := table(t, read(t, path)), packetsWritten(t, read(t, path))
	late := 0
	for _, row := range rows {
		if row["bidirectional_packets"] == "3" {
			late++
		}
	}
	refused, causes := notSent(said)
	if full == 0 || full >= before || late != after {
		t.Errorf("%d of %d flows are written until the disk is full, %d of %d after that", full, before, late, after)
	}
	if code != exitLoss || causes["no space"] == 0 || written+refused != s.sent.Load() {
		t.Errorf("exit code %d; %d packets are written and %d not, of %d: %s", code, written, refused, s.sent.Load(), said)
	}
	t.Logf("measured: of %d flows %d fit on the disk; with space again all %d that came then, %d packets not written and counted, whole records only, residual 0",
		before, full, late, refused)
}

// take reads what a process writes, 80 KB a second while it is to be slow, until it is
// stopped.
func take(from io.Reader, slow *atomic.Bool, stop <-chan struct{}) (all []byte) {
	for chunk := make([]byte, 4096); ; {
		select {
		case <-stop:
			return all
		default:
		}
		n, _ := from.Read(chunk)
		all = append(all, chunk[:n]...)
		if slow.Load() {
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// A reader takes far less than there is: memory stays as it is, every frame is
// observed, and what found no place is counted.
func TestG2SlowReaderCostsNoMemoryAndNoFrameUncounted(t *testing.T) {
	w := newWire(t)
	p := w.attach(t, "-o", "csv:-", "--dissections", "0", "--idle-timeout", "100ms", "--max-flows", "20000")
	s := w.sender(t)
	var slow atomic.Bool
	stop, taken := make(chan struct{}), make(chan []byte)
	go func() { taken <- take(p.out, &slow, stop) }()
	slow.Store(true)
	s.warmUp(p.Process.Pid) // to the bounds, the queue's included
	warm, _ := used(t, p.Process.Pid)
	length, sent := soak.Of(2*time.Second, 30*time.Second), s.sent.Load()
	s.flood(length)
	end, _ := used(t, p.Process.Pid)
	offered := float64(s.sent.Load()-sent) * 200 / length.Seconds()
	close(stop)
	out := <-taken
	p.interrupt(t)
	code, rest, said := p.end(t)
	closes(t, said)
	written := packetsWritten(t, append(out, rest...))
	refused, _ := notSent(said)
	lost := ledgerTerm(t, said, "lost") + refused
	if end > warm+warm/10 {
		t.Errorf("%d KiB resident, %d when it had warmed up", end, warm)
	}
	if code != exitLoss || lost == 0 || written+lost != s.sent.Load() || ledgerTerm(t, said, "metered") != s.sent.Load() {
		t.Errorf("exit code %d; %d packets are written and %d lost, of %d: %s", code, written, lost, s.sent.Load(), said)
	}
	t.Logf("measured: a reader at some %.1f %% of the rate: %d MiB resident when warmed up, %d at the end; %d frames observed, %d in flows, %d lost and counted, residual 0",
		100*4096*20/offered, warm>>10, end>>10, s.sent.Load(), written, lost)
}
