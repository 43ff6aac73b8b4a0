package bpf_test

import (
	"errors"
	"regexp"
	"strconv"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/weirflow/weir/bpf"
)

// The budget: growth beyond it is a decision, not an accident.
const (
	maxProcessed    = 100_000
	maxInstructions = 8_192
)

var processed = regexp.MustCompile(`processed (\d+) insns`)

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

func TestVerifierAcceptsEveryProgramWithinBudget(t *testing.T) {
	for _, lt := range []uint32{1, 101, 113, 127} {
		spec, err := bpf.LoadWeir()
		if err != nil {
			t.Fatal(err)
		}
		everythingOn(t, spec, lt)
		coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{
			Programs: ebpf.ProgramOptions{LogLevel: ebpf.LogLevelStats},
		})
		if err != nil {
			var ve *ebpf.VerifierError
			if errors.As(err, &ve) {
				t.Fatalf("link type %d: %+v", lt, ve)
			}
			t.Fatalf("link type %d: %v", lt, err)
		}
		for name, p := range coll.Programs {
			m := processed.FindStringSubmatch(p.VerifierLog)
			if m == nil {
				t.Fatalf("%s: the verifier gave no figures: %q", name, p.VerifierLog)
			}
			n, _ := strconv.Atoi(m[1])
			size := len(spec.Programs[name].Instructions)
			t.Logf("link type %3d %-14s %6d processed, %5d instructions", lt, name, n, size)
			if n > maxProcessed {
				t.Errorf("%s: %d instructions processed, budget %d", name, n, maxProcessed)
			}
			if size > maxInstructions {
				t.Errorf("%s: %d instructions, budget %d", name, size, maxInstructions)
			}
		}
		coll.Close()
	}
}
