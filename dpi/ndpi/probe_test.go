//go:build cgo && !nodpi

package ndpi

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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

// TestALibraryIsFoundWhateverFormItHas makes prefixes of the library that this is
// built with, and wants a program that is built with each to run with it.
func TestALibraryIsFoundWhateverFormItHas(t *testing.T) {
	t.Setenv("PKG_CONFIG_ALLOW_SYSTEM_LIBS", "1")
	include := strings.TrimPrefix(strings.Fields(run(t, "", "pkg-config", "--cflags-only-I", "libndpi"))[0], "-I")
	lib := strings.TrimPrefix(strings.Fields(run(t, "", "pkg-config", "--libs-only-L", "libndpi"))[0], "-L")
	for name, c := range map[string]struct {
		file, as string
		pc       string
	}{
		"shared under no other name":       {"libndpi.so", "lib/libndpi.so", ""},
		"shared in lib64":                  {"libndpi.so", "lib64/libndpi.so", ""},
		"shared where Debian puts it":      {"libndpi.so", "lib/x86_64-linux-gnu/libndpi.so", ""},
		"an archive":                       {"libndpi.a", "lib/libndpi.a", ""},
		"shared with a .pc of other paths": {"libndpi.so", "lib/libndpi.so", "Name: libndpi\nDescription: x\nVersion: 9\nCflags: -I/nowhere\nLibs: -L/nowhere -lnothing\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := os.Stat(filepath.Join(lib, c.file)); err != nil {
				t.Logf("the library that this is built with has no such form: %v", err)
				return
			}
			prefix := t.TempDir()
			place(t, filepath.Join(prefix, c.as), filepath.Join(lib, c.file))
			place(t, filepath.Join(prefix, "include/ndpi"), include)
			if c.pc != "" {
				pc := filepath.Join(prefix, "lib/pkgconfig/libndpi.pc")
				if err := errors.Join(os.Mkdir(filepath.Dir(pc), 0o700), os.WriteFile(pc, []byte(c.pc), 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			if got := revision(t, prefix); got != Version() {
				t.Errorf("the program's library is %q, want %q", got, Version())
			}
		})
	}
}

// revision is what a program says of its library that is built with the one under
// a prefix.
func revision(t *testing.T, prefix string) string {
	t.Helper()
	const source = "#include <stdio.h>\n#include <ndpi_api.h>\nint main(void) { return puts(ndpi_revision()) < 0; }\n"
	own, program := t.TempDir(), filepath.Join(t.TempDir(), "program")
	found := strings.Fields(run(t, "", "../../tools/setup/ndpi.sh", prefix, own))
	if found[0] != filepath.Join(prefix, "include/ndpi") || found[1] != own {
		t.Errorf("found %q", found)
	}
	t.Setenv("PKG_CONFIG_PATH", own)
	arguments := append([]string{"-x", "c", "-", "-o", program}, found[2:]...)
	run(t, source, "cc", append(arguments, strings.Fields(run(t, "", "pkg-config", "--cflags", "--libs", "libndpi"))...)...)
	return strings.TrimSpace(run(t, "", program))
}

func place(t *testing.T, link, to string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(link), 0o700), os.Symlink(to, link)); err != nil {
		t.Fatal(err)
	}
}

func TestAPrefixWithoutALibraryIsToldSo(t *testing.T) {
	empty, comma := t.TempDir(), filepath.Join(t.TempDir(), "a,b")
	if err := os.Mkdir(comma, 0o700); err != nil {
		t.Fatal(err)
	}
	for prefix, want := range map[string]string{
		"":                         "name the directory",
		filepath.Join(empty, "no"): "no such directory",
		empty:                      "no ndpi_api.h",
		comma:                      "a comma",
	} {
		out, err := exec.CommandContext(t.Context(), "../../tools/setup/ndpi.sh", prefix, t.TempDir()).CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%q: %v, %s; want %q", prefix, err, out, want)
		}
	}
}

func run(t *testing.T, input, name string, arguments ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, arguments...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.Output()
	if err != nil {
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			err = fmt.Errorf("%w: %s", err, failed.Stderr)
		}
		t.Fatalf("%v: %v", cmd.Args, err)
	}
	return string(out)
}
