package main

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// image is the head of a kernel's image that names its release.
func image(release string) []byte {
	b := make([]byte, 0x400)
	copy(b[0x202:], "HdrS")
	binary.LittleEndian.PutUint16(b[0x20e:], 0x100)
	copy(b[0x300:], release+" (somebody@somewhere) #1")
	return b
}

func TestTheReleaseIsReadFromTheImage(t *testing.T) {
	if got, err := releaseOf(image("6.1.0-56-cloud-amd64")); got != "6.1.0-56-cloud-amd64" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	for name, text := range map[string][]byte{"empty": nil, "no kernel": make([]byte, 0x400), "cut": image("6.1.0")[:0x300]} {
		if got, err := releaseOf(text); !errors.Is(err, errNoImage) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestWhatAKernelLacksIsNamed(t *testing.T) {
	config := strings.Join(needed, "=y\n") + "=y\n"
	if lacks := lacking(config); lacks != nil {
		t.Errorf("%q of a kernel that has all", lacks)
	}
	config = strings.Replace(config, "CONFIG_DEBUG_INFO_BTF=y", "# CONFIG_DEBUG_INFO_BTF is not set", 1)
	if lacks := lacking(config); !slices.Equal(lacks, []string{"CONFIG_DEBUG_INFO_BTF"}) {
		t.Errorf("%q", lacks)
	}
}

func TestModulesThatAreBuiltInAreNotLoaded(t *testing.T) {
	k := kernel{modules: t.TempDir()}
	if err := os.WriteFile(filepath.Join(k.modules, "modules.builtin"), []byte("kernel/drivers/net/veth.ko\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if files, err := k.load([]string{"veth"}); err != nil || files != nil {
		t.Errorf("%q, %v", files, err)
	}
	if _, err := k.load([]string{"tun"}); err == nil || !strings.Contains(err.Error(), "no module tun") {
		t.Errorf("error %v", err)
	}
}

func TestLibrariesAreFoundInWhatLddSays(t *testing.T) {
	said := "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n"
	if got, want := libraries(said), []string{"/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// The pattern is a regular expression for each name between slashes, as
// -test.skip takes them.
func TestWhatIsLeftOutIsMatchedAsAWhole(t *testing.T) {
	s := suite{leftOut: []leftOut{{"TestA", ""}, {"TestB/(in|out)", ""}}}
	if got, want := s.skip(), "^TestA$|^TestB$/^(in|out)$"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestEveryPackageLeftOutIsSaidWithItsReason(t *testing.T) {
	var said strings.Builder
	runs, err := chosen(nil)
	if err != nil {
		t.Fatal(err)
	}
	tests, packages := sayLeftOut(&said, runs)
	if lines := strings.Count(said.String(), "\n"); lines != tests+packages || packages+len(runs) != len(suites) {
		t.Errorf("%d tests and %d packages left out, %d run, of %d; said:\n%s", tests, packages, len(runs), len(suites), &said)
	}
	if bad := regexp.MustCompile(`(?m): *$`).FindString(said.String()); bad != "" {
		t.Errorf("without a reason:\n%s", &said)
	}
	if _, err := chosen([]string{"cmd/weir"}); err == nil {
		t.Error("a package that is left out can be chosen")
	}
	if _, err := chosen([]string{"bpf"}); err != nil {
		t.Error(err)
	}
}
