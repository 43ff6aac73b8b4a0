package differential_test

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/bpftest"
	"github.com/weirflow/weir/bpf/differential"
	capturefiles "github.com/weirflow/weir/tools/captures"
)

// captures are the project's own, and the reference's beside a checkout that has
// them.
func captures(tb testing.TB) []string {
	tb.Helper()
	paths, err := capturefiles.Beside("../../testdata", "../../../shared/captures")
	if err != nil {
		tb.Fatal(err)
	}
	return paths
}

func load(tb testing.TB, path string, shortest int) (map[uint32][]differential.Step, int) {
	tb.Helper()
	byLink, short, err := differential.Load(path, shortest)
	if err != nil {
		tb.Fatal(err)
	}
	return byLink, short
}

// everyFrame is all frames of all captures, by link type.
func everyFrame(tb testing.TB, shortest int) (frames map[uint32][]differential.Step, total, short int) {
	tb.Helper()
	frames = map[uint32][]differential.Step{}
	for _, path := range captures(tb) {
		byLink, s := load(tb, path, shortest)
		short += s
		for link, steps := range byLink {
			frames[link] = append(frames[link], steps...)
			total += len(steps)
		}
	}
	return frames, total, short
}

func kernel(tb testing.TB, o bpftest.Options) *differential.Kernel {
	tb.Helper()
	k, err := differential.NewKernel(o)
	if err != nil {
		tb.Fatalf("%v (this test needs CAP_BPF and CAP_NET_ADMIN: run as root)", err)
	}
	tb.Cleanup(func() { settle(tb, k) })
	return k
}

// accountings are all modes, and in short the one that counts what is behind all
// headers: the others leave off earlier.
func accountings() []bpf.Accounting {
	if testing.Short() {
		return []bpf.Accounting{bpf.WeirAccountingACCOUNTING_PAYLOAD}
	}
	return []bpf.Accounting{0, 1, 2, 3}
}

// TestF1DecodersAgreeOnEveryFrame gives each frame to the kernel's decoder and to
// Go's, and compares every octet of what they make of it.
func TestF1DecodersAgreeOnEveryFrame(t *testing.T) {
	decodersAgree(t, false, accountings())
}

// The object for a process without CAP_PERFMON is compiled from the same decoder,
// so that one accounting mode tells.
func TestF1DecodersAgreeWithoutPerfmon(t *testing.T) {
	decodersAgree(t, true, []bpf.Accounting{bpf.WeirAccountingACCOUNTING_PAYLOAD})
}

func decodersAgree(t *testing.T, copied bool, modes []bpf.Accounting) {
	frames, total, short := everyFrame(t, bpftest.MinFrame)
	var decoded uint64
	for link, list := range frames {
		for _, mode := range modes {
			o := differential.DecoderOptions(link, mode, false)
			o.Copied = copied
			d, err := differential.NewDecoders(o)
			if err != nil {
				t.Fatalf("%v (this test needs CAP_BPF and CAP_NET_ADMIN: run as root)", err)
			}
			if err := d.Agree(list); err != nil {
				t.Error(err)
			}
			decoded += d.Counted().OverflowPackets
			if err := d.StatusesAgree(list); err != nil {
				t.Error(err)
			}
			if err := d.Settle(); err != nil {
				t.Error(err)
			}
			d.Close()
		}
	}
	if decoded < uint64(total*len(modes)/4) {
		t.Errorf("only %d packets of %d frames in %d accounting modes were compared", decoded, total, len(modes))
	}
	t.Logf("measured: %d frames in %d accounting modes, %d packets equal; %d shorter than %d octets could not be run", total, len(modes), decoded, short, bpftest.MinFrame)
}

// TestF2MetersAgreeOnEveryCapture runs each capture with its own clock through the
// kernel's meter and Go's.
func TestF2MetersAgreeOnEveryCapture(t *testing.T) {
	ends := []bool{true, false}
	if testing.Short() {
		ends = ends[:1] // what does not end is metered as that which has not ended yet
	}
	for _, tcpEnd := range ends {
		metersAgree(t, false, tcpEnd)
	}
}

func TestF2MetersAgreeWithoutPerfmon(t *testing.T) { metersAgree(t, true, true) }

func metersAgree(t *testing.T, copied, tcpEnd bool) {
	records, kernels := 0, map[uint32]*differential.Kernel{}
	for _, path := range captures(t) {
		byLink, _ := load(t, path, bpftest.MinFrame)
		for link, steps := range byLink {
			o := captureOptions(link, tcpEnd)
			o.Copied = copied
			if kernels[link] == nil {
				kernels[link] = kernel(t, o)
			}
			got, err := kernels[link].Run(steps, 0)
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			records += agree(t, path, o, steps, &got)
		}
	}
	t.Logf("measured: %d records identical, connections end: %v", records, tcpEnd)
}

func captureOptions(link uint32, tcpEnd bool) bpftest.Options {
	return bpftest.Options{LinkType: link, Statistics: true, TCPStatistics: true, IPStatistics: true, TCPEnd: tcpEnd,
		SPLT: uint8(bpf.SPLTMax), Samples: 20, MaxFlows: 16384}
}

// agree compares an outcome with the Go meter's, and counts the records.
func agree(t *testing.T, name string, o bpftest.Options, steps []differential.Step, got *differential.Outcome) int {
	t.Helper()
	want, err := differential.Go(differential.Config(o), o.LinkType, steps, 0)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if err := differential.Differ(got, &want); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	return len(want.Records)
}

// FuzzMeters looks for a sequence of frames that the kernel's meter, of either object,
// and Go's make something different of.
func FuzzMeters(f *testing.F) {
	for _, input := range seeds(f) {
		f.Add(input)
	}
	kernels := map[loaded]*differential.Kernel{}
	f.Cleanup(func() {
		for _, k := range kernels {
			settle(f, k)
		}
	})
	f.Fuzz(func(t *testing.T, input []byte) { sequenceAgrees(t, kernels, input) })
}

// settle closes a kernel's meter, and its ledger.
func settle(tb testing.TB, k *differential.Kernel) {
	tb.Helper()
	if l, err := k.Settle(); err != nil {
		tb.Errorf("the ledger does not close: %v\n%+v", err, l)
	}
	k.Close()
}

// loaded is an object with one of the sets of options.
type loaded struct {
	set    int
	copied bool
}

// sequenceAgrees loads an object for a set of options once: it takes a hundred
// times as long as a sequence.
func sequenceAgrees(t *testing.T, kernels map[loaded]*differential.Kernel, input []byte) {
	set, o, segments := differential.Decode(input)
	done := uint8(set % 4)
	for _, steps := range segments {
		want, err := differential.Go(differential.Config(o), o.LinkType, steps, done)
		if err != nil {
			t.Fatal(err)
		}
		for _, o.Copied = range []bool{false, true} {
			got, err := kernelOf(t, kernels, set, o).Run(steps, done)
			if err != nil {
				t.Fatal(err)
			}
			if err := differential.Differ(&got, &want); err != nil {
				t.Fatalf("options %+v, samples until %d: %v", o, done, err)
			}
		}
	}
}

func kernelOf(t *testing.T, kernels map[loaded]*differential.Kernel, set int, o bpftest.Options) *differential.Kernel {
	t.Helper()
	l := loaded{set, o.Copied}
	if kernels[l] == nil {
		k, err := differential.NewKernel(o)
		if err != nil {
			t.Fatalf("%v (this test needs CAP_BPF and CAP_NET_ADMIN: run as root)", err)
		}
		kernels[l] = k
	}
	return kernels[l]
}

// seeds are what fuzzing starts from: frames of each capture, and sequences made
// at random.
func seeds(tb testing.TB) (inputs [][]byte) {
	tb.Helper()
	sets := differential.OptionSets()
	for n, path := range captures(tb) {
		byLink, _ := load(tb, path, bpftest.MinFrame)
		for _, link := range slices.Sorted(maps.Keys(byLink)) {
			inputs = append(inputs, differential.Encode(setOf(sets, link, n), first(byLink[link], 12)))
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 64 {
		input := make([]byte, 400)
		for j := range input {
			input[j] = byte(r.IntN(256))
		}
		input[0] = byte(i)
		inputs = append(inputs, input)
	}
	return inputs
}

// setOf is one of the sets of options with the link type, the n-th of them.
func setOf(sets []bpftest.Options, link uint32, n int) int {
	var with []int
	for i, o := range sets {
		if o.LinkType == link {
			with = append(with, i)
		}
	}
	if with == nil {
		return n % len(sets)
	}
	return with[n%len(with)]
}

func first(steps []differential.Step, n int) (frames [][]byte) {
	for _, s := range steps[:min(len(steps), n)] {
		frames = append(frames, s.Data)
	}
	return frames
}
