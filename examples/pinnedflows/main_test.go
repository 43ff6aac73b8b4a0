package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weirflow/weir/bpf/bpftest"
	"github.com/weirflow/weir/loader"
	"github.com/weirflow/weir/userspace"
)

const nobody, readers, strangers = 65533, 65532, 65531

// The program is built and run as a user without privilege: a member of the
// directory's group reads what ping makes, once; a second is refused, a stranger too.
func TestH6UnprivilegedProgramReadsAPinnedMeterAlone(t *testing.T) {
	bpftest.NewNamespace(t)
	program, pin := places(t)
	config := userspace.DefaultConfig()
	config.IdleTimeout = 200 * time.Millisecond
	meter, err := loader.Attach([]string{"lo"}, loader.Options{Config: loader.Config(config), Direction: loader.DirectionBoth, Pin: pin})
	if err != nil {
		t.Fatal(err)
	}
	if err := meter.Close(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := loader.Discard(pin); err != nil {
			t.Error(err)
		}
	})
	if out, err := exec.Command("chgrp", "-R", "65532", pin).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	ping(t)
	if said := refusal(t, program, pin, strangers); !strings.Contains(said, "permission denied") {
		t.Errorf("a stranger is told %q", said)
	}

	reader, out := start(t, program, pin)
	if said := refusal(t, program, pin, readers); !strings.Contains(said, "in use by") {
		t.Errorf("a second reader is told %q", said)
	}
	time.Sleep(3 * config.IdleTimeout)
	ping(t) // while it reads
	time.Sleep(3 * config.IdleTimeout)
	interrupt(t, reader)
	// Loopback shows each packet twice: leaving, and arriving.
	const flow = "127.0.0.1:0 -> 127.0.0.1:0 protocol 1: 12 packets, 1176 octets\n"
	if n := strings.Count(out.String(), flow); n != 2 {
		t.Errorf("the flow came %d times, want 2:\n%s", n, out.String())
	}

	reader, out = start(t, program, pin)
	time.Sleep(config.IdleTimeout)
	interrupt(t, reader)
	if out.Len() > 0 {
		t.Errorf("what was read comes again: %s", out.String())
	}
}

// places are the program, and where a meter can be pinned, which others may reach.
func places(t *testing.T) (program, pin string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "weir-pinnedflows-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	program, mount := filepath.Join(dir, "pinnedflows"), filepath.Join(dir, "bpf")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(mount, 0o755)); err != nil {
		t.Fatal(err)
	}
	bpftest.MountFileSystem(t, mount, "mode=0755")
	return program, filepath.Join(mount, "meter")
}

func as(group uint32, program, pin string) *exec.Cmd {
	c := exec.Command(program, pin)
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: group}}
	return c
}

// refusal is what the program says when it cannot read the meter.
func refusal(t *testing.T, program, pin string, group uint32) string {
	t.Helper()
	said, err := as(group, program, pin).CombinedOutput()
	if err == nil {
		t.Errorf("a reader of group %d is let in", group)
	}
	return string(said)
}

func start(t *testing.T, program, pin string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	out := new(bytes.Buffer)
	c := as(readers, program, pin)
	c.Stdout = out
	messages, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill() })
	lines := bufio.NewReader(messages)
	if line, _ := lines.ReadString('\n'); !strings.HasPrefix(line, "reading ") {
		t.Fatalf("it says %q", line)
	}
	go func() { _, _ = io.Copy(io.Discard, lines) }()
	return c, out
}

func interrupt(t *testing.T, c *exec.Cmd) {
	t.Helper()
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Errorf("it ends with %v", err)
	}
}

func ping(t *testing.T) {
	t.Helper()
	if out, err := exec.Command("ping", "-c", "3", "-i", "0.02", "127.0.0.1").CombinedOutput(); err != nil {
		t.Fatalf("ping: %v\n%s", err, out)
	}
}
