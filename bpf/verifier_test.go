package bpf_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/bpf"
)

// The budget: growth beyond it is a decision, not an accident.
const (
	maxProcessed    = 100_000
	maxInstructions = 4_096 // of a program with every group and every link type
	maxStack        = 400   // octets of one function's frame
	maxGrowth       = 10    // percent over the committed figures
)

// baselinePath holds the figures of the last decision.
const baselinePath = "testdata/verifier.json"

var update = flag.Bool("update", false, "write "+baselinePath+" anew, with this kernel's figures")

// baseline is what the programs cost when it was last written.
type baseline struct {
	// Instructions by program: the same on every kernel.
	Instructions map[string]int
	// Kernels by release, then by program and link type.
	Kernels map[string]map[string]cost
}

// cost is what the verifier says of a program.
type cost struct{ Processed, Stack int }

var (
	processed  = regexp.MustCompile(`processed (\d+) insns`)
	stackDepth = regexp.MustCompile(`stack depth ([\d+]+)`)
)

// everythingOn sets every knob that makes the verifier walk more paths.
func everythingOn(t *testing.T, spec *ebpf.CollectionSpec, linkType uint32) {
	t.Helper()
	for name, value := range map[string]any{
		"cfg_statistics":     uint8(1),
		"cfg_tcp_statistics": uint8(1),
		"cfg_ip_statistics":  uint8(1),
		"cfg_tcp_grace_ns":   uint64(1),
		"cfg_splt":           uint8(bpf.SPLTMax),
		"cfg_samples":        uint8(20),
		"cfg_filter":         uint8(1),
		"cfg_metadata_clock": uint8(1),
		"cfg_link_type":      linkType,
	} {
		if err := spec.Variables[name].Set(value); err != nil {
			t.Fatalf("set %s: %v", name, err)
		}
	}
}

// TestF10VerifierAcceptsEveryProgramWithinBudget holds the programs to the budget
// and to the figures that were committed. Where they have grown on purpose:
// go test ./bpf -run F10 -update
func TestF10VerifierAcceptsEveryProgramWithinBudget(t *testing.T) {
	old := readBaseline(t)
	release := kernelRelease(t)
	if old.Kernels[release] == nil {
		t.Logf("%s has no figures of Linux %s: what the verifier processed is held to the budget only", baselinePath, release)
	}
	now := baseline{map[string]int{}, map[string]map[string]cost{release: {}}}
	for _, lt := range []uint32{1, 101, 113, 127} {
		coll, spec := verified(t, lt)
		for name, p := range coll.Programs {
			row := fmt.Sprintf("%s, link type %d", name, lt)
			c := costOf(t, p.VerifierLog)
			now.Instructions[name], now.Kernels[release][row] = len(spec.Programs[name].Instructions), c
			t.Logf("%-26s %6d processed, %5d instructions, %3d octets of stack", row, c.Processed, now.Instructions[name], c.Stack)
			before := old.Kernels[release][row]
			within(t, row, "instructions processed", c.Processed, maxProcessed, before.Processed)
			within(t, row, "octets of stack", c.Stack, maxStack, before.Stack)
		}
		coll.Close()
	}
	largest := slices.Max(slices.Collect(maps.Values(now.Instructions)))
	t.Logf("measured: %d programs, the largest of %d instructions, within budgets and %d %% of the committed figures", len(now.Instructions), largest, maxGrowth)
	for name, n := range now.Instructions {
		if old.Instructions[name] == 0 && !*update {
			t.Errorf("%s has no figures of %s: go test ./bpf -run F10 -update", baselinePath, name)
		}
		within(t, name, "instructions", n, maxInstructions, old.Instructions[name])
	}
	if *update {
		old.Instructions, old.Kernels[release] = now.Instructions, now.Kernels[release]
		writeBaseline(t, old)
	}
}

// What runs is what is left once the kernel has removed what is off.
func TestF10ProgramsAsTheyRunAreWithinBudget(t *testing.T) {
	spec, err := bpf.LoadWeir()
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]any{"cfg_samples": uint8(20), "cfg_filter": uint8(1)} {
		if err := spec.Variables[name].Set(value); err != nil {
			t.Fatalf("set %s: %v", name, err)
		}
	}
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		t.Fatal(err)
	}
	defer coll.Close()
	largest := 0
	for name, p := range coll.Programs {
		info, err := p.Info()
		if err != nil {
			t.Fatalf("ask for %s: %v", name, err)
		}
		octets, err := info.TranslatedSize()
		if err != nil {
			t.Fatalf("ask for the size of %s: %v", name, err)
		}
		if n := octets / asm.InstructionSize; n > maxInstructions {
			t.Errorf("%s: %d instructions are left, want %d at most", name, n, maxInstructions)
		} else {
			largest = max(largest, n)
		}
	}
	t.Logf("measured: %d instructions are left of the largest with weir's defaults and a filter", largest)
}

// verified loads the programs with the verifier's figures in their log.
func verified(t *testing.T, linkType uint32) (*ebpf.Collection, *ebpf.CollectionSpec) {
	t.Helper()
	spec, err := bpf.LoadWeir()
	if err != nil {
		t.Fatal(err)
	}
	everythingOn(t, spec, linkType)
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{
		Programs: ebpf.ProgramOptions{LogLevel: ebpf.LogLevelStats},
	})
	if err != nil {
		var ve *ebpf.VerifierError
		if errors.As(err, &ve) {
			t.Fatalf("link type %d: %+v", linkType, ve)
		}
		t.Fatalf("link type %d: %v", linkType, err)
	}
	return coll, spec
}

// costOf reads the verifier's figures. Of the functions' frames, which it lists
// with a plus between them, the largest counts: that the deepest chain of calls
// fits the kernel's 512 octets is the verifier's own to say.
func costOf(t *testing.T, log string) (c cost) {
	t.Helper()
	p, s := processed.FindStringSubmatch(log), stackDepth.FindStringSubmatch(log)
	if p == nil || s == nil {
		t.Fatalf("the verifier gave no figures: %q", log)
	}
	c.Processed, _ = strconv.Atoi(p[1])
	for frame := range strings.SplitSeq(s[1], "+") {
		n, _ := strconv.Atoi(frame)
		c.Stack = max(c.Stack, n)
	}
	return c
}

// within holds a figure to its budget and, where there is one, to the committed
// figure.
func within(t *testing.T, row, of string, n, budget, before int) {
	t.Helper()
	if n > budget {
		t.Errorf("%s: %d %s, budget %d", row, n, of, budget)
	}
	if before > 0 && 100*n > (100+maxGrowth)*before && !*update {
		t.Errorf("%s: %d %s, more than %d %% over the %d of %s; if that is meant to be: go test ./bpf -run F10 -update",
			row, n, of, maxGrowth, before, baselinePath)
	}
}

// kernelRelease is the running kernel's version and patch level, as "6.18".
func kernelRelease(t *testing.T) string {
	t.Helper()
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		t.Fatal(err)
	}
	release := strings.SplitN(unix.ByteSliceToString(uts.Release[:]), ".", 3)
	return strings.Join(release[:min(2, len(release))], ".")
}

func readBaseline(t *testing.T) (b baseline) {
	t.Helper()
	data, err := os.ReadFile(baselinePath)
	if err == nil {
		err = json.Unmarshal(data, &b)
	}
	if err != nil && !(*update && errors.Is(err, os.ErrNotExist)) {
		t.Fatalf("read the committed figures: %v", err)
	}
	if b.Kernels == nil {
		b.Kernels = map[string]map[string]cost{}
	}
	return b
}

func writeBaseline(t *testing.T, b baseline) {
	t.Helper()
	data, err := json.MarshalIndent(b, "", "\t")
	if err == nil {
		err = os.WriteFile(baselinePath, append(data, '\n'), 0o644)
	}
	if err != nil {
		t.Fatalf("write the figures: %v", err)
	}
}
