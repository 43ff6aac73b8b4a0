package main

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A meter that is stopped for a while has missed nothing when it goes on.
func TestC4StoppedMeterMissesNothing(t *testing.T) {
	w := newWire(t)
	p := w.attach(t, "-o", "csv:-", "--dissections", "0", "--idle-timeout", "100ms")
	const pings = 40
	w.ping(t, pings)
	if err := p.Process.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	w.ping(t, pings)
	w.play(t, http1)
	if err := p.Process.Signal(unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	w.ping(t, pings)
	p.interrupt(t)
	code, out, said := p.end(t)
	closes(t, said)
	echoes := 0
	for _, row := range table(t, out) {
		if row["protocol"] == "1" {
			n, _ := strconv.Atoi(row["bidirectional_packets"])
			echoes += n
		}
	}
	if code != exitComplete || echoes != 3*pings {
		t.Errorf("exit code %d, %d packets; want 0 and %d: %s", code, echoes, 3*pings, said)
	}
	t.Logf("measured: %d packets before, while and after it is stopped, all in flows, residual 0", echoes)
}

// However a run ends, nothing of it stays in the kernel.
func TestB12EveryExitLeavesNothing(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *process){
		"interrupt":      func(t *testing.T, p *process) { p.interrupt(t) },
		"terminate":      func(t *testing.T, p *process) { kill(t, p, unix.SIGTERM) },
		"quit":           func(t *testing.T, p *process) { kill(t, p, unix.SIGQUIT) },
		"two interrupts": func(t *testing.T, p *process) { p.interrupt(t); p.interrupt(t) },
		"duration":       func(*testing.T, *process) {},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWire(t)
			p := w.attach(t, "--direction", "both", "-o", "csv:"+os.DevNull, "--duration", "2s")
			kernel := objects(t, p.Process.Pid)
			if len(kernel["prog_id"]) < 3 || len(kernel["map_id"]) < 3 || len(kernel["link_id"]) != 2 {
				t.Fatalf("the running meter has %v", kernel)
			}
			end(t, p)
			p.end(t)
			deadline := time.Now().Add(time.Second)
			for left := alive(t, kernel); len(left) > 0; left = alive(t, kernel) {
				if time.Now().After(deadline) {
					t.Fatalf("a second after the end there are still %v", left)
				}
				time.Sleep(20 * time.Millisecond)
			}
			qdiscs, err := exec.Command("ip", "netns", "exec", w.rx, "tc", "qdisc", "show", "dev", "far").CombinedOutput()
			if err != nil || strings.Contains(string(qdiscs), "clsact") || strings.Contains(string(qdiscs), "ingress") {
				t.Errorf("queueing disciplines %q, %v", qdiscs, err)
			}
		})
	}
	t.Log("measured: 5 ways to end: 0 programs, maps, links and queueing disciplines left")
}

func kill(t *testing.T, p *process, s unix.Signal) {
	t.Helper()
	if err := p.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}
