//go:build !cgo || nodpi

package ndpi

import "errors"

// Available tells whether this build holds nDPI.
func Available() bool { return false }

// Version is empty: this build holds no nDPI.
func Version() string { return "" }

// A Module cannot be had in this build.
type Module struct{}

// A Flow cannot be had in this build.
type Flow = *struct{}

// Open returns an error that says how to get a build with nDPI.
func Open() (*Module, error) {
	return nil, errors.New("open nDPI: this weir was built without it; build with cgo, libndpi-dev and without the tag nodpi")
}

// Close does nothing.
func (*Module) Close() {}

// Feed rejects every packet.
func (*Module) Feed(*Flow, []byte, uint32, uint64) State { return Rejected }

// Bare does nothing.
func (*Module) Bare(Flow, []byte, uint32, uint64, bool) {}

// Finish leaves r as it is.
func (*Module) Finish(Flow, *Result) {}
