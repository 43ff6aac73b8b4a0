//go:build cgo

package filter

/*
#cgo LDFLAGS: -lpcap
#include <stdlib.h>
#include <pcap/pcap.h>
*/
import "C"

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/net/bpf"
)

// Link types whose number in a file (LINKTYPE_*) is not the one that libpcap's
// functions take on Linux (DLT_*).
var dataLinkTypes = map[int]int{
	101: C.DLT_RAW,
	104: C.DLT_C_HDLC,
}

// maxSnapLength is libpcap's own bound of a frame's length.
const maxSnapLength = 262144

// Compile translates a pcap filter expression (see pcap-filter(7)) for frames
// of a link type, pcap's LINKTYPE_*.
func Compile(expr string, linkType int) ([]bpf.RawInstruction, error) {
	dlt, ok := dataLinkTypes[linkType]
	if !ok {
		dlt = linkType
	}
	handle := C.pcap_open_dead(C.int(dlt), maxSnapLength)
	if handle == nil {
		return nil, errors.New("compile a filter: libpcap is out of memory")
	}
	defer C.pcap_close(handle)
	text := C.CString(expr)
	defer C.free(unsafe.Pointer(text))
	var program C.struct_bpf_program
	if C.pcap_compile(handle, &program, text, 1, C.PCAP_NETMASK_UNKNOWN) != 0 {
		return nil, fmt.Errorf("compile filter %q: %s: see pcap-filter(7) for the language", expr, C.GoString(C.pcap_geterr(handle)))
	}
	defer C.pcap_freecode(&program)
	return instructions(&program), nil
}

func instructions(program *C.struct_bpf_program) []bpf.RawInstruction {
	raw := make([]bpf.RawInstruction, 0, int(program.bf_len))
	for _, i := range unsafe.Slice(program.bf_insns, int(program.bf_len)) {
		raw = append(raw, bpf.RawInstruction{Op: uint16(i.code), Jt: uint8(i.jt), Jf: uint8(i.jf), K: uint32(i.k)})
	}
	return raw
}
