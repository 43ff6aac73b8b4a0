package bpf_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"slices"
	"testing"

	"github.com/cilium/ebpf/asm"

	"github.com/weirflow/weir/bpf"
)

// allowed are the only helpers that the metering programs may call: none that
// writes to a frame, sends one elsewhere, prints, or reads the kernel's memory.
var allowed = []asm.BuiltinFunc{
	asm.FnMapLookupElem, asm.FnMapUpdateElem, asm.FnMapDeleteElem, asm.FnLoop,
	asm.FnRingbufReserve, asm.FnRingbufSubmit, asm.FnRingbufDiscard, asm.FnRingbufQuery,
	asm.FnSpinLock, asm.FnSpinUnlock, asm.FnKtimeGetNs, asm.FnGetSmpProcessorId,
	asm.FnXdpGetBuffLen, asm.FnXdpLoadBytes, asm.FnSeqWrite, asm.FnSkbLoadBytes, asm.FnSkbPullData,
}

func TestH8ProgramsCallOnlyAllowedHelpers(t *testing.T) {
	called := map[asm.BuiltinFunc]bool{}
	for _, o := range objects {
		spec, err := o.load()
		if err != nil {
			t.Fatal(err)
		}
		for name, p := range spec.Programs {
			for _, ins := range p.Instructions {
				if !ins.IsBuiltinCall() {
					continue
				}
				f := asm.BuiltinFunc(ins.Constant)
				called[f] = true
				if !slices.Contains(allowed, f) {
					t.Errorf("%s%s calls %v, which is not on the list", name, o.suffix, f)
				}
			}
		}
	}
	for _, f := range allowed {
		if !called[f] {
			t.Errorf("%v is on the list and never called", f)
		}
	}
	t.Logf("measured: %d objects call %d helpers, all on the list", len(objects), len(called))
}

func TestH11HashesNameTheObjectAndItsLayout(t *testing.T) {
	for file, got := range map[string]string{"weir_bpfel.o": bpf.ObjectHash(), "weircopied_bpfel.o": bpf.CopiedObjectHash()} {
		object, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(object)
		if want := hex.EncodeToString(sum[:]); got != want {
			t.Errorf("object hash %s, want that of %s, %s", got, file, want)
		}
	}
	first, err := bpf.LayoutHash()
	if err != nil {
		t.Fatal(err)
	}
	if second, err := bpf.LayoutHash(); err != nil || second != first || len(first) != 64 {
		t.Errorf("layout hash %s, then %s, %v", first, second, err)
	}
	t.Logf("measured: object %.12s, without CAP_PERFMON %.12s, layout %.12s", bpf.ObjectHash(), bpf.CopiedObjectHash(), first)
}
