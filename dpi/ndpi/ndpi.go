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
#cgo noescape weir_ndpi_report
#cgo nocallback weir_ndpi_report
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

// Version is the revision of the library that is loaded, as in "4.2.0".
func Version() string { return C.GoString(C.weir_ndpi_version()) }

// Loaded describes the library that is loaded. The error says that it is not the
// one that weir was built with.
func Loaded() (Library, error) {
	var major, minor C.int
	C.weir_ndpi_release_built(&major, &minor)
	l := Library{
		Version: Version(), API: uint16(C.weir_ndpi_api_loaded()),
		BuiltMajor: int(major), BuiltMinor: int(minor), BuiltAPI: uint16(C.weir_ndpi_api_built()),
		ClientsAreJA4: C.weir_ndpi_malicious_clients_are_ja4() != 0,
	}
	if C.weir_ndpi_matches() != 0 {
		return l, nil
	}
	return l, fmt.Errorf("nDPI: the library that is loaded (%s, API %d) is not the one that weir was built with (%d.%d, API %d): build weir anew, or have the loader find that one",
		l.Version, l.API, l.BuiltMajor, l.BuiltMinor, l.BuiltAPI)
}

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
	d     C.struct_weir_ndpi_details
	risks []string // by bit
}

// A Flow is one flow under inspection; nil is one that no packet was seen of.
// It belongs to its Module, and ends with Finish.
type Flow = *C.struct_weir_ndpi_flow

// Open makes a module with nDPI's defaults, all its protocols and the user's
// files.
func Open(files Files) (*Module, error) {
	if _, err := Loaded(); err != nil {
		return nil, fmt.Errorf("open %w", err)
	}
	m, err := openModule(files)
	if err != nil {
		return nil, fmt.Errorf("open nDPI: %w", err)
	}
	p := C.malloc(PacketMax)
	if p == nil {
		C.weir_ndpi_close(m)
		return nil, errors.New("open nDPI: no memory for a packet")
	}
	return &Module{m: m, p: p, arena: unsafe.Slice((*byte)(p), PacketMax), risks: names(func(i C.int) *C.char { return C.weir_ndpi_risk_name(i) })}, nil
}

func openModule(files Files) (*C.struct_weir_ndpi, error) {
	modules.Lock()
	defer modules.Unlock()
	f := (*C.struct_weir_ndpi_files)(C.calloc(1, C.sizeof_struct_weir_ndpi_files))
	if f == nil {
		return nil, errors.New("no memory")
	}
	defer C.free(unsafe.Pointer(f))
	for _, path := range [...]struct {
		to   **C.char
		name string
	}{
		{&f.protocols, files.Protocols}, {&f.categories, files.Categories}, {&f.risk_domains, files.RiskDomains},
		{&f.malicious_clients, files.MaliciousClients}, {&f.malicious_certificates, files.MaliciousCertificates},
	} {
		if path.name != "" {
			*path.to = C.CString(path.name)
			defer C.free(unsafe.Pointer(*path.to))
		}
	}
	var trouble C.int
	if m := C.weir_ndpi_open(f, &trouble); m != nil {
		return m, nil
	}
	return nil, troubleOf(trouble)
}

// troubleOf is why weir_ndpi_open gave no module.
func troubleOf(number C.int) error {
	switch number {
	case C.WEIR_NDPI_NOT_READY:
		return errors.New("the library does not come to an end of its preparations")
	case C.WEIR_NDPI_BAD_PROTOCOLS:
		return errors.New("the library does not take the file of protocols")
	case C.WEIR_NDPI_BAD_CATEGORIES:
		return errors.New("the library does not take the file of categories")
	case C.WEIR_NDPI_BAD_RISK_DOMAINS:
		return errors.New("the library does not take the file of risky domains")
	case C.WEIR_NDPI_BAD_CLIENTS:
		return errors.New("the library does not take the file of malicious clients")
	case C.WEIR_NDPI_BAD_CERTIFICATES:
		return errors.New("the library does not take the file of malicious certificates")
	default:
		return errors.New("no memory for a detection module (about 6 MB)")
	}
}

// names gathers names by number, up to the first that is none.
func names(of func(C.int) *C.char) (list []string) {
	for i := C.int(0); ; i++ {
		name := of(i)
		if name == nil {
			return list
		}
		list = append(list, C.GoString(name))
	}
}

// Protocols lists what the module knows, in the library's order, the user's
// included.
func (m *Module) Protocols() (list []Protocol) {
	var p C.struct_weir_ndpi_protocol
	for i := range C.int(C.WEIR_NDPI_PROTOCOLS_MAX) {
		if C.weir_ndpi_protocol(m.m, i, &p) != 0 {
			list = append(list, Protocol{string(text(p.name[:])), string(text(p.category[:])), string(text(p.breed[:]))})
		}
	}
	return list
}

// Categories lists the names of categories by number.
func (m *Module) Categories() []string {
	return names(func(i C.int) *C.char { return C.weir_ndpi_category_name(m.m, i) })
}

// Risks lists the names of risks by their bit.
func (m *Module) Risks() []string { return m.risks }

// Close gives the module's memory back. Flows that are not finished leak.
func (m *Module) Close() {
	modules.Lock()
	defer modules.Unlock()
	C.weir_ndpi_close(m.m)
	C.free(m.p)
	m.m, m.p, m.arena = nil, nil, nil
}

// Bound says from how many octets on flows are Crowded.
func (m *Module) Bound(octets uint64) { C.weir_ndpi_bound(m.m, C.uint64_t(octets)) }

// Memory is how many octets the library holds, of all modules of the process.
func (m *Module) Memory() uint64 { return uint64(C.weir_ndpi_memory()) }

// MemoryExact is Memory without what a count may have missed; it takes longer.
func (m *Module) MemoryExact() uint64 { return uint64(C.weir_ndpi_memory_exact()) }

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
// and fills in r, and d unless it is nil. The flow is gone then.
func (m *Module) Finish(f Flow, r *Result, d *Details) {
	if d == nil {
		C.weir_ndpi_finish(m.m, f, &m.r, nil)
	} else {
		C.weir_ndpi_finish(m.m, f, &m.r, &m.d)
		m.details(d)
	}
	m.result(r)
}

// Report fills in what is known of the flow so far.
func (m *Module) Report(f Flow, r *Result, d *Details) {
	if d == nil {
		C.weir_ndpi_report(m.m, f, &m.r, nil)
	} else {
		C.weir_ndpi_report(m.m, f, &m.r, &m.d)
		m.details(d)
	}
	m.result(r)
}

func (m *Module) result(r *Result) {
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

func (m *Module) details(d *Details) {
	c := &m.d
	*d = Details{
		Risks:                uint64(c.risks),
		RiskScore:            uint16(c.risk_score),
		Breed:                text(c.breed[:]),
		TLSVersion:           uint16(c.tls_version),
		TLSCipher:            uint16(c.tls_cipher),
		JA4:                  text(c.ja4[:]),
		ALPNOffered:          text(c.alpn_offered[:]),
		ALPNChosen:           text(c.alpn_chosen[:]),
		CertificateIssuer:    text(c.certificate_issuer[:]),
		CertificateSubject:   text(c.certificate_subject[:]),
		CertificateNotBefore: uint32(c.certificate_not_before),
		CertificateNotAfter:  uint32(c.certificate_not_after),
		HTTPMethod:           text(c.http_method[:]),
		HTTPURL:              text(c.http_url[:]),
		HTTPStatus:           uint16(c.http_status),
		HTTPServer:           text(c.http_server[:]),
		HTTPRequestType:      text(c.http_request_content_type[:]),
		OperatingSystem:      text(c.operating_system[:]),
		SSHClient:            text(c.ssh_client[:]),
		SSHServer:            text(c.ssh_server[:]),
		HASSH:                text(c.hassh[:]),
		HASSHServer:          text(c.hassh_server[:]),
		DHCPFingerprint:      text(c.dhcp_fingerprint[:]),
		DHCPClass:            text(c.dhcp_class[:]),
	}
	if c.has_certificate_sha1 != 0 {
		d.CertificateSHA1 = octets(c.certificate_sha1[:])
	}
	if c.has_bittorrent_hash != 0 {
		d.BitTorrentHash = octets(c.bittorrent_hash[:])
	}
}

func octets(c []C.uint8_t) []byte { return unsafe.Slice((*byte)(unsafe.Pointer(&c[0])), len(c)) }

// text is the octets before the first 0, less those that are not UTF-8.
func text(c []C.char) []byte {
	b := unsafe.Slice((*byte)(unsafe.Pointer(&c[0])), len(c))
	b = b[:bytes.IndexByte(b, 0)]
	if utf8.Valid(b) {
		return b
	}
	return bytes.ToValidUTF8(b, nil)
}
