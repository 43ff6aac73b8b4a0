//go:build cgo && !nodpi

package ndpi

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestTheLibraryIsProbedForAllThatDiffers holds what tools/setup/probe_ndpi.sh asks
// the compiler, of the library that this is built with, against what release.h
// wants to know, and of nDPI 4.2 the answers against what release.h says without.
func TestTheLibraryIsProbedForAllThatDiffers(t *testing.T) {
	header, err := os.ReadFile("release.h")
	if err != nil {
		t.Fatal(err)
	}
	var wanted []string
	for _, m := range regexp.MustCompile(`(?m)^#ifndef (NDPI_HAS_\w+)`).FindAllStringSubmatch(string(header), -1) {
		wanted = append(wanted, m[1])
	}
	include := strings.TrimPrefix(strings.Fields(run(t, "", "pkg-config", "--cflags-only-I", "libndpi"))[0], "-I")
	var asked []string
	for _, option := range strings.Fields(run(t, "", "../../tools/setup/probe_ndpi.sh", include)) {
		name, has, _ := strings.Cut(strings.TrimPrefix(option, "-D"), "=")
		asked = append(asked, name)
		if told := toldByRelease(t, include, name); strings.HasPrefix(Version(), "4.2.") && told != has {
			t.Errorf("%s is %s by the probe, %s by the release", name, has, told)
		}
	}
	slices.Sort(wanted)
	slices.Sort(asked)
	if len(asked) == 0 || !slices.Equal(wanted, asked) {
		t.Errorf("release.h wants %v\nasked are  %v", wanted, asked)
	}
}

// toldByRelease is what release.h makes of a name where nobody was asked.
func toldByRelease(t *testing.T, include, name string) string {
	const source = "#include \"ndpi_shim.h\"\n#include <string.h>\n#include \"release.h\"\n#if NAME\nTOLD 1\n#else\nTOLD 0\n#endif\n"
	out := run(t, strings.ReplaceAll(source, "NAME", name), "cc", "-E", "-P", "-I.", "-I"+include, "-x", "c", "-")
	_, told, _ := strings.Cut(out, "TOLD ")
	return strings.TrimSpace(told)
}

func TestHeadersThatDoNotCompileAreNoLibrary(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/ndpi_api.h", []byte("struct ndpi {"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "../../tools/setup/probe_ndpi.sh", dir).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "do not compile") {
		t.Errorf("%v, %s", err, out)
	}
}

func run(t *testing.T, input, name string, arguments ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, arguments...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", cmd.Args, err)
	}
	return string(out)
}
