//go:build !cgo

package filter

import (
	"errors"

	"golang.org/x/net/bpf"
)

// Compile needs libpcap, which this build is without: it returns an error.
func Compile(expr string, linkType int) ([]bpf.RawInstruction, error) {
	return nil, errors.New("compile a filter: this build is without libpcap: build weir with cgo (CGO_ENABLED=1, libpcap-dev installed)")
}
