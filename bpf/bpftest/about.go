package bpftest

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/weirflow/weir/bpf/pinned"
)

// ChangeAbout changes what the pinned meter in a directory says of itself, as a meter of
// another build, or one that was started otherwise, would say it.
func ChangeAbout(tb testing.TB, pin string, change func(*pinned.About)) {
	tb.Helper()
	if err := changeAbout(filepath.Join(pin, pinned.AboutName), change); err != nil {
		tb.Fatal(err)
	}
}

func changeAbout(path string, change func(*pinned.About)) error {
	m, err := ebpf.LoadPinnedMap(path, nil)
	if err != nil {
		return err
	}
	defer m.Close()
	value, err := m.LookupBytes(uint32(0))
	if err != nil {
		return err
	}
	var about pinned.About
	if err := json.Unmarshal(bytes.TrimRight(value, "\x00"), &about); err != nil {
		return err
	}
	change(&about)
	text, err := json.Marshal(about)
	if err != nil {
		return err
	}
	clear(value)
	copy(value, text)
	return m.Update(uint32(0), value, ebpf.UpdateAny)
}
