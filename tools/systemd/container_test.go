package systemd

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// patience is for what takes a second or two on an idle machine.
const patience = 60 * time.Second

// A container is one that boot.sh has made: systemd is its first process.
type container struct {
	first string // the pid, as seen from here
	group string
}

// boot boots one. It is gone when the test is, and when the test's process is.
func boot(t *testing.T) *container {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("making namespaces, mounts and control groups needs root")
	}
	c := &container{group: fmt.Sprintf("weir-unit-%d", os.Getpid())}
	script := exec.Command("./boot.sh", t.TempDir(), c.group)
	ours, err := script.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	said, err := os.CreateTemp(t.TempDir(), "said")
	if err != nil {
		t.Fatal(err)
	}
	script.Stdout, script.Stderr = said, os.Stderr
	if err := script.Start(); err != nil {
		t.Fatalf("boot a container: %v", err)
	}
	t.Cleanup(func() { c.end(t, ours, script) })
	eventually(t, "systemd is there", func() string {
		pid, _ := os.ReadFile(said.Name())
		c.first = strings.TrimSpace(string(pid))
		_, err := os.Stat(filepath.Join("/proc", c.first, "root/run/systemd/private"))
		return failure(c.first == "" || err != nil, "pid %q: %v", c.first, err)
	})
	if state := c.run(t, "systemctl", "is-system-running", "--wait"); state != "running" {
		t.Fatalf("the container is %s\n%s", state, c.run(t, "systemctl", "--no-pager", "--failed"))
	}
	return c
}

// end ends it, and sees that nothing is left.
func (c *container) end(t *testing.T, input io.Closer, script *exec.Cmd) {
	_ = input.Close()
	stuck := time.AfterFunc(patience, func() { _ = script.Process.Kill() })
	defer stuck.Stop()
	if err := script.Wait(); err != nil {
		t.Errorf("end the container: %v", err)
	}
	if _, err := os.Stat(filepath.Join("/proc", c.first)); c.first != "" && err == nil {
		t.Errorf("the container's first process, %s, is left", c.first)
	}
	left, _ := filepath.Glob("/sys/fs/cgroup/*/" + c.group)
	if here, err := os.Stat("/sys/fs/cgroup/" + c.group); err == nil {
		left = append(left, here.Name())
	}
	if len(left) > 0 {
		t.Errorf("control groups are left: %q", left)
	}
}

// in makes a command that runs in the container, or in those of its namespaces only
// that are named as nsenter names them.
func (c *container) in(ctx context.Context, namespaces string, command ...string) *exec.Cmd {
	nsenter := exec.CommandContext(ctx, "nsenter", append([]string{"--target", c.first, namespaces}, command...)...)
	nsenter.WaitDelay = time.Second // its child has the output as well
	return nsenter
}

// try runs a command in the container, and returns what it printed.
func (c *container) try(command ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := c.in(ctx, "--all", command...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// run is try where nothing may go wrong.
func (c *container) run(t *testing.T, command ...string) string {
	t.Helper()
	out, err := c.try(command...)
	if err != nil {
		t.Fatalf("%s: %v\n%s\n%s", strings.Join(command, " "), err, out, c.journal())
	}
	return out
}

// net runs a program of this machine in the container's network.
func (c *container) net(t *testing.T, command ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if out, err := c.in(ctx, "--net", command...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, out)
	}
}

// install puts what a reader has into the container.
func (c *container) install(t *testing.T, from io.Reader, mode, path string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	install := c.in(ctx, "--all", "install", "-D", "-m", mode, "/dev/stdin", path)
	install.Stdin = from
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("install %s: %v\n%s", path, err, out)
	}
}

func (c *container) journal() string {
	said, _ := c.try("journalctl", "--no-pager", "--output=short-monotonic", "--lines=60")
	return said
}

// eventually waits until nothing is wrong any more.
func eventually(t *testing.T, what string, wrong func() string) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		problem := wrong()
		if problem == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("after %v it is not so that %s: %s", patience, what, problem)
		}
	}
}

// failure is what is wrong, if something is.
func failure(is bool, format string, args ...any) string {
	if !is {
		return ""
	}
	return fmt.Sprintf(format, args...)
}
