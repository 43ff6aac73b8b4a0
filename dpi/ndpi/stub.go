//go:build !cgo || nodpi

package ndpi

import (
	"errors"
	"fmt"
)

// Available tells whether this build holds nDPI.
func Available() bool { return false }

// Loaded returns an error: this build holds no nDPI.
func Loaded() (Library, error) { return Library{}, errMissing }

var errMissing = errors.New("this weir was built without nDPI: build with cgo, libndpi-dev and without the tag nodpi")

// Version is empty: this build holds no nDPI.
func Version() string { return "" }

// A Module cannot be had in this build.
type Module struct{}

// A Flow cannot be had in this build.
type Flow = *struct{}

// Open returns an error that says how to get a build with nDPI.
func Open(Files) (*Module, error) { return nil, fmt.Errorf("open nDPI: %w", errMissing) }

// Protocols lists nothing.
func (*Module) Protocols() []Protocol { return nil }

// Categories lists nothing.
func (*Module) Categories() []string { return nil }

// Risks lists nothing.
func (*Module) Risks() []string { return nil }

// Close does nothing.
func (*Module) Close() {}

// Bound does nothing.
func (*Module) Bound(uint64) {}

// Memory is 0.
func (*Module) Memory() uint64 { return 0 }

// MemoryExact is 0.
func (*Module) MemoryExact() uint64 { return 0 }

// Feed rejects every packet.
func (*Module) Feed(*Flow, []byte, uint32, uint64) State { return Rejected }

// Bare does nothing.
func (*Module) Bare(Flow, []byte, uint32, uint64, bool) {}

// Finish leaves r and d as they are.
func (*Module) Finish(Flow, *Result, *Details) {}

// Report leaves r and d as they are.
func (*Module) Report(Flow, *Result, *Details) {}
