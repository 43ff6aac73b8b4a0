// Command init is the first and only program of a virtual machine: it makes the
// system that the tests need, runs them one after the other, tells the second
// serial port what they say, and switches off.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/tools/vm/guest"
)

func main() {
	port, err := start()
	if err == nil {
		err = runAll(port)
	}
	if err != nil {
		say(port, guest.Fault, err.Error())
	}
	say(port, guest.End, "")
	_ = port.Sync()
	// With no ACPI in the way: the emulator ends when the machine restarts.
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
}

// start mounts what there is to mount and opens the port. Until it is open, the
// kernel's console is all there is.
func start() (*os.File, error) {
	var errs []error
	for _, m := range []struct{ kind, at string }{
		{"devtmpfs", "/dev"}, {"proc", "/proc"}, {"sysfs", "/sys"}, {"tmpfs", "/tmp"},
		{"bpf", "/sys/fs/bpf"}, {"cgroup2", "/sys/fs/cgroup"}, {"debugfs", "/sys/kernel/debug"},
	} {
		if err := unix.Mount(m.kind, m.at, m.kind, 0, ""); err != nil {
			errs = append(errs, fmt.Errorf("mount %s at %s: %w", m.kind, m.at, err))
		}
	}
	port, err := openPort("/dev/ttyS1")
	if err != nil {
		return os.Stderr, errors.Join(append(errs, err)...)
	}
	return port, errors.Join(errs...)
}

// openPort opens a serial port that passes octets on as they are.
func openPort(path string) (*os.File, error) {
	port, err := os.OpenFile(path, os.O_WRONLY|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	state, err := unix.IoctlGetTermios(int(port.Fd()), unix.TCGETS)
	if err != nil {
		return nil, fmt.Errorf("state of %s: %w", path, err)
	}
	state.Oflag &^= unix.OPOST
	if err := unix.IoctlSetTermios(int(port.Fd()), unix.TCSETS, state); err != nil {
		return nil, fmt.Errorf("state of %s: %w", path, err)
	}
	return port, nil
}

// say writes a mark on a line of its own, whatever was written before.
func say(port *os.File, word, rest string) {
	fmt.Fprintf(port, "\n%s%s %s\n", guest.Mark, word, rest)
}

func runAll(port *os.File) error {
	text, err := os.ReadFile(guest.PlanPath)
	if err != nil {
		return err
	}
	var plan guest.Plan
	if err := json.Unmarshal(text, &plan); err != nil {
		return fmt.Errorf("read %s: %w", guest.PlanPath, err)
	}
	for _, module := range plan.Modules {
		if err := loadModule(module); err != nil {
			return err
		}
	}
	if err := loopbackUp(); err != nil {
		return err
	}
	for i := range plan.Tests {
		say(port, guest.Start, plan.Tests[i].Package)
		say(port, guest.Exit, run(port, &plan.Tests[i]))
	}
	return nil
}

func loadModule(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := unix.FinitModule(int(file.Fd()), "", 0); err != nil {
		return fmt.Errorf("load module %s: %w", path, err)
	}
	return nil
}

func loopbackUp() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	return nil
}

// run runs a package's tests and returns how the binary ended.
func run(port *os.File, t *guest.Test) (status string) {
	c := exec.Command(t.Command[0], t.Command[1:]...)
	c.Dir, c.Stdout, c.Stderr = t.Dir, port, port
	c.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/tmp"}
	if err := c.Run(); err != nil {
		return err.Error()
	}
	return "exit status 0"
}
