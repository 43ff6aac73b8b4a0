package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/bpf/bpftest"
)

// listenIn listens in a namespace; at a path, in any.
func listenIn(t *testing.T, namespace, network, address string) net.Listener {
	t.Helper()
	type opened struct {
		net.Listener
		error
	}
	result := make(chan opened)
	go func() { // its thread is spoilt, and ends with it
		runtime.LockOSThread()
		ns, err := netns.GetFromName(namespace)
		if err == nil {
			err = netns.Set(ns)
			_ = ns.Close()
		}
		if err != nil {
			result <- opened{nil, err}
			return
		}
		l, err := net.Listen(network, address)
		result <- opened{l, err}
	}()
	o := <-result
	if o.error != nil {
		t.Fatal(o.error)
	}
	t.Cleanup(func() { _ = o.Close() })
	return o.Listener
}

// accepted are the connections of a listener, which nobody reads.
func accepted(l net.Listener) <-chan net.Conn {
	all := make(chan net.Conn, 100)
	go func() {
		defer close(all)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all <- conn
		}
	}()
	return all
}

var notSentLine = regexp.MustCompile(`(?m)^ +not sent: (\S+) \(([a-zA-Z ]+)\) +(\d+)`)

// notSent is what the summary says was not sent, by cause.
func notSent(said string) (packets uint64, causes map[string]uint64) {
	causes = map[string]uint64{}
	for _, m := range notSentLine.FindAllStringSubmatch(said, -1) {
		n, _ := strconv.ParseUint(m[3], 10, 64)
		causes[m[2]] += n
		packets += n
	}
	return packets, causes
}

// packetsIn adds up the packets of whole lines.
func packetsIn(t *testing.T, r io.Reader) (packets uint64) {
	t.Helper()
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return packets
		}
		var row struct {
			Packets uint64 `json:"bidirectional_packets"`
		}
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatalf("a record is not whole: %q", line)
		}
		packets += row.Packets
	}
}

// rss is the resident memory of a process and of those that it started, in KiB. ip netns
// exec becomes weir.
func (p *process) rss(t *testing.T) (kib int) {
	t.Helper()
	kib, _ = used(t, p.Process.Pid)
	return kib
}

// The other output has every flow, and the ledger closes.
func TestG3DeadCollectorCostsItsFlowsOnly(t *testing.T) {
	for name, c := range map[string]struct {
		network, address, cause string
		prepare                 func(*testing.T, *wire, net.Listener)
	}{
		"nobody listens": {network: "unix", cause: "no connection",
			prepare: func(_ *testing.T, _ *wire, l net.Listener) { _ = l.Close() }},
		"it accepts and does not read": {network: "unix", cause: "too slow",
			prepare: func(_ *testing.T, _ *wire, l net.Listener) { accepted(l) }},
		"its answers do not come": {network: "tcp", address: "198.51.100.1:5170", cause: "too slow",
			prepare: func(t *testing.T, w *wire, l net.Listener) {
				conn := <-accepted(l)
				t.Cleanup(func() { _ = conn.Close() })
				ip(t, "-n", w.tx, "route", "add", "blackhole", "198.51.100.2/32")
			}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWire(t)
			if c.address == "" {
				c.address = filepath.Join(t.TempDir(), "s")
			}
			l := listenIn(t, w.tx, c.network, c.address)
			file, output := filepath.Join(t.TempDir(), "flows.ndjson"), "ndjson:"+c.network+"://"+c.address
			s := w.sender(t)
			p := w.attach(t, "-o", output, "-o", file, "--queue-flows", "1000", "--drain", "200ms", "--dissections", "0", "--idle-timeout", "50ms")
			c.prepare(t, w, l)
			for range 16 {
				s.send(500, 1)
				time.Sleep(100 * time.Millisecond)
			}
			p.interrupt(t)
			code, _, said := p.end(t)
			if code != exitLoss {
				t.Errorf("exit code %d, want %d", code, exitLoss)
			}
			closes(t, said)
			all, causes := notSent(said)
			if causes[c.cause] == 0 || causes[c.cause] < all/2 {
				t.Errorf("not sent: %v; want most for %q", causes, c.cause)
			}
			if c.network == "unix" && all != s.sent.Load() {
				t.Errorf("%d packets not sent, want all %d", all, s.sent.Load())
			}
			if packets, _, _ := once(t, file); packets != s.sent.Load() {
				t.Errorf("the other output has %d packets, %d were sent", packets, s.sent.Load())
			}
			if n := strings.Count(said, "weir: write "+output); n == 0 || n > 3 {
				t.Errorf("it is told %d times: want a line for each cause", n)
			}
			if t.Failed() {
				t.Log(said)
			}
			t.Logf("measured: %d packets sent, not sent by cause %v", s.sent.Load(), causes)
		})
	}
}

// packetsOver are those in the flows that the first connection to l brings, which is
// read from that time after it on; 0 without a connection.
func packetsOver(t *testing.T, l net.Listener, after time.Duration) <-chan uint64 {
	packets := make(chan uint64)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			packets <- 0
			return
		}
		defer conn.Close()
		time.Sleep(after)
		packets <- packetsIn(t, conn)
	}()
	return packets
}

// What a pinned meter's reader could not deliver comes again to the next.
func TestG3FlowsThatDidNotArriveStayWithAPinnedMeter(t *testing.T) {
	w := newWire(t)
	s, pin, file := w.sender(t), bpftest.PinPlace(t), filepath.Join(t.TempDir(), "flows.ndjson")
	address := filepath.Join(t.TempDir(), "s")
	p := w.attach(t, "--pin", pin, "-o", "ndjson:unix://"+address, "--dissections", "0", "--idle-timeout", "100ms", "--drain", "200ms")
	s.send(100, 3)
	time.Sleep(500 * time.Millisecond)
	p.interrupt(t)
	if code, _, said := p.end(t); code != exitLoss || !strings.Contains(said, "(no connection)") {
		t.Errorf("exit code %d: %s", code, said)
	}

	l := listenIn(t, w.tx, "unix", address)
	got := packetsOver(t, l, 0)
	code, _, said := w.runIn(t, "consume", "--pin", pin, "-o", "ndjson:unix://"+address, "--duration", "1s")
	if n := <-got; code != exitComplete || n != 300 {
		t.Errorf("exit code %d, %d packets of 300: %s", code, n, said)
	}
	w.detached(t, pin, file)
	if packets, _, _ := once(t, file); packets != 0 {
		t.Errorf("%d packets come again although they have arrived", packets)
	}
}

func TestAFileIsSentAsFastAsTheCollectorReads(t *testing.T) {
	address := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := packetsOver(t, l, 300*time.Millisecond)
	code, f := weir(t, "replay", "--queue-flows", "1", "--dissections", "0", "-o", "ndjson:unix://"+address, http1)
	if n := <-got; code != exitComplete || n != 66 {
		t.Errorf("exit code %d, %d packets of 66: %s", code, n, f.err.String())
	}
}

// A reader at a small part of the rate costs what it does not take, and holds neither
// metering nor the other output up. Memory stays.
func TestG2SlowOutputCostsItsFlowsOnly(t *testing.T) {
	w := newWire(t)
	dir := t.TempDir()
	pipe, file := filepath.Join(dir, "pipe"), filepath.Join(dir, "flows.ndjson")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(pipe, os.O_RDWR, 0) // it has a reader from the beginning on
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	stop := make(chan struct{})
	read := make(chan uint64)
	go func() {
		var packets uint64
		for lines := bufio.NewReader(reader); ; packets++ {
			select {
			case <-stop:
				read <- packets
				return
			case <-time.After(10 * time.Millisecond):
			}
			if _, err := lines.ReadString('\n'); err != nil {
				read <- packets
				return
			}
		}
	}()
	s := w.sender(t)
	p := w.attach(t, "-o", "ndjson:"+pipe, "-o", file, "--queue-flows", "4000", "--drain", "200ms", "--dissections", "0", "--idle-timeout", "50ms")
	send := func(times int) {
		for range times {
			s.send(2000, 1)
			time.Sleep(80 * time.Millisecond)
		}
	}
	send(10)
	before := p.rss(t)
	send(40)
	after := p.rss(t)
	close(stop)
	taken := <-read
	p.interrupt(t)
	code, _, said := p.end(t)
	closes(t, said)
	all, causes := notSent(said)
	// Of what a write is under way with at the end, and not confirmed, some may have been read.
	if code != exitLoss || causes["too slow"] < s.sent.Load()/2 || all-causes["not confirmed"]+taken > s.sent.Load() {
		t.Errorf("exit code %d, %d packets were read, not sent: %v", code, taken, causes)
	}
	if packets, _, _ := once(t, file); packets != s.sent.Load() {
		t.Errorf("the other output has %d packets, %d were sent", packets, s.sent.Load())
	}
	if after > before+24<<10 { // 80,000 flows are twice that
		t.Errorf("memory grew from %d to %d KiB", before, after)
	}
	if t.Failed() {
		t.Log(said)
	}
	t.Logf("measured: %d packets sent, %d read by the slow one, not sent %v, memory %d to %d KiB", s.sent.Load(), taken, causes, before, after)
}
