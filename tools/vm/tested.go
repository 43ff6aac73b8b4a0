package main

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"

	"github.com/weirflow/weir/tools/vm/guest"
)

// A suite is a package whose tests run BPF programs.
type suite struct {
	dir     string
	why     string // the machine is not to run it, if any
	leftOut []leftOut
}

// leftOut names tests that the machine is not to run, as -test.skip takes them:
// a name, or names of subtests after slashes.
type leftOut struct{ test, why string }

const tooSlow = "sends frames at a rate that an emulated machine does not come to"

const needsTCX = "attaches to TCX, which Linux has since 6.6"

// suites are the packages that load BPF programs in their tests.
var suites = []suite{
	{dir: "bpf", leftOut: []leftOut{
		{"TestA8SweepOfAnEmptyTableHoldsNoCPUForLong", "measures what a sweep has of its processor, which emulation falsifies"},
		{"TestA2SplitsRacingSweepsKeepTheSequenceOfParts", "splits by real time: in emulation every packet may, and the ring fills before it is read"},
	}},
	{dir: "bpf/differential", leftOut: []leftOut{
		{"TestNativeBuild", "runs the programs in user space, as compiled by clang: no kernel takes part"},
	}},
	{dir: "loader", leftOut: []leftOut{
		{"TestB10FramesThatArriveBecomeFlowsAtEveryHook/TCX", needsTCX},
		{"TestEachDirectionIsObservedAlone/(out|both)", needsTCX},
		{"TestB6AnotherXDPProgramIsNamedAndLeftAlone", needsTCX},
		{"TestTheFilterDecidesWhatIsMetered/.* tcx", needsTCX},
		{"TestBareIPPacketsOfATunnelAreMetered", needsTCX},
		{"TestHeadersInPageFragmentsAreReadAtTCX", needsTCX},
		{"TestB1KillingAMeterLeavesNothingBehind", needsTCX},
		{"TestH1FewCapabilitiesAreEnoughToMeter/.* tcx", needsTCX},
		{"TestA1LoadOfLiveFramesLeavesNothing", tooSlow},
		{"TestA4StoppedConsumerCostsSinglePacketsOnly", tooSlow},
		{"TestA5FloodOfRandomTuplesLeavesEstablishedFlowsExact", tooSlow},
		{"TestA6FloodOfSYNsLeavesEstablishedFlowsExact", tooSlow},
		{"TestA8SweepOfManyFlowsHoldsNoCPUForLong", tooSlow},
		{"TestAttachingAgainMayFailHalfway", needsTCX},
		{"TestA8SoftInterruptsComeThroughASweep", "measures how long packets wait for a processor, which emulation falsifies"},
		{"TestA11FramesArriveUnchanged", tooSlow},
		{"TestC1DrainOfManyFlows", tooSlow},
		{"TestAPinnedMeterIsAdoptedWithWhatItMeteredAlone/(TCX|both)", needsTCX},
		{"TestB11UpgradeMissesNoFrame", needsTCX},
		{"TestB7InterfaceThatReturnsIsObservedAgain/(TCX|both)", needsTCX},
		{"TestB7InterfaceOfAPinnedMeterMayReturnWhileNobodyWatches", needsTCX},
		{"TestProbeFindsThisMachineFit", "wants TCX, and a kernel that tells of native XDP before it is tried (6.3)"},
	}},
	{dir: "loader/filter"},
	{dir: "loader/sandbox", leftOut: []leftOut{
		{"TestUsersAreFoundByNameAndNumber", "wants a list of users"},
	}},
	{dir: "tools/flowgen", leftOut: []leftOut{
		{"TestLiveFramesAllArrive", "wants a receiver as fast as its sender, which two emulated processors of a busy host are not"},
	}},
	{dir: "userspace"},
	{dir: "cmd/weir", why: "meters both directions, which takes TCX, and starts servers"},
	{dir: "dpi", why: "runs nDPI, and of the programs only what bpf and userspace run"},
	{dir: "examples/liveflows", why: "meters both directions, which takes TCX, and builds with go"},
	{dir: "examples/pinnedflows", why: "meters both directions, which takes TCX, and builds with go"},
	{dir: "tools/bench", why: "measures, which emulation falsifies"},
	{dir: "tools/systemd", why: "boots systemd, and builds with go"},
}

// modules are those that the tests need where the kernel has them as such, and
// programs what the tests call.
var (
	modules  = []string{"veth", "tun", "ifb"}
	programs = []string{"ip", "unshare"}
)

// chosen are the suites of the directories, or all that the machine is to run.
func chosen(dirs []string) ([]suite, error) {
	runs := slices.DeleteFunc(slices.Clone(suites), func(s suite) bool { return s.why != "" })
	if len(dirs) == 0 {
		return runs, nil
	}
	var some []suite
	for _, dir := range dirs {
		i := slices.IndexFunc(runs, func(s suite) bool { return s.dir == dir })
		if i < 0 {
			return nil, fmt.Errorf("%s is none of the packages that the machine runs: see tools/vm/tested.go", dir)
		}
		some = append(some, runs[i])
	}
	return some, nil
}

// sayLeftOut tells what the machine is not to run and why, and counts it.
func sayLeftOut(to io.Writer, tested []suite) (tests, packages int) {
	for _, s := range tested {
		for _, l := range s.leftOut {
			fmt.Fprintf(to, "vm: left out: %s %s: %s\n", s.dir, l.test, l.why)
			tests++
		}
	}
	for _, s := range suites {
		if s.why != "" {
			fmt.Fprintf(to, "vm: left out: all of %s: %s\n", s.dir, s.why)
			packages++
		}
	}
	return tests, packages
}

const module = "github.com/weirflow/weir"

// binary is the name that go test -c gives to the package's.
func (s *suite) binary() string { return path.Base(s.dir) + ".test" }

// test is the package's part of the plan, with its checkout at src and its
// binary in bin. Emulation is some ten times slower: -test.short leaves to a kernel
// that is not emulated what the longest tests do once more with other options.
func (s *suite) test(src, bin string, o *options) guest.Test {
	command := []string{path.Join(bin, s.binary()), "-test.v=test2json", "-test.short", "-test.timeout=" + o.limit.String(), "-test.run=" + o.run}
	if len(s.leftOut) > 0 {
		command = append(command, "-test.skip="+s.skip())
	}
	return guest.Test{Package: path.Join(module, s.dir), Dir: path.Join(src, s.dir), Command: command}
}

// skip matches the tests that are left out and no other.
func (s *suite) skip() string {
	var patterns []string
	for _, l := range s.leftOut {
		names := strings.Split(l.test, "/")
		for i, n := range names {
			names[i] = "^" + n + "$"
		}
		patterns = append(patterns, strings.Join(names, "/"))
	}
	return strings.Join(patterns, "|")
}

// stale tells of a test that is left out and does not exist: it has another name
// now, and what has the name is run.
func (s *suite) stale(ctx context.Context, bin string) error {
	out, err := exec.CommandContext(ctx, path.Join(bin, s.binary()), "-test.list=.").Output()
	if err != nil {
		return fmt.Errorf("list the tests of %s: %w", s.dir, err)
	}
	there := strings.Fields(string(out))
	for _, l := range s.leftOut {
		if name, _, _ := strings.Cut(l.test, "/"); !slices.Contains(there, name) {
			return fmt.Errorf("%s has no %s, which is left out of it: correct the list in tools/vm/tested.go", s.dir, name)
		}
	}
	return nil
}
