package loader_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/loader"
	"github.com/weirflow/weir/tools/flowgen"
)

// countRuns has the kernel count how often programs run, while the test lasts.
func countRuns(t *testing.T) {
	t.Helper()
	stats, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stats.Close() })
}

// runsOf is how often a program has run since countRuns.
func runsOf(t *testing.T, p *ebpf.Program) uint64 {
	t.Helper()
	stats, err := p.Stats()
	if err != nil {
		t.Fatal(err)
	}
	return stats.RunCount
}

// A recovery is what it took until a meter was steady again.
type recovery struct {
	took   time.Duration
	sweeps uint64 // runs of the sweep
}

func (r recovery) String() string {
	return fmt.Sprintf("%.2f s and %d runs of the sweep", r.took.Seconds(), r.sweeps)
}

// untilAdmitted waits until new flows find a place again and no packet is lost, and
// says what that took from now on. In between it does what is to go on.
func (l *load) untilAdmitted(a *loader.Attachment, goOn func()) recovery {
	l.t.Helper()
	g := l.generator(flowgen.MaxFlows, 3)
	sweep := a.Handles().Sweep
	began, runs := time.Now(), runsOf(l.t, sweep)
	for time.Since(began) < 20*time.Second {
		now := recovery{time.Since(began), runsOf(l.t, sweep) - runs}
		full, lost := refused(l.t, a)
		l.send(g, template(flowgen.UDP6, 78), 100)
		if goOn != nil {
			goOn()
		}
		if f, n := refused(l.t, a); f == full && n == lost {
			return now
		}
		time.Sleep(5 * time.Millisecond)
	}
	l.t.Error("20 s after the flood new flows find no place")
	return recovery{}
}
