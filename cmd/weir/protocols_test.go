package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/weirflow/weir/dpi"
)

func TestProtocolsListsWhatTheLibraryKnows(t *testing.T) {
	if !dpi.Available() {
		if code, f := weir(t, "protocols"); code != exitFailed || !strings.Contains(f.err.String(), "holds no nDPI") {
			t.Errorf("exit code %d, %s", code, f.err.String())
		}
		return
	}
	file := filepath.Join(t.TempDir(), "protos.txt")
	if err := os.WriteFile(file, []byte("udp:60001@Weirs_own\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, f := weir(t, "protocols", "--ndpi-protos", file)
	text := lines(f.out.String())
	if code != exitComplete || len(text) < 200 || !strings.HasPrefix(text[0], "PROTOCOL") ||
		!slices.ContainsFunc(text, func(l string) bool { return strings.HasPrefix(l, "Weirs_own ") }) {
		t.Errorf("exit code %d, %d lines, %s", code, len(text), f.err.String())
	}
	code, f = weir(t, "protocols", "--format", "json")
	var known dpi.Knowledge
	if err := json.Unmarshal(f.out.Bytes(), &known); err != nil || code != exitComplete || len(known.Risks) < 30 || len(known.Categories) < 30 {
		t.Errorf("exit code %d, %v, %d risks", code, err, len(known.Risks))
	}
	if _, f = weir(t, "protocols", "--risks"); !strings.HasPrefix(f.out.String(), "NUMBER") || len(lines(f.out.String())) != len(known.Risks)+1 {
		t.Errorf("--risks: %s", f.out.String())
	}
}

func TestAFileForNDPIIsToldByItsLines(t *testing.T) {
	if !dpi.Available() {
		t.Log("this build holds no nDPI")
		return
	}
	file := filepath.Join(t.TempDir(), "protos.txt")
	if err := os.WriteFile(file, []byte("udp:60001@Own\nudp:x@Own\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, f := weir(t, "replay", "--ndpi-protos", file, "../../testdata/ntp/ntp.pcap")
	if code != exitFailed || !strings.Contains(f.err.String(), file+":2: ports \"x\"") {
		t.Errorf("exit code %d: %s", code, f.err.String())
	}
}
