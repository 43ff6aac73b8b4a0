package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestC1SignalsThatComeTogetherAreOneWish(t *testing.T) {
	for name, c := range map[string]struct {
		apart time.Duration
		want  int
	}{
		"together": {time.Hour, 1},
		"apart":    {0, 3},
	} {
		t.Run(name, func(t *testing.T) {
			from, to := make(chan os.Signal, 3), make(chan os.Signal, 3)
			from <- unix.SIGTERM
			from <- unix.SIGTERM
			from <- unix.SIGHUP
			close(from)
			wishes(from, to, c.apart)
			if len(to) != c.want {
				t.Errorf("%d signals were passed on, want %d", len(to), c.want)
			}
		})
	}
}

// As timeout(1) does, which signals the process and then its group.
func TestC1SignalToTheProcessAndToItsGroupEndsTheRunInOrder(t *testing.T) {
	w := newWire(t)
	p := w.attach(t, "--no-sandbox", "-o", filepath.Join(t.TempDir(), "flows.ndjson"))
	w.ping(t, 3)
	p.interrupt(t)
	time.Sleep(sameWish / 25) // the first is taken before the second comes
	p.interrupt(t)
	code, _, said := p.end(t)
	if code != exitComplete || strings.Contains(said, "twice") {
		t.Errorf("exit code %d: %s", code, said)
	}
	closes(t, said)
}
