package bpf

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// ObjectHash names the metering programs of this build: SHA-256 of the compiled
// object, in hexadecimal. It is that of bpf/weir_bpfel.o in the repository.
func ObjectHash() string {
	sum := sha256.Sum256(_WeirBytes)
	return hex.EncodeToString(sum[:])
}

// CopiedObjectHash names those for a process without CAP_PERFMON, in the same way:
// bpf/weircopied_bpfel.o.
func CopiedObjectHash() string {
	sum := sha256.Sum256(_WeirCopiedBytes)
	return hex.EncodeToString(sum[:])
}

// wireTypes are the structures that cross the boundary between the kernel and Go,
// or stay in the kernel's maps.
var wireTypes = []string{
	"flow_key", "packet", "record_event", "packet_event", "sample_event",
	"ledger", "sweep", "sweep_packet", "sweep_walk", "dpi_done", "consumer_progress", "refusal", "flow_entry",
	"flow_whole",
}

// LayoutHash names the layout of what programs and user space share: SHA-256 over
// names, sizes and offsets of the fields of every such structure, in hexadecimal.
// Builds of the same layout understand each other's maps and ring buffer.
func LayoutHash() (string, error) {
	spec, err := LoadWeir()
	if err != nil {
		return "", fmt.Errorf("read the metering programs: %w", err)
	}
	return layoutHash(spec)
}

func layoutHash(spec *ebpf.CollectionSpec) (string, error) {
	h := sha256.New()
	for _, name := range wireTypes {
		var s *btf.Struct
		if err := spec.Types.TypeByName(name, &s); err != nil {
			return "", fmt.Errorf("find struct %s in the metering programs: %w", name, err)
		}
		if err := writeLayout(h, s, 0); err != nil {
			return "", fmt.Errorf("lay out struct %s: %w", name, err)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// writeLayout writes a type as a line for each field, nested ones included.
func writeLayout(w io.Writer, t btf.Type, depth int) error {
	t = btf.UnderlyingType(t)
	size, err := btf.Sizeof(t)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "%*s%T %d\n", depth, "", t, size); err != nil {
		return err
	}
	switch t := t.(type) {
	case *btf.Array:
		return writeLayout(w, t.Type, depth+1)
	case *btf.Struct:
		for _, m := range t.Members {
			if _, err := fmt.Fprintf(w, "%*s%s %d %d\n", depth, "", m.Name, m.Offset, m.BitfieldSize); err != nil {
				return err
			}
			if err := writeLayout(w, m.Type, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}
