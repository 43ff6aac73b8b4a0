package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/tools/soak"
)

// Files are renamed and opened anew while flows are written: each flow is in one of
// them, whole.
func TestC2FilesRotatedOnSIGHUPHoldEveryFlowOnce(t *testing.T) {
	w := newWire(t)
	path := filepath.Join(t.TempDir(), "flows.ndjson")
	p := w.attach(t, "-o", path, "--idle-timeout", "20ms", "--dissections", "0", "-v")
	s, rotations := w.sender(t), soak.Of(20, 100)
	s.start()
	written := 0
	for n := range rotations {
		rotated := fmt.Sprintf("%s.%03d", path, n)
		if err := os.Rename(path, rotated); err != nil {
			t.Fatal(err)
		}
		kill(t, p, unix.SIGHUP)
		p.opensAnew(t, path)
		if info, err := os.Stat(rotated); err == nil && info.Size() > 0 {
			written++
		}
		time.Sleep(20 * time.Millisecond)
	}
	s.halt()
	p.interrupt(t)
	code, _, said := p.end(t)
	closes(t, said)
	files, err := filepath.Glob(path + "*")
	if err != nil {
		t.Fatal(err)
	}
	all := join(t, files)
	packets, flows, again := once(t, all)
	if code != exitComplete || len(files) != rotations+1 || packets != s.sent.Load() || again != 0 {
		t.Errorf("exit code %d, %d packets in %d files, %d flows twice; want %d in %d: %s",
			code, packets, len(files), again, s.sent.Load(), rotations+1, said)
	}
	if written < rotations/2 {
		t.Errorf("%d of %d files had flows as they were rotated: this is no load", written, rotations)
	}
	t.Logf("measured: %d rotations under load: %d packets of %d, in %d flows, each once, in %d files",
		rotations, packets, s.sent.Load(), flows, len(files))
}

// opensAnew waits until a file that was renamed is there again.
func (p *process) opensAnew(t *testing.T, path string) {
	t.Helper()
	for tries := 0; !exists(path); tries++ {
		if tries > 500 {
			t.Fatal("the file is not opened anew")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// join writes files into one, whose path it returns.
func join(t *testing.T, files []string) string {
	t.Helper()
	var all strings.Builder
	for _, file := range files {
		all.Write(read(t, file))
	}
	path := filepath.Join(t.TempDir(), "all")
	if err := os.WriteFile(path, []byte(all.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
