package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/weirflow/weir/tools/procstatus"
)

// memory measures replay's peak memory over captures of one length and four
// times that; at a steady rate of flows it must not grow. The packets come
// through a pipe, so that no file is needed.
func (b *replayBench) memory(ctx context.Context) error {
	fmt.Fprintf(b.out, "Memory: peak resident set of replay --statistics, MiB\n\n%-30s %8s %8s\n", "", "weir", "DPI")
	for _, length := range []int{1, 4} {
		var peaks [2]float64
		for i, flags := range [][]string{{"--dissections", "0"}, nil} {
			kib, err := b.peak(ctx, b.packets*length, flags)
			if err != nil {
				return err
			}
			peaks[i] = float64(kib) / 1024
		}
		fmt.Fprintf(b.out, "%-30s %8.1f %8.1f\n", fmt.Sprintf("%d packets", b.packets*length), peaks[0], peaks[1])
	}
	return nil
}

// peak is in KiB: of weir and its children together.
func (b *replayBench) peak(ctx context.Context, packets int, flags []string) (int, error) {
	args := append([]string{"replay", "-q", "-o", "csv:/dev/null", "--statistics"}, flags...)
	cmd := exec.CommandContext(ctx, b.weir, append(args, "-")...)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return 0, fmt.Errorf("measure memory: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("measure memory: %w", err)
	}
	written := make(chan error, 1)
	go func() {
		_, _, err := writeCapture(stdin, b.library, packets)
		written <- errors.Join(err, closed(stdin))
	}()
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	peak, err := watch(cmd.Process.Pid, exited)
	if err := errors.Join(err, <-written); err != nil {
		return 0, fmt.Errorf("measure memory over %d packets: %w", packets, err)
	}
	return peak, nil
}

func closed(c io.Closer) error {
	if err := c.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

// watch reads the high-water marks until the process has ended. What wait
// reports is of no use: it counts this program's own memory before the exec.
func watch(pid int, exited <-chan error) (peak int, err error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-exited:
			return peak, err
		case <-tick.C:
			peak = max(peak, highWater(pid))
		}
	}
}

// highWater is VmHWM of a process and its children in KiB.
func highWater(pid int) (kib int) {
	for _, p := range procstatus.All() {
		if p.Number("Pid") == pid || p.Number("PPid") == pid {
			kib += p.Number("VmHWM")
		}
	}
	return kib
}
