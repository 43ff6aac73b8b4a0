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
	"github.com/weirflow/weir/bpf/bpftest"
)

// The budget: growth beyond it is a decision, not an accident.
const (
	maxProcessed    = 100_000
	maxInstructions = 4_096 // of a program with every group and every link type
	maxUnrolled     = 8_192 // of one for a process without CAP_PERFMON, whose loops are unrolled
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
	if err := bpf.SetGroups(spec, bpf.Groups{TCPEnd: true, IPStatistics: true, TCPStatistics: true, Statistics: true, SPLT: bpf.SPLTMax}); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]any{
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
	for _, o := range objects {
		for _, lt := range []uint32{1, 101, 113, 127} {
			for name, v := range o.verified(t, lt) {
				row := fmt.Sprintf("%s, link type %d", name, lt)
				now.Instructions[name], now.Kernels[release][row] = v.instructions, v.cost
				t.Logf("%-45s %6d processed, %5d instructions, %3d octets of stack", row, v.Processed, v.instructions, v.Stack)
				before := old.Kernels[release][row]
				within(t, row, "instructions processed", v.Processed, maxProcessed, before.Processed)
				within(t, row, "octets of stack", v.Stack, maxStack, before.Stack)
				within(t, row, "instructions", v.instructions, o.maxInstructions, old.Instructions[name])
			}
		}
	}
	largest := slices.Max(slices.Collect(maps.Values(now.Instructions)))
	t.Logf("measured: %d programs, the largest of %d instructions, within budgets and %d %% of the committed figures", len(now.Instructions), largest, maxGrowth)
	for name := range now.Instructions {
		if old.Instructions[name] == 0 && !*update {
			t.Errorf("%s has no figures of %s: go test ./bpf -run F10 -update", baselinePath, name)
		}
	}
	if *update {
		old.Instructions, old.Kernels[release] = now.Instructions, now.Kernels[release]
		writeBaseline(t, old)
	}
}

// What runs is what is left once the kernel has removed what is off.
func TestF10ProgramsAsTheyRunAreWithinBudget(t *testing.T) {
	for _, o := range objects {
		spec, err := o.load()
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range map[string]any{"cfg_samples": uint8(20), "cfg_filter": uint8(1)} {
			if err := spec.Variables[name].Set(value); err != nil {
				t.Fatalf("set %s: %v", name, err)
			}
		}
		coll := o.collection(t, spec, ebpf.CollectionOptions{})
		largest := 0
		for name, p := range coll.Programs {
			n := translated(t, name, p)
			if n > o.maxInstructions {
				t.Errorf("%s%s: %d instructions are left, want %d at most", name, o.suffix, n, o.maxInstructions)
			}
			largest = max(largest, n)
		}
		coll.Close()
		t.Logf("measured: %d instructions are left of the largest with weir's defaults and a filter%s", largest, o.suffix)
	}
}

// translated is how many instructions the kernel has left of a program.
func translated(t *testing.T, name string, p *ebpf.Program) int {
	t.Helper()
	info, err := p.Info()
	if err != nil {
		t.Fatalf("ask for %s: %v", name, err)
	}
	octets, err := info.TranslatedSize()
	if err != nil {
		t.Fatalf("ask for the size of %s: %v", name, err)
	}
	return octets / asm.InstructionSize
}

// A path that the verifier prunes with one set of constants it may walk with
// another, and there refuse.
func TestEveryLinkTypeLoadsWithFewCapabilities(t *testing.T) {
	few := objects[1]
	for _, lt := range []bpf.LinkType{
		bpf.WeirLinkTypeLINK_NULL, bpf.WeirLinkTypeLINK_ETHERNET, bpf.WeirLinkTypeLINK_PPP, bpf.WeirLinkTypeLINK_RAW_BSD,
		bpf.WeirLinkTypeLINK_PPP_SERIAL, bpf.WeirLinkTypeLINK_RAW, bpf.WeirLinkTypeLINK_C_HDLC, bpf.WeirLinkTypeLINK_LOOP,
		bpf.WeirLinkTypeLINK_SLL, bpf.WeirLinkTypeLINK_RADIOTAP, bpf.WeirLinkTypeLINK_IPV4, bpf.WeirLinkTypeLINK_IPV6,
		bpf.WeirLinkTypeLINK_SLL2,
	} {
		for _, all := range []bool{false, true} {
			spec, err := few.load()
			if err != nil {
				t.Fatal(err)
			}
			set := map[string]any{"cfg_link_type": uint32(lt), "cfg_decode_tunnels": uint8(0)}
			if all {
				everythingOn(t, spec, uint32(lt))
				set = nil
			}
			for name, value := range set {
				if err := spec.Variables[name].Set(value); err != nil {
					t.Fatalf("set %s: %v", name, err)
				}
			}
			few.collection(t, spec, ebpf.CollectionOptions{}).Close()
		}
	}
}

// An object is loaded with the capabilities that it is made for.
type object struct {
	suffix string // of its programs' rows
	load   func() (*ebpf.CollectionSpec, error)
	caps   []int
	// maxInstructions bounds the instructions of a program.
	maxInstructions int
}

var objects = []object{
	{"", bpf.LoadWeir, []int{unix.CAP_BPF, unix.CAP_PERFMON, unix.CAP_NET_ADMIN}, maxInstructions},
	{" without CAP_PERFMON", bpf.LoadWeirCopied, []int{unix.CAP_BPF, unix.CAP_NET_ADMIN}, maxUnrolled},
}

// loaded is what is left of a program's loading.
type loaded struct {
	cost
	instructions int
}

// verified loads the programs with the verifier's figures in their log.
func (o *object) verified(t *testing.T, linkType uint32) map[string]loaded {
	t.Helper()
	spec, err := o.load()
	if err != nil {
		t.Fatal(err)
	}
	everythingOn(t, spec, linkType)
	coll := o.collection(t, spec, ebpf.CollectionOptions{Programs: ebpf.ProgramOptions{LogLevel: ebpf.LogLevelStats}})
	defer coll.Close()
	programs := map[string]loaded{}
	for name, p := range coll.Programs {
		programs[name+o.suffix] = loaded{costOf(t, p.VerifierLog), len(spec.Programs[name].Instructions)}
	}
	return programs
}

func (o *object) collection(t *testing.T, spec *ebpf.CollectionSpec, options ebpf.CollectionOptions) (coll *ebpf.Collection) {
	t.Helper()
	var err error
	bpftest.WithCapabilities(t, o.caps, func() { coll, err = ebpf.NewCollectionWithOptions(spec, options) })
	var ve *ebpf.VerifierError
	if errors.As(err, &ve) {
		t.Fatalf("load the object%s: %+v", o.suffix, ve)
	}
	if err != nil {
		t.Fatalf("load the object%s: %v", o.suffix, err)
	}
	return coll
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
