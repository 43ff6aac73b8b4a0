package worker

import (
	"fmt"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/dpi/ndpi"
)

// Command is the hidden command that makes weir the DPI process.
const Command = "dpi-worker"

// ConnFD is the descriptor of the socket in the DPI process.
const ConnFD = 3

// FilesFD is the descriptor of the first of the user's files.
const FilesFD = WitnessFD + 1

// Main is the DPI process: it serves the socket that it was started with until
// that ends, and returns the exit code.
func Main() int { return Run(OpenNDPI) }

// Run is Main with another Inspector.
func Run(open Opener) int {
	// The terminal and service managers signal the whole group. The process
	// ends when the one that started it does, not before the last verdict.
	signal.Ignore(os.Interrupt, unix.SIGTERM, unix.SIGHUP)
	if err := confine(); err != nil {
		fmt.Fprintln(os.Stderr, "weir "+Command+":", err)
		return 1
	}
	conn := os.NewFile(ConnFD, "samples")
	if conn == nil {
		fmt.Fprintln(os.Stderr, "weir "+Command+": weir runs this command by itself; it is of no use by hand")
		return 2
	}
	witness, err := openWitness()
	if err == nil {
		err = Serve(conn, witness, confined(open))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "weir "+Command+":", err)
		return 1
	}
	return 0
}

// OpenNDPI opens a Classifier on a new detection module.
func OpenNDPI(h Hello) (Inspector, string, error) {
	m, err := ndpi.Open(given(h.Files))
	if err != nil {
		return nil, ndpi.Version(), err
	}
	return NewClassifier(m, h), ndpi.Version(), nil
}

// given names the user's files by their descriptors.
func given(bits uint8) (f ndpi.Files) {
	fd := FilesFD
	for i, path := range f.Places() {
		if bits>>i&1 != 0 {
			*path = fmt.Sprintf("/proc/self/fd/%d", fd)
			fd++
		}
	}
	return f
}
