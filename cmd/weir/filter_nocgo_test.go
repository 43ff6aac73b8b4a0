//go:build !cgo

package main

import (
	"strings"
	"testing"
)

func TestWithoutCgoAFilterIsAWrongCommandLine(t *testing.T) {
	for _, command := range []string{"replay", "attach"} {
		code, f := weir(t, command, "x", "-f", "tcp")
		if said := lines(f.err.String()); code != exitUsage || len(said) != 1 || !strings.Contains(said[0], "this build is without libpcap") {
			t.Errorf("%s: exit code %d, stderr %q; want 2 and one line", command, code, said)
		}
	}
}

func TestWithoutCgoDissectionsCanOnlyBeZero(t *testing.T) {
	code, f := weir(t, "replay", http1, "--dissections", "8")
	if said := lines(f.err.String()); code != exitUsage || len(said) != 1 || !strings.Contains(said[0], "this build holds no nDPI") {
		t.Errorf("exit code %d, stderr %q; want 2 and one line", code, said)
	}
}
