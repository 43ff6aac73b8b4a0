// Command vm runs the tests that load BPF programs on another kernel, emulated by
// qemu, and writes their events as go test -json would:
//
//	go run ./tools/vm -kernel /boot/vmlinuz-6.1.0-56-cloud-amd64 [PACKAGE...] | go run ./tools/tally
//
// PACKAGE is the directory of one of those that are run, as bpf; without any, all are.
// It ends with status 1 if the machine did not come to its end; whether the tests
// passed is the tally's to say.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"time"
)

// options are the command's flags.
type options struct {
	image, work, run string
	limit            time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.image, "kernel", "", "`IMAGE` of the kernel; its config and modules are looked for beside it, as its package has them")
	flag.StringVar(&o.run, "run", "", "run the tests that match `REGEXP` only, as go test -run does")
	flag.DurationVar(&o.limit, "timeout", 20*time.Minute, "how long the machine may run")
	flag.StringVar(&o.work, "work", "build/vm", "`DIRECTORY` for what is built and for what the machine says")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, &o, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "vm:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o *options, dirs []string) error {
	if o.image == "" {
		return errors.New("which kernel: name its image with -kernel, or run make test-vm")
	}
	tested, err := chosen(dirs)
	if err != nil {
		return err
	}
	k, err := openKernel(o.image)
	if err != nil {
		return err
	}
	if err := k.check(); err != nil {
		return err
	}
	o.work, err = filepath.Abs(o.work)
	if err != nil {
		return err
	}
	initramfs, err := pack(ctx, k, tested, o)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "vm: Linux %s, emulated, for at most %v\n", k.release, o.limit)
	tests, packages := sayLeftOut(os.Stderr, tested)
	m := machine{image: k.image, initramfs: initramfs, said: filepath.Join(o.work, "tests.log"), kernelSaid: filepath.Join(o.work, "kernel.log")}
	start := time.Now()
	err = m.run(ctx, o.limit, os.Stdout)
	fmt.Fprintf(os.Stderr, "vm: left out %d tests and %d packages; ran %.0f s; all that the tests said is in %s, what the kernel said in %s\n",
		tests, packages, time.Since(start).Seconds(), m.said, m.kernelSaid)
	if err != nil {
		return errors.Join(err, m.panicked())
	}
	return nil
}
