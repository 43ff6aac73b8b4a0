package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/bpf/bpftest"
)

// connect makes the wire again, after one of its ends was deleted.
func (w *wire) connect(t *testing.T) {
	t.Helper()
	ip(t, "link", "add", "near", "netns", w.tx, "mtu", "3000", "type", "veth", "peer", "name", "far", "netns", w.rx, "mtu", "3000")
	ip(t, "-n", w.tx, "link", "set", "near", "up")
	ip(t, "-n", w.rx, "link", "set", "far", "up")
	w.hasCarrier(t)
}

// hasCarrier waits until the near end takes frames: before, it drops them.
func (w *wire) hasCarrier(t *testing.T) {
	t.Helper()
	for range 200 {
		out, err := exec.Command("ip", "-n", w.tx, "-br", "link", "show", "near").Output()
		if err == nil && strings.Contains(string(out), " UP ") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the wire does not come up")
}

// status asks a meter by its control socket.
func (w *wire) status(t *testing.T, control string) (report statusReport) {
	t.Helper()
	code, out, said := w.runIn(t, "status", "--control", control, "--format", "json")
	if code != exitComplete {
		t.Fatalf("weir status: exit code %d: %s", code, said)
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return report
}

// until asks until the answer is as wanted.
func (w *wire) until(t *testing.T, control, what string, wanted func(*statusReport) bool) statusReport {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		report := w.status(t, control)
		if wanted(&report) {
			return report
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: the status is still %+v", what, report)
		}
	}
}

func inState(state string) func(*statusReport) bool {
	return func(s *statusReport) bool { return s.Interfaces[0].State == state }
}

func TestB7MeterWaitsForItsInterfaceAndGoesOn(t *testing.T) {
	for _, kind := range []string{"ending with the process", "pinned"} {
		t.Run(kind, func(t *testing.T) {
			w := newWire(t)
			dir := t.TempDir()
			out, control := filepath.Join(dir, "flows.ndjson"), filepath.Join(dir, "control")
			args := []string{"-o", out, "--control", control, "--dissections", "0"}
			if kind == "pinned" {
				args = append(args, "--pin", bpftest.PinPlace(t))
			}
			p := w.attach(t, args...)
			w.hasCarrier(t)
			w.sender(t).send(10, 3)
			w.until(t, control, "sent", func(s *statusReport) bool { return s.Ledger.Observed.Packets == 30 })
			start := time.Now()
			ip(t, "-n", w.tx, "link", "del", "near")
			w.until(t, control, "deleted", inState("gone"))
			noticed := time.Since(start)
			w.until(t, control, "written", func(s *statusReport) bool { return s.Ledger.Delivered.Packets == 30 && s.Ledger.Open.Packets == 0 })
			start = time.Now()
			w.connect(t)
			w.until(t, control, "returned", inState("observed"))
			attached := time.Since(start)
			w.sender(t).send(10, 4)
			w.until(t, control, "sent again", func(s *statusReport) bool { return s.Ledger.Observed.Packets == 70 })
			p.interrupt(t)
			code, _, said := p.end(t)
			if code != exitComplete || !strings.Contains(said, "far is gone: its flows are closed; waiting for it to return") ||
				!strings.Contains(said, "far has returned: metering native XDP") {
				t.Errorf("exit code %d: %s", code, said)
			}
			if kind == "pinned" {
				w.detachedIn(t, args[len(args)-1], out, 3)
			} else {
				closesIn(t, said, 3)
			}
			if packets, flows, _ := once(t, out); packets != 70 || flows != 20 {
				t.Errorf("%d packets in %d flows, want 70 in 20", packets, flows)
			}
			t.Logf("measured: %s: gone noticed within %v, attached again within %v, residual 0",
				kind, noticed.Round(time.Millisecond), attached.Round(time.Millisecond))
		})
	}
}

func TestB7ExitOnGoneEndsWithTheLastInterface(t *testing.T) {
	w := newWire(t)
	out := filepath.Join(t.TempDir(), "flows.ndjson")
	ip(t, "link", "add", "near2", "netns", w.tx, "type", "veth", "peer", "name", "far2", "netns", w.rx)
	p := w.attach(t, "far2", "--exit-on-gone", "-o", out, "--dissections", "0")
	w.hasCarrier(t)
	w.sender(t).send(10, 3)
	time.Sleep(200 * time.Millisecond)
	ip(t, "-n", w.rx, "link", "del", "far2")
	select {
	case <-p.done:
		t.Fatalf("weir ends with the first of two interfaces: %s", p.said.String())
	case <-time.After(time.Second):
	}
	start := time.Now()
	ip(t, "-n", w.rx, "link", "del", "far")
	code, _, said := p.end(t)
	if code != exitComplete || !strings.Contains(said, "far2 is gone: its flows are closed; waiting") || !strings.Contains(said, "far is gone: its flows are closed; ending") ||
		!strings.Contains(said, "L1 is not checked") {
		t.Errorf("exit code %d: %s", code, said)
	}
	t.Logf("measured: --exit-on-gone: exit code %d %v after the last was deleted", code, time.Since(start).Round(time.Millisecond))
	if packets, flows, _ := once(t, out); packets != 30 || flows != 10 {
		t.Errorf("%d packets in %d flows, want 30 in 10", packets, flows)
	}
	for _, line := range lines(string(read(t, out))) {
		if !strings.Contains(line, `"flow_end_reason": 4,`) {
			t.Errorf("a flow is not closed as forced: %s", line)
		}
	}
}

func TestB7PinnedMeterIsTakenUpWhenItsInterfaceHasReturned(t *testing.T) {
	w := newWire(t)
	pin, out := bpftest.PinPlace(t), filepath.Join(t.TempDir(), "flows.ndjson")
	args := []string{"--pin", pin, "--exit-on-gone", "-o", out, "--dissections", "0"}
	p := w.attach(t, args...)
	w.hasCarrier(t)
	w.sender(t).send(10, 3)
	time.Sleep(100 * time.Millisecond)
	ip(t, "-n", w.tx, "link", "del", "near")
	if code, _, said := p.end(t); code != exitComplete || !strings.Contains(said, "no interface is left; once one has returned, weir attach --pin "+pin) {
		t.Errorf("exit code %d: %s", code, said)
	}
	if got := w.statusOf(t, pin); got["gone"] != "far" || got["delivered"] != "30 packets, 4260 octets" {
		t.Errorf("status says %q", got)
	}
	if code, _, said := w.runIn(t, append([]string{"attach", "far"}, args...)...); code != exitFailed || !strings.Contains(said, "no such interface") {
		t.Errorf("without its interface: exit code %d: %s", code, said)
	}
	w.connect(t)
	p = w.attach(t, args...)
	w.sender(t).send(10, 4)
	time.Sleep(100 * time.Millisecond)
	p.interrupt(t)
	if code, _, said := p.end(t); code != exitComplete || !strings.Contains(said, "adopted the meter") {
		t.Errorf("exit code %d: %s", code, said)
	}
	w.detachedIn(t, pin, out, 3)
	if packets, flows, _ := once(t, out); packets != 70 || flows != 20 {
		t.Errorf("%d packets in %d flows, want 70 in 20", packets, flows)
	}
}

func TestB8StatusShowsTheNewName(t *testing.T) {
	w := newWire(t)
	pin, dir := bpftest.PinPlace(t), t.TempDir()
	out, control := filepath.Join(dir, "flows.ndjson"), filepath.Join(dir, "control")
	p := w.attach(t, "-o", out, "--control", control, "--pin", pin, "--dissections", "0")
	w.hasCarrier(t)
	s := w.sender(t)
	s.send(1, 3)
	ip(t, "-n", w.rx, "link", "set", "far", "down")
	ip(t, "-n", w.rx, "link", "set", "far", "name", "lan0")
	ip(t, "-n", w.rx, "link", "set", "lan0", "up")
	w.until(t, control, "renamed", func(s *statusReport) bool { return s.Interfaces[0].Name == "lan0" })
	w.hasCarrier(t)
	s.send(1, 4)
	for _, way := range [][]string{{"--control", control}, {"--pin", pin}} {
		code, text, said := w.runIn(t, append([]string{"status"}, way...)...)
		if code != exitComplete || !strings.Contains(text, "metering     lan0 (attached as far): native XDP\n") {
			t.Errorf("weir status %s: exit code %d: %s%s", way[0], code, text, said)
		}
	}
	w.until(t, control, "sent", func(s *statusReport) bool { return s.Ledger.Observed.Packets == 7 })
	p.interrupt(t)
	if code, _, said := p.end(t); code != exitComplete || !strings.Contains(said, "far is called lan0 now; its flows stay under far") {
		t.Errorf("exit code %d: %s", code, said)
	}
	w.detached(t, pin, out)
	if packets, flows, _ := once(t, out); packets != 7 || flows != 1 || !strings.Contains(string(read(t, out)), `"interface": "far"`) {
		t.Errorf("%d packets in %d flows", packets, flows)
	}
	t.Log("measured: renamed: status says the new name, flows keep the one they were attached under, one flow, residual 0")
}

// hears reads what a service manager is told, until it is what is wanted.
func hears(t *testing.T, conn *net.UnixConn, want string) {
	t.Helper()
	buffer := make([]byte, 4096)
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			t.Fatalf("the service manager is not told %s: %v", want, err)
		}
		if strings.HasPrefix(string(buffer[:n]), want) {
			return
		}
	}
}

func TestTheServiceManagerIsToldHowItIs(t *testing.T) {
	w := newWire(t)
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", fmt.Sprint(time.Second.Microseconds()))
	p := w.attach(t, "-o", "ndjson:"+os.DevNull, "--dissections", "0")
	hears(t, conn, "READY=1")
	hears(t, conn, "STATUS=metering far: native XDP")
	for range 3 {
		hears(t, conn, "WATCHDOG=1")
	}
	ip(t, "-n", w.rx, "link", "set", "far", "name", "lan0")
	hears(t, conn, "STATUS=metering lan0 (attached as far): native XDP")
	if err := p.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	hears(t, conn, "STOPPING=1")
	if code, _, said := p.end(t); code != exitComplete {
		t.Errorf("exit code %d: %s", code, said)
	}
}

func TestAppendGoesOnWithAFile(t *testing.T) {
	w := newWire(t)
	out := filepath.Join(t.TempDir(), "flows.csv")
	for _, args := range [][]string{{}, {"--append"}, {"--append"}} {
		p := w.attach(t, append(args, "-o", out, "--dissections", "0")...)
		w.hasCarrier(t)
		w.sender(t).send(5, 1)
		time.Sleep(100 * time.Millisecond)
		p.interrupt(t)
		if code, _, said := p.end(t); code != exitComplete {
			t.Fatalf("exit code %d: %s", code, said)
		}
	}
	if rows := table(t, read(t, out)); len(rows) != 15 {
		t.Errorf("%d flows of three runs of 5", len(rows))
	}
}

// Who reads a pinned meter is told of an interface that goes meanwhile, with the sandbox
// and without; it reads on.
func TestConsumeTellsOfAnInterfaceThatGoes(t *testing.T) {
	for name, more := range map[string][]string{"sandbox": nil, "no sandbox": {"--no-sandbox"}} {
		t.Run(name, func(t *testing.T) {
			w := newWire(t)
			pin, out := bpftest.PinPlace(t), filepath.Join(publicDir(t), "flows.ndjson")
			w.attach(t, "--pin", pin, "-o", out, "--dissections", "0").kill()
			p := w.start(t, append([]string{os.Args[0], "consume", "--pin", pin, "-o", out}, more...)...)
			ip(t, "-n", w.tx, "link", "del", "near")
			time.Sleep(4 * lookInterval) // it is looked more than once
			p.interrupt(t)
			code, _, said := p.end(t)
			if told := strings.Count(said, "far is gone, or in another network namespace: weir consume attaches nothing"); code != exitComplete || told != 1 {
				t.Errorf("exit code %d: %s", code, said)
			}
		})
	}
}
