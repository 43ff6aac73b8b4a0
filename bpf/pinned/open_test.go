package pinned

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestWhatHoldsNoMeterIsToldSo(t *testing.T) {
	empty := t.TempDir()
	file := filepath.Join(empty, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(empty, "none"): "no such file or directory", file: "not a directory", empty: "choose another directory",
	} {
		m, err := Open(path)
		if err == nil {
			_ = m.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "open the pinned meter") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

// A refusal leaves no lock behind, and a lock ends with its file.
func TestADirectoryIsLockedByOneAtATime(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(dir); err == nil {
		t.Fatal("an empty directory is a meter")
	}
	lock, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	var busy *InUseError
	if _, err := Open(dir); !errors.As(err, &busy) || busy.PID != os.Getpid() || busy.Path != dir {
		t.Errorf("error %v, want that pid %d is at it", err, os.Getpid())
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	if again, err := Lock(dir); err != nil {
		t.Error(err)
	} else {
		_ = again.Close()
	}
}

// As weir status does, beside which a reader may start.
func TestWhoOnlyLooksKeepsNobodyOut(t *testing.T) {
	dir := t.TempDir()
	look, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(lookingTime/5, func() { _ = look.Close() })
	lock, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	_ = lock.Close()
}

func TestADirectoryThatWasMovedAwayIsNotLocked(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "meter")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	lock, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := errors.Join(os.Rename(dir, dir+"-old"), os.Mkdir(dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	other, err := Lock(dir) // the new one is free
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := Lock(dir + "-old"); !errors.As(err, new(*InUseError)) {
		t.Errorf("the lock stayed behind: %v", err)
	}
}

func TestRefusalsSayWhatToDo(t *testing.T) {
	err := Explain("/sys/fs/bpf/weir", "events", unix.EACCES)
	if want := "open events of the pinned meter /sys/fs/bpf/weir: permission denied: run as root, or as a member of the group that the directory is of"; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
	own := About{Layout: "of another build"}
	var layout *LayoutError
	if err := own.CheckLayout("/sys/fs/bpf/weir"); !errors.As(err, &layout) || layout.Pinned != own.Layout || !strings.Contains(err.Error(), "weir detach --pin /sys/fs/bpf/weir --discard") {
		t.Errorf("error %v", err)
	}
}
