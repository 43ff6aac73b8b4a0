//go:build cgo && !nodpi

package ndpi

/*
#cgo pkg-config: libndpi
#cgo CFLAGS: -O2 -Wall -Wextra
#cgo noescape weir_ndpi_feed
#cgo nocallback weir_ndpi_feed
#cgo noescape weir_ndpi_bare
#cgo nocallback weir_ndpi_bare
#cgo noescape weir_ndpi_finish
#cgo nocallback weir_ndpi_finish
#include <stdlib.h>
#include "ndpi_shim.h"
*/
import "C"

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"unicode/utf8"
	"unsafe"
)

// Available tells whether this build holds nDPI.
func Available() bool { return true }

// Version is the release of the library that is loaded, as in "4.2.0".
func Version() string { return C.GoString(C.weir_ndpi_version()) }

// modules serialises making and destroying modules, which write to variables
// that all of them share.
var modules sync.Mutex

// A Module is a detection module: the dissectors, and the caches by which one
// flow tells about another. It is for one goroutine.
type Module struct {
	m *C.struct_weir_ndpi
	// arena holds the packet under inspection. nDPI keeps pointers into the
	// last one it saw, so it may neither move nor go.
	arena []byte
	p     unsafe.Pointer
	r     C.struct_weir_ndpi_result
}

// A Flow is one flow under inspection; nil is one that no packet was seen of.
// It belongs to its Module, and ends with Finish.
type Flow = *C.struct_weir_ndpi_flow

// Open makes a module with nDPI's defaults and all its protocols.
func Open() (*Module, error) {
	if C.weir_ndpi_matches() == 0 {
		return nil, fmt.Errorf("open nDPI: the library that is loaded (%s) is not the one that weir was built with; build weir anew, or install that one", Version())
	}
	modules.Lock()
	defer modules.Unlock()
	m := C.weir_ndpi_open()
	if m == nil {
		return nil, errors.New("open nDPI: no memory for a detection module (about 6 MB)")
	}
	p := C.malloc(PacketMax)
	if p == nil {
		C.weir_ndpi_close(m)
		return nil, errors.New("open nDPI: no memory for a packet")
	}
	return &Module{m: m, p: p, arena: unsafe.Slice((*byte)(p), PacketMax)}, nil
}

// Close gives the module's memory back. Flows that are not finished leak.
func (m *Module) Close() {
	modules.Lock()
	defer modules.Unlock()
	C.weir_ndpi_close(m.m)
	C.free(m.p)
	m.m, m.p, m.arena = nil, nil, nil
}

// Feed shows nDPI a packet of the flow, from its IP header on, which had wire
// octets before it was cut; *f is nil for the flow's first. A packet that is cut
// is shown with the length it has; one that could lead nDPI astray is not shown,
// and the state says so.
func (m *Module) Feed(f *Flow, packet []byte, wire uint32, timeMs uint64) State {
	n := copy(m.arena, packet)
	if !fitLengths(m.arena[:n], wire) {
		n = 0
	}
	flow := *f // apart from what the caller keeps it in, which C may not be shown
	state := C.weir_ndpi_feed(m.m, &flow, (*C.uint8_t)(m.p), C.uint16_t(n), C.uint64_t(timeMs))
	*f = flow
	return State(state)
}

// Bare tells nDPI that a packet without payload came before the one given, which
// is shown next: the same way, or against it. It is made of that one's headers,
// and for releases and flows that go by it.
func (m *Module) Bare(f Flow, packet []byte, wire uint32, timeMs uint64, against bool) {
	n := copy(m.arena, packet)
	if f == nil || !fitLengths(m.arena[:n], wire) {
		return
	}
	C.weir_ndpi_bare(m.m, f, (*C.uint8_t)(m.p), C.uint16_t(n), C.uint64_t(timeMs), C.bool(against))
}

// Finish ends the inspection of the flow, with a guess where nothing was found,
// and fills in r. The flow is gone then.
func (m *Module) Finish(f Flow, r *Result) {
	C.weir_ndpi_finish(m.m, f, &m.r)
	r.Guessed = m.r.guessed != 0
	r.Confidence = uint8(m.r.confidence)
	r.ApplicationName = text(m.r.application_name[:])
	r.CategoryName = text(m.r.category_name[:])
	r.ServerName = text(m.r.server_name[:])
	r.ClientFingerprint = text(m.r.client_fingerprint[:])
	r.ServerFingerprint = text(m.r.server_fingerprint[:])
	r.UserAgent = text(m.r.user_agent[:])
	r.ContentType = text(m.r.content_type[:])
}

// text is the octets before the first 0, less those that are not UTF-8.
func text(c []C.char) []byte {
	b := unsafe.Slice((*byte)(unsafe.Pointer(&c[0])), len(c))
	b = b[:bytes.IndexByte(b, 0)]
	if utf8.Valid(b) {
		return b
	}
	return bytes.ToValidUTF8(b, nil)
}
