package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

const testdata = "../../../testdata"

// TestTestdataIsWhatThisProgramBuilds keeps the committed captures and the
// program that explains them equal.
func TestTestdataIsWhatThisProgramBuilds(t *testing.T) {
	files, err := build()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(testdata, name))
		if err != nil {
			t.Errorf("%v; run: go run ./tools/capture/corner testdata", err)
			continue
		}
		if !bytes.Equal(unpack(t, name, got), unpack(t, name, want)) {
			t.Errorf("%s differs; run: go run ./tools/capture/corner testdata", name)
		}
	}
	left, err := filepath.Glob(filepath.Join(testdata, "built-*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range left {
		name, _ := filepath.Rel(testdata, path)
		if _, built := files[name]; !built {
			t.Errorf("%s is not built by anything", name)
		}
	}
}

// unpack makes the comparison independent of the release of a compressor.
func unpack(t *testing.T, name string, b []byte) []byte {
	t.Helper()
	var r io.Reader = bytes.NewReader(b)
	var err error
	switch filepath.Ext(name) {
	case ".gz":
		r, err = gzip.NewReader(r)
	case ".zst":
		r, err = zstd.NewReader(r)
	}
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return plain
}

func TestTestdataIsSmallAndEachDirectorySaysWhy(t *testing.T) {
	var octets int64
	err := filepath.WalkDir(testdata, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil || d.IsDir() {
			return err
		}
		octets += info.Size()
		why, err := os.ReadFile(filepath.Join(filepath.Dir(path), "README.md"))
		if err != nil || strings.TrimSpace(string(why)) == "" {
			t.Errorf("%s: no reason in README.md beside it (%v)", path, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if octets > 5<<20 {
		t.Errorf("testdata holds %d octets, want at most 5 MiB", octets)
	}
}
