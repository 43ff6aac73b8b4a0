// Package native compiles the metering programs for the machine that tests them,
// unchanged, with the address and undefined-behaviour sanitizers, on top of
// plain memory in place of the kernel's maps (harness/). There frames end where
// their heap object ends, no helper may be called under a lock, and the kernel
// fails when a test says so.
package native

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"unsafe"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/bpftest"
)

// flags of the compiler. Alignment is not looked at: packets have none, BPF needs
// none, and saying so in C would have its compiler load octet by octet.
var flags = []string{
	"-std=gnu17", "-O1", "-g", "-rdynamic",
	"-Wall", "-Wextra", "-Werror", "-Wno-unused-function", "-Wno-unused-parameter",
	"-fsanitize=address,undefined", "-fno-sanitize=alignment", "-fno-sanitize-recover=all",
	"-fprofile-instr-generate", "-fcoverage-mapping",
}

// A Build is the compiled programs.
type Build struct {
	folder string // of what was built, and of the profiles of its runs
	runs   int
}

// New compiles the programs of the folder bpf/ of the repository, or fails the
// test. Further flags are the compiler's.
func New(tb testing.TB, bpfFolder string, more ...string) *Build {
	tb.Helper()
	b := &Build{folder: tb.TempDir()}
	harness := filepath.Join(bpfFolder, "native", "harness")
	args := slices.Concat(flags, more)
	args = append(args, "-I"+filepath.Join(harness, "include"), "-I"+harness, "-I"+bpfFolder,
		filepath.Join(harness, "main.c"), filepath.Join(harness, "kernel.c"), "-o", b.program())
	if out, err := exec.Command("clang-19", args...).CombinedOutput(); err != nil {
		tb.Fatalf("compile the programs natively: %v (tools/setup/setup.sh installs what it takes)\n%s", err, out)
	}
	return b
}

func (b *Build) program() string { return filepath.Join(b.folder, "weir-native") }

// A Result is what came out of one part of a script, up to its Finish.
type Result struct {
	bpftest.Events
	Statuses []bpf.Status // one a frame
	Sweeps   []bpf.Sweep
	Ledger   bpf.LedgerCount
}

// Run carries out a script. A report of a sanitizer, or a broken rule of the
// kernel's, fails the test.
func (b *Build) Run(tb testing.TB, s *Script) []Result {
	tb.Helper()
	b.runs++
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(b.program())
	cmd.Env = append(cmd.Environ(), "ASAN_OPTIONS=detect_stack_use_after_return=1", "UBSAN_OPTIONS=print_stacktrace=1",
		"LLVM_PROFILE_FILE="+filepath.Join(b.folder, fmt.Sprintf("%d.profraw", b.runs)))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(s.octets), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		tb.Fatalf("run the native programs: %v\n%s", err, stderr.Bytes())
	}
	results, err := parse(stdout.Bytes(), s.layouts)
	if err != nil {
		tb.Fatalf("answers of the native programs: %v", err)
	}
	return results
}

// Answers, as main.c numbers them.
const (
	answerEvent = iota + 1
	answerFrame
	answerSweep
	answerLedger
)

// parse reads answers. There is a layout for each result.
func parse(b []byte, layouts []bpf.Layout) (results []Result, err error) {
	var r Result
	for len(b) >= 8 {
		kind, length := binary.NativeEndian.Uint32(b), binary.NativeEndian.Uint32(b[4:])
		if uint64(length) > uint64(len(b)-8) {
			return nil, fmt.Errorf("an answer of %d octets is cut at %d", length, len(b)-8)
		}
		if len(results) < len(layouts) {
			r.Layout = layouts[len(results)]
		}
		if err := r.add(kind, b[8:8+length]); err != nil {
			return nil, err
		}
		b = b[8+length:]
		if kind == answerLedger {
			results = append(results, r)
			r = Result{}
		}
	}
	return results, nil
}

func (r *Result) add(kind uint32, octets []byte) error {
	switch kind {
	case answerEvent:
		return r.Add(octets)
	case answerFrame:
		r.Statuses = append(r.Statuses, bpf.Status(binary.NativeEndian.Uint32(octets)))
	case answerSweep:
		r.Sweeps = append(r.Sweeps, *(*bpf.Sweep)(unsafe.Pointer(&octets[0])))
	case answerLedger:
		r.Ledger = *(*bpf.LedgerCount)(unsafe.Pointer(&octets[0]))
	default:
		return fmt.Errorf("unknown kind %d", kind)
	}
	return nil
}

// Coverage is how many of a file's lines have run.
type Coverage struct {
	File           string
	Lines, Covered int
}

// Percent is the part of the lines that have run.
func (c Coverage) Percent() float64 { return 100 * float64(c.Covered) / float64(c.Lines) }

// Coverage reports every file with code that the runs so far could have run.
func (b *Build) Coverage(tb testing.TB) (files []Coverage) {
	tb.Helper()
	var report struct {
		Data []struct {
			Files []struct {
				Filename string
				Summary  struct {
					Lines struct{ Count, Covered int }
				}
			}
		}
	}
	if err := json.Unmarshal(b.export(tb), &report); err != nil {
		tb.Fatalf("read llvm-cov's report: %v", err)
	}
	for _, d := range report.Data {
		for _, f := range d.Files {
			files = append(files, Coverage{f.Filename, f.Summary.Lines.Count, f.Summary.Lines.Covered})
		}
	}
	return files
}

// export merges what the runs have left, and reports it.
func (b *Build) export(tb testing.TB) []byte {
	tb.Helper()
	profiles, err := filepath.Glob(filepath.Join(b.folder, "*.profraw"))
	if err != nil || len(profiles) == 0 {
		tb.Fatalf("no profiles in %s: %v", b.folder, err)
	}
	tool(tb, "llvm-profdata-19", append([]string{"merge", "-sparse", "-o", b.merged()}, profiles...)...)
	return tool(tb, "llvm-cov-19", "export", "-summary-only", "-instr-profile", b.merged(), b.program())
}

func (b *Build) merged() string { return filepath.Join(b.folder, "merged.profdata") }

func tool(tb testing.TB, name string, args ...string) []byte {
	tb.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		tb.Fatalf("%s: %v (tools/setup/setup.sh installs it)\n%s", name, err, stderr.Bytes())
	}
	return out
}

// Uncovered lists the lines of files that have not run, for whoever has to cover
// them.
func (b *Build) Uncovered(tb testing.TB, files ...string) string {
	tb.Helper()
	args := append([]string{"show", "-instr-profile", b.merged(), b.program()}, files...)
	var missed bytes.Buffer
	for line := range bytes.Lines(tool(tb, "llvm-cov-19", args...)) {
		_, count, _ := bytes.Cut(line, []byte("|"))
		if bytes.HasPrefix(bytes.TrimSpace(count), []byte("0|")) || bytes.HasSuffix(line, []byte(".h:\n")) {
			missed.Write(line)
		}
	}
	return missed.String()
}
