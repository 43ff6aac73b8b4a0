// Command parsediff mutates the frames of captures and gives each to the
// kernel's decoder and to Go's. They have to agree on its status, and where it is
// metered on every octet of the packet that they make of it: key, direction,
// sizes, flags, where the IP header is.
//
//	go run ./tools/parsediff [-n FRAMES] [-seed SEED] [FOLDER...]
//
// It needs the privilege to load BPF programs.
package main

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/bpftest"
	"github.com/weirflow/weir/bpf/differential"
	"github.com/weirflow/weir/tools/captures"
)

func main() {
	frames := flag.Int("n", 1_000_000, "`FRAMES` to try")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "`SEED` to make them from; the same makes the same")
	flag.Parse()
	folders := flag.Args()
	if len(folders) == 0 {
		folders = []string{"testdata", "../shared/captures"}
	}
	if _, err := run(*frames, *seed, folders); err != nil {
		fmt.Fprintln(os.Stderr, "parsediff:", err)
		os.Exit(1)
	}
}

// A result is what workers have compared.
type result struct {
	mu     sync.Mutex
	ledger bpf.LedgerCount
	frames int
	errs   []error
}

func run(frames int, seed uint64, folders []string) (*result, error) {
	byLink, err := everyFrame(folders)
	if err != nil {
		return nil, err
	}
	workers := min(2, runtime.NumCPU())
	fmt.Printf("seed %d: %d frames, mutants of those of %v and made up ones\n", seed, frames, folders)
	start := time.Now()
	var all result
	var wait sync.WaitGroup
	for w := range workers {
		m := differential.NewMutator(rand.New(rand.NewPCG(seed, uint64(w))), byLink, bpftest.MinFrame)
		share := (frames + w) / workers
		wait.Go(func() { all.work(m, share) })
	}
	wait.Wait()
	all.report(time.Since(start))
	return &all, errors.Join(all.errs...)
}

func everyFrame(folders []string) (map[uint32][]differential.Step, error) {
	paths, err := captures.Beside(folders...)
	if err != nil {
		return nil, err
	}
	frames := map[uint32][]differential.Step{}
	for _, path := range paths {
		byLink, _, err := differential.Load(path, bpftest.MinFrame)
		if err != nil {
			return nil, err
		}
		for link, steps := range byLink {
			frames[link] = append(frames[link], steps...)
		}
	}
	return frames, nil
}

// batches is how many batches a loaded object is used for: loading takes as long
// as tens of thousands of frames.
const batches = 32

// disagreementsMax ends a run that has found enough.
const disagreementsMax = 10

func (r *result) work(m *differential.Mutator, frames int) {
	for frames > 0 && !r.enough() {
		n := min(frames, batches*differential.Batch)
		compared, ledger, err := compare(m, n)
		r.add(compared, &ledger, err)
		frames -= n
	}
}

// compare runs n frames through one object, or as many as agree, and returns what
// its ledger counted.
func compare(m *differential.Mutator, n int) (compared int, ledger bpf.LedgerCount, err error) {
	o := differential.DecoderOptions(m.Options())
	d, err := differential.NewDecoders(o)
	if err != nil {
		return 0, ledger, fmt.Errorf("%w (this needs CAP_BPF and CAP_NET_ADMIN: run as root)", err)
	}
	defer d.Close()
	for compared < n && err == nil {
		frames := m.Frames(o.LinkType, min(n-compared, differential.Batch))
		err = d.Agree(frames)
		compared += len(frames)
	}
	return compared, d.Counted(), errors.Join(err, d.Settle())
}

func (r *result) enough() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.errs) >= disagreementsMax
}

func (r *result) add(frames int, ledger *bpf.LedgerCount, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.frames += frames
	for i, n := range differential.Counters(ledger) {
		differential.Counters(&r.ledger)[i] += n
	}
	if err != nil {
		r.errs = append(r.errs, err)
	}
}

func (r *result) report(took time.Duration) {
	l := &r.ledger
	fmt.Printf("%12d %s\n", l.MeteredPackets, bpf.WeirDecodeStatusSTATUS_OK)
	for s, n := range l.IgnoredPackets {
		if n > 0 {
			fmt.Printf("%12d %s\n", n, bpf.Status(s))
		}
	}
	fmt.Printf("%d frames in %s, %d disagreements\n", r.frames, took.Round(time.Second), len(r.errs))
}
