//go:build cgo

package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// started runs weir as a shell does that was told a redirection.
func started(t *testing.T, redirection string, args ...string) (code int, said string) {
	t.Helper()
	c := exec.Command("sh", append([]string{"-c", `exec "$0" "$@" ` + redirection, os.Args[0]}, args...)...)
	c.Env = append(os.Environ(), asWeir+"=1")
	var stderr bytes.Buffer
	c.Stderr = &stderr
	if err := c.Run(); c.ProcessState == nil {
		t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), stderr.String()
}

// What cannot be written to standard output is never taken for written.
func TestStandardOutputThatIsClosedOrFullIsNoSuccess(t *testing.T) {
	file := filepath.Join(t.TempDir(), "flows.csv")
	const anywhere = "--dissections=0"
	for _, c := range []struct {
		args         string
		closed, full int
		said         string // of the full one
	}{
		{"replay " + anywhere + " " + http1, exitFailed, exitLoss, "no space left on device"},
		{"replay " + anywhere + " -o csv:- " + http1, exitFailed, exitLoss, "not sent: csv:-"},
		{"replay " + anywhere + " -o table:- " + http1, exitFailed, exitLoss, "not sent: table:-"},
		{"replay " + anywhere + " -o csv:- -f udp " + http1, exitFailed, exitFailed, "no space left on device"}, // a header, and no flow
		{"replay " + anywhere + " -o " + file + " " + http1, exitComplete, exitComplete, ""},
		{"attach lo " + anywhere, exitFailed, -1, ""},
		{"consume --pin /nonexistent", exitFailed, -1, ""},
		{"detach --pin /nonexistent", exitFailed, -1, ""},
		{"schema", exitFailed, exitFailed, "no space left on device"},
		{"schema --format json", exitFailed, exitFailed, "no space left on device"},
		{"version", exitFailed, exitFailed, "no space left on device"},
		{"doctor", exitFailed, exitFailed, "no space left on device"},
		{"--help", exitFailed, exitFailed, "no space left on device"},
		{"replay --help", exitFailed, exitFailed, "no space left on device"},
	} {
		t.Run(c.args, func(t *testing.T) {
			code, said := started(t, ">&-", strings.Fields(c.args)...)
			if code != c.closed || code == exitFailed && (len(lines(said)) != 1 || !strings.Contains(said, "standard output: it is closed")) {
				t.Errorf("closed: exit code %d, %q; want %d", code, said, c.closed)
			}
			if c.full < 0 {
				return
			}
			if code, said = started(t, ">/dev/full", strings.Fields(c.args)...); code != c.full || !strings.Contains(said, c.said) {
				t.Errorf("full: exit code %d, %q; want %d and %q", code, said, c.full, c.said)
			}
			if code, said = started(t, ">/dev/null", strings.Fields(c.args)...); strings.Contains(said, "write") {
				t.Errorf("/dev/null: exit code %d, %q", code, said)
			}
		})
	}
}

// Files are written all the same, by a child as well.
func TestAMeterWithAFileNeedsNoStandardOutput(t *testing.T) {
	w, path := newWire(t), filepath.Join(publicDir(t), "flows.csv")
	c := exec.Command("ip", "netns", "exec", w.rx, "sh", "-c", `exec "$0" attach far -o "$1" --dissections 0 --duration 100ms >&-`, os.Args[0], path)
	c.Env = append(os.Environ(), asWeir+"=1")
	said, err := c.CombinedOutput()
	if err != nil || !bytes.HasPrefix(read(t, path), []byte("id,")) {
		t.Errorf("%v: %s", err, said)
	}
}

// Who reads both, as in 2>&1 | head, may leave before the summary.
func TestAReaderThatLeavesBothStreamsIsNoFault(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	c := exec.Command(os.Args[0], "replay", "--dissections=0", http1)
	c.Env, c.Stdout, c.Stderr = append(os.Environ(), asWeir+"=1"), w, w
	if err := errors.Join(c.Run(), w.Close()); err != nil {
		t.Error(err)
	}
}

// A capture waits for the reader of a FIFO, but not when it is told to end: one signal is
// all that timeout sends.
func TestReplayIntoAFIFOThatNobodyReadsEndsByASignal(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.Command("timeout", "--signal=TERM", "--kill-after=60", "1", os.Args[0], "replay", "--dissections=0", "--drain", "200ms", "-o", "csv:"+fifo, http1)
	var said bytes.Buffer
	c.Env, c.Stderr = append(os.Environ(), asWeir+"=1"), &said
	_ = c.Run() // timeout says that it was needed
	if c.ProcessState.ExitCode() != 124 || !strings.Contains(said.String(), "not sent: csv:"+fifo+" (no reader)") || !strings.Contains(said.String(), "66 packets, 100 %, were lost or not sent") {
		t.Errorf("%v: %s", c.ProcessState, said.String())
	}
}
