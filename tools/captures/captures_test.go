package captures

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/weirflow/weir/userspace"
)

func TestCapturesOfEveryEndingAreFoundInOrder(t *testing.T) {
	dir := t.TempDir()
	names := []string{"a.pcap", "b/c.pcapng.gz", "b/d.pcap.zst", "b/e.cap", "b/f,g h.PCAP", "folder.pcap/no.txt", "no.gz"}
	for _, name := range names {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	none, link := filepath.Join(dir, "none"), filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{dir, link} {
		got, err := Beside(folder, none)
		for i := range got {
			got[i], _ = filepath.Rel(folder, got[i])
		}
		if err != nil || !slices.Equal(got, names[:5]) {
			t.Errorf("%s: %v, %v", folder, got, err)
		}
	}
	if _, err := Beside(none, dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without the first: %v", err)
	}
	if _, err := Below(dir, none); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without the second, that has to be there: %v", err)
	}
	if _, err := Below(t.TempDir()); err == nil {
		t.Error("an empty folder has captures")
	}
}

func TestACaptureIsLoadedAsItIs(t *testing.T) {
	const path = "../../testdata/dns-udp/dns-udp.pcap"
	all, short, err := Load(path, 0)
	if err != nil || len(all) != 1 || len(all[1]) == 0 || short != 0 {
		t.Fatalf("%d link types, %d left out: %v", len(all), short, err)
	}
	const shortest = 90
	fewer, short, err := Load(path, shortest)
	if err != nil || short == 0 || len(fewer[1])+short != len(all[1]) {
		t.Errorf("%d of %d frames, %d left out: %v", len(fewer[1]), len(all[1]), short, err)
	}
	p := &Packets{List: all[1]}
	for n := range all[1] {
		var c userspace.CapturedPacket
		if err := p.ReadPacket(&c); err != nil || c.TimeNs != all[1][n].TimeNs {
			t.Fatalf("packet %d: %+v, %v", n, c, err)
		}
	}
	if err := p.ReadPacket(new(userspace.CapturedPacket)); err != io.EOF {
		t.Errorf("behind the last: %v", err)
	}
}

func TestLinesAreReadToTheOneThatIsNone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lines")
	for text, want := range map[string][]int{"1\n2\n3": {1, 2, 3}, "": nil, "1\nx\n": nil} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := Lines[int](path)
		if bad := text == "1\nx\n"; !slices.Equal(got, want) || (err != nil) != bad {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}
