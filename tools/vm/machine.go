package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// A machine is emulated. The kernel's console is its first serial port, and what
// the tests say comes out of its second: neither gets into the other's lines.
type machine struct {
	image, initramfs string
	said, kernelSaid string // files: all that came out of each port
}

// commandLine ends the machine with the kernel, and leaves out the mitigations of
// processors' faults, which an emulated one has not and which are slow on it. It
// also keeps the kernel from trying its timer: on a busy host the emulated one is
// late, which the kernel takes for broken.
const commandLine = "console=ttyS0 panic=-1 mitigations=off init_on_alloc=0 no_timer_check random.trust_cpu=on"

// run lets the machine run to its end, and writes the events of its tests.
func (m *machine) run(ctx context.Context, limit time.Duration, events io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	log, err := os.Create(m.said)
	if err != nil {
		return err
	}
	defer log.Close()
	// Two processors, as the tests of races between them need; as many threads.
	c := exec.CommandContext(ctx, "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max,la57=off", "-smp", "2", "-m", "4G",
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-kernel", m.image, "-initrd", m.initramfs, "-append", commandLine,
		"-serial", "file:"+m.kernelSaid, "-chardev", "stdio,id=tests,signal=off", "-serial", "chardev:tests")
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return fmt.Errorf("start the emulator: %w", err)
	}
	err = newConsole(events).read(io.TeeReader(out, log))
	if left := c.Wait(); errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = errors.Join(err, fmt.Errorf("the machine was stopped after %v: give it longer with -timeout, or see where it hangs", limit))
	} else if left != nil {
		err = errors.Join(err, fmt.Errorf("the emulator: %w", left))
	}
	return err
}

// panicked is what the kernel said when it panicked, if it has.
func (m *machine) panicked() error {
	text, err := os.ReadFile(m.kernelSaid)
	if err != nil {
		return err
	}
	return panicIn(text)
}

// panicIn cuts a panic out of what a kernel said, with the lines before it, which
// tell of what led to it.
func panicIn(said []byte) error {
	const before, after = 2000, 4000
	at := bytes.Index(said, []byte("Kernel panic"))
	if at < 0 {
		return nil
	}
	return fmt.Errorf("the kernel panicked:\n%s", said[max(0, at-before):min(len(said), at+after)])
}
