// Command bench measures weir against what else there is on the same machine,
// in one run, taking turns, so that the ratios mean something where the figures
// do not. It needs root, and tcpdump and ndpiReader (apt: tcpdump, libndpi-bin).
//
//	go run ./tools/bench
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"github.com/weirflow/weir/dpi/worker"
)

func main() {
	answerSamples()
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// answerSamples makes this process a DPI process, and ends it, where it was started
// as one.
func answerSamples() {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case worker.Command:
			os.Exit(worker.Main())
		case echoCommand:
			os.Exit(worker.Run(openEcho))
		}
	}
}

func run() error {
	kernel := flag.Bool("kernel", true, "measure the kernel program")
	byKind := flag.Bool("kinds", true, "measure the kernel program by kind of frame")
	labels := flag.Bool("dpi", true, "measure what a label costs")
	files := flag.Bool("replay", true, "measure replay")
	memory := flag.Bool("memory", true, "measure replay's memory against the length of the capture")
	rounds := flag.Int("rounds", 5, "turns that each contender takes")
	runs := flag.Int("runs", 1_000_000, "packets a turn in the kernel")
	packets := flag.Int("packets", 1_200_000, "packets in the capture")
	binary := flag.String("weir", "", "weir binary to measure (default: built from this tree)")
	dir := flag.String("dir", os.TempDir(), "where the capture goes for the time of the run; 1 GB")
	captures := flag.String("testdata", "testdata", "where the conversations come from")
	cpu := flag.Int("cpu", 0, "the CPU that replay and its rivals run on")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if *kernel {
		if err := benchKernel(os.Stdout, *rounds, *runs); err != nil {
			return err
		}
	}
	if *byKind {
		if err := benchKinds(os.Stdout, *rounds, *runs); err != nil {
			return err
		}
	}
	if *labels {
		l, err := readLibrary(*captures)
		if err != nil {
			return err
		}
		if err := benchDPI(os.Stdout, l, *rounds, *packets/8); err != nil {
			return err
		}
	}
	if !*files && !*memory {
		return nil
	}
	tmp, err := os.MkdirTemp(*dir, "weir-bench-")
	if err != nil {
		return fmt.Errorf("make a directory for the capture: %w; name another with -dir", err)
	}
	defer os.RemoveAll(tmp)
	b := replayBench{out: os.Stdout, dir: tmp, weir: *binary, cpu: *cpu, rounds: *rounds, packets: *packets}
	if err := b.prepare(ctx, *captures); err != nil {
		return err
	}
	if *files {
		if err := b.speed(ctx); err != nil {
			return err
		}
	}
	if *memory {
		return b.memory(ctx)
	}
	return nil
}
