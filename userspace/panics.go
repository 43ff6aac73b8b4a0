package userspace

import "fmt"

// A PanicError is a panic of what the program gave: its PacketSource, its WithDetach's
// function, its output's io.Writer. It ends what that was for, and not the process.
type PanicError struct {
	What  string
	Value any // as recover returns it
}

func (e *PanicError) Error() string { return fmt.Sprintf("%s panicked: %v", e.What, e.Value) }

// Panics counts the calls of a program's functions that ended in a panic, each at the
// cost of what that call was for.
type Panics struct {
	// Samples were not inspected: WithSamples' function panicked over them.
	Samples uint64
	// Filter is of frames that WithFilter's function has not judged. They are metered.
	Filter uint64
	// NIC is how often WithNIC's function was asked in vain: the ledger was without
	// the interfaces' count then.
	NIC uint64
}

// survive is to be deferred by whoever calls a function of the program's, and counts
// its panics.
func survive(count *uint64) {
	if recover() != nil {
		*count++
	}
}

// surviveAs is survive for functions whose panic is an error.
func surviveAs(err *error, what string) {
	if p := recover(); p != nil {
		*err = &PanicError{what, p}
	}
}

// show has a sample inspected.
func (fn SampleFunc) show(s *Sample, panics *uint64) {
	defer survive(panics)
	fn(s)
}
