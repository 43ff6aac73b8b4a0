package differential_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/bpftest"
	"github.com/weirflow/weir/bpf/differential"
	"github.com/weirflow/weir/bpf/native"
)

// Of what is made at random, this much is run, from this seed.
const (
	nativeSeed      = 20240717
	nativeSequences = 4000
	nativeMutants   = 200_000
	nativeFaults    = 6000
)

// leastCoverage is of the lines of each header that has code.
const leastCoverage = 95.0

// TestNativeBuild runs the programs of both objects under the sanitizers on
// everything that there is, and tells what that has covered.
func TestNativeBuild(t *testing.T) {
	for name, flags := range map[string][]string{"in place": nil, "copied": {"-DFRAME_COPIED"}} {
		t.Run(name, func(t *testing.T) { nativeBuild(t, native.New(t, "..", flags...)) })
	}
}

func nativeBuild(t *testing.T, b *native.Build) {
	t.Run("captures", func(t *testing.T) { nativeCaptures(t, b) })
	t.Run("frames", func(t *testing.T) { nativeFrames(t, b) })
	t.Run("corpora", func(t *testing.T) { nativeCorpora(t, b) })
	t.Run("sequences", func(t *testing.T) { nativeGenerated(t, b) })
	t.Run("groups", func(t *testing.T) { nativeGroups(t, b) })
	t.Run("TCX", func(t *testing.T) { nativeTCX(t, b) })
	t.Run("mutants", func(t *testing.T) { nativeMutated(t, b) })
	t.Run("faults", func(t *testing.T) { nativeFaulty(t, b) })
	t.Run("recycled entries", func(t *testing.T) { nativeRecycled(t, b) })
	t.Run("coverage", func(t *testing.T) { covered(t, b) })
}

// A job is a sequence for the native build and for the Go meter.
type job struct {
	name    string
	options bpftest.Options
	steps   []differential.Step
	place   func(*native.Frame) // nil: XDP
}

// agreeOn runs jobs through the native build and the Go meter.
func agreeOn(t *testing.T, b *native.Build, jobs []job) (records int) {
	t.Helper()
	var script native.Script
	for _, j := range jobs {
		reset(t, &script, j.options)
		differential.Tell(&script, j.steps, j.place)
	}
	results := b.Run(t, &script)
	if len(results) != len(jobs) {
		t.Fatalf("%d results of %d sequences", len(results), len(jobs))
	}
	for i, j := range jobs {
		got := differential.Native(&results[i])
		records += agree(t, j.name, j.options, j.steps, &got)
		statusesAgree(t, j, results[i].Statuses)
	}
	return records
}

func reset(t *testing.T, s *native.Script, o bpftest.Options) {
	t.Helper()
	if err := s.Reset(o); err != nil {
		t.Fatal(err)
	}
	if err := s.Knob("cfg_metadata_clock", uint8(1)); err != nil {
		t.Fatal(err)
	}
}

func statusesAgree(t *testing.T, j job, statuses []bpf.Status) {
	t.Helper()
	d := differential.Decoder(j.options)
	for i, s := range frames(j.steps) {
		var p bpf.Packet
		if want := d.Decode(s.Data, s.Length, j.options.LinkType, &p); want != statuses[i] {
			t.Errorf("%s frame %d: native %s, Go %s", j.name, i, statuses[i], want)
		}
	}
}

// frames leaves out the sweeps.
func frames(steps []differential.Step) []differential.Step {
	return slices.DeleteFunc(slices.Clone(steps), func(s differential.Step) bool { return s.Sweep })
}

func nativeCaptures(t *testing.T, b *native.Build) {
	var jobs []job
	for _, path := range captures(t) {
		byLink, _ := load(t, path, 0)
		for link, steps := range byLink {
			for _, tcpEnd := range []bool{false, true} {
				jobs = append(jobs, job{name: path, options: captureOptions(link, tcpEnd), steps: steps})
			}
		}
	}
	t.Logf("%d runs of captures, %d records identical", len(jobs), agreeOn(t, b, jobs))
}

func nativeFrames(t *testing.T, b *native.Build) {
	byLink, total, _ := everyFrame(t, 0)
	for link, list := range byLink {
		var jobs []job
		for mode := bpf.Accounting(0); mode < 4; mode++ {
			o := differential.FrameOptions(link, mode, false)
			for part := range slices.Chunk(list, differential.Batch) {
				jobs = append(jobs, job{name: fmt.Sprintf("link type %d, mode %d", link, mode), options: o, steps: differential.Apart(part)})
			}
		}
		agreeOn(t, b, jobs)
	}
	t.Logf("%d frames in 4 accounting modes", total)
}

// nativeCorpora runs what fuzzing starts from, and what it has found.
func nativeCorpora(t *testing.T, b *native.Build) {
	var jobs []job
	for i, input := range seeds(t) {
		jobs = append(jobs, sequence(fmt.Sprintf("seed %d", i), input)...)
	}
	for path, input := range corpus(t, "testdata/fuzz/FuzzMeters") {
		jobs = append(jobs, sequence(path, input)...)
	}
	for path, frame := range corpus(t, "../../userspace/decode/testdata/fuzz/FuzzDecode") {
		steps := []differential.Step{{Data: frame, Length: uint32(len(frame))}}
		for _, o := range differential.OptionSets() {
			jobs = append(jobs, job{name: path, options: o, steps: steps})
		}
	}
	t.Logf("%d sequences, %d records identical", len(jobs), agreeOn(t, b, jobs))
}

// corpus reads the first argument of each file of a fuzz target's corpus.
func corpus(t *testing.T, folder string) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil {
		t.Fatal(err)
	}
	inputs := map[string][]byte{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(text), "\n")
		quoted := strings.TrimSuffix(strings.TrimPrefix(lines[min(1, len(lines)-1)], "[]byte("), ")")
		input, err := strconv.Unquote(quoted)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		inputs[path] = []byte(input)
	}
	return inputs
}

// sequence is a fuzzer's input as jobs.
func sequence(name string, input []byte) (jobs []job) {
	_, o, segments := differential.Decode(input)
	for _, steps := range segments {
		jobs = append(jobs, job{name: name, options: o, steps: steps})
	}
	return jobs
}

func nativeGenerated(t *testing.T, b *native.Build) {
	r := rand.New(rand.NewPCG(nativeSeed, 1))
	sets := differential.OptionSets()
	var jobs []job
	for i := range nativeSequences {
		o := sets[i%len(sets)]
		for _, steps := range differential.Segments(differential.Generate(r, &o), &o) {
			jobs = append(jobs, job{name: fmt.Sprintf("sequence %d", i), options: o, steps: steps})
		}
	}
	t.Logf("seed %d: %d sequences, %d records identical", nativeSeed, nativeSequences, agreeOn(t, b, jobs))
}

// nativeTCX has as little of each frame in the linear part as it likes: the
// programs have to bring forward what they read.
func nativeTCX(t *testing.T, b *native.Build) {
	r := rand.New(rand.NewPCG(nativeSeed, 5))
	sets := differential.OptionSets()
	place := func(f *native.Frame) {
		f.Hook, f.Linear = native.TCXIn+native.Hook(r.IntN(2)), uint32(r.IntN(len(f.Data)+1))
	}
	var jobs []job
	for i := range nativeSequences / 4 {
		o := sets[i%len(sets)]
		for _, steps := range differential.Segments(differential.Generate(r, &o), &o) {
			for j := range steps {
				steps[j].Length = uint32(len(steps[j].Data)) // of what is there: TCX knows no other
			}
			jobs = append(jobs, job{name: fmt.Sprintf("sequence %d", i), options: o, steps: steps, place: place})
		}
	}
	t.Logf("seed %d: %d sequences, %d records identical", nativeSeed, nativeSequences/4, agreeOn(t, b, jobs))
}

func nativeMutated(t *testing.T, b *native.Build) {
	byLink, _, _ := everyFrame(t, 0)
	m := differential.NewMutator(rand.New(rand.NewPCG(nativeSeed, 2)), byLink, 0)
	var jobs []job
	for done := 0; done < nativeMutants; done += differential.Batch {
		o := differential.FrameOptions(m.Options())
		steps := differential.Apart(m.Frames(o.LinkType, differential.Batch))
		jobs = append(jobs, job{name: "mutants", options: o, steps: steps})
	}
	t.Logf("seed %d: %d mutated frames, %d records identical", nativeSeed, len(jobs)*differential.Batch, agreeOn(t, b, jobs))
}

// exempt are headers whose only line that may not run is there for the verifier.
var exempt = []string{"ledger"}

// covered holds every header that has code to its share of lines run. Those of
// one name up to an underscore are parts of one.
func covered(t *testing.T, b *native.Build) {
	var table bytes.Buffer
	headers, files := map[string]native.Coverage{}, map[string][]string{}
	for _, c := range b.Coverage(t) {
		file := filepath.Base(c.File)
		if filepath.Ext(file) != ".h" || c.Lines == 0 || strings.Contains(c.File, "/harness/") {
			continue
		}
		fmt.Fprintf(&table, "\n%-20s %4d of %4d lines %6.2f %%", file, c.Covered, c.Lines, c.Percent())
		name, _, _ := strings.Cut(strings.TrimSuffix(file, ".h"), "_")
		sum := headers[name]
		headers[name] = native.Coverage{Lines: sum.Lines + c.Lines, Covered: sum.Covered + c.Covered}
		files[name] = append(files[name], c.File)
	}
	t.Log(table.String())
	for _, name := range []string{"decode", "key", "table", "record", "sweep", "emit"} {
		if headers[name].Lines == 0 {
			t.Errorf("no coverage of %s.h", name)
		}
	}
	for name, c := range headers {
		if c.Percent() < leastCoverage && !slices.Contains(exempt, name) {
			t.Errorf("%s: %.2f %% of its lines have run, want %.0f %%; not these:\n%s", name, c.Percent(), leastCoverage, b.Uncovered(t, files[name]...))
		}
	}
}
