package dpi_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/weirflow/weir/bpf/bpftest"
	"github.com/weirflow/weir/userspace"
	"github.com/weirflow/weir/userspace/pcapfile"
)

// captureFolders are read where they are there: the project's own always, the
// reference's beside a checkout that has them.
var captureFolders = []string{"../testdata", "../../shared/captures"}

// captures lists every capture file below the folders.
func captures(tb testing.TB) (paths []string) {
	tb.Helper()
	for i, folder := range captureFolders {
		if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) && i > 0 {
			continue
		}
		err := filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
			base := strings.TrimSuffix(strings.TrimSuffix(path, ".gz"), ".zst")
			if ext := filepath.Ext(base); ext == ".pcap" || ext == ".pcapng" {
				paths = append(paths, path)
			}
			return err
		})
		if err != nil {
			tb.Fatal(err)
		}
	}
	if len(paths) == 0 {
		tb.Fatal("no captures: testdata/ is empty")
	}
	return paths
}

// packets is a capture in memory, and a PacketSource.
type packets struct {
	list []userspace.CapturedPacket
	next int
}

func (p *packets) ReadPacket(out *userspace.CapturedPacket) error {
	if p.next == len(p.list) {
		return io.EOF
	}
	*out = p.list[p.next]
	p.next++
	return nil
}

// load reads a capture, up to its damage if it has any, by link type, less the
// frames that are shorter than BPF_PROG_TEST_RUN takes.
func load(tb testing.TB, path string) map[uint32][]userspace.CapturedPacket {
	tb.Helper()
	r, err := pcapfile.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer r.Close()
	byLink := map[uint32][]userspace.CapturedPacket{}
	for {
		var p userspace.CapturedPacket
		if err := r.ReadPacket(&p); err != nil {
			return byLink
		}
		if len(p.Data) >= bpftest.MinFrame {
			p.Data = bytes.Clone(p.Data)
			byLink[p.LinkType] = append(byLink[p.LinkType], p)
		}
	}
}

// labelsByFlow are the nine columns of flows, and their details, each behind what tells one flow of
// a capture from the others.
type labelsByFlow []string

func (l *labelsByFlow) add(f *userspace.Flow) {
	a := answerOf(f)
	text := a.key() + " " + a.labels()
	if f.L7.Details != nil {
		text += fmt.Sprintf(" %+v", *f.L7.Details)
	}
	*l = append(*l, text)
}

// equal compares without regard to the order in which flows came.
func (l labelsByFlow) equal(t *testing.T, what string, want labelsByFlow) {
	t.Helper()
	slices.Sort(l)
	slices.Sort(want)
	if slices.Equal(l, want) {
		return
	}
	if len(l) != len(want) {
		t.Errorf("%s: %d flows, want %d", what, len(l), len(want))
		return
	}
	for i := range l {
		if l[i] != want[i] {
			t.Errorf("%s:\ngot  %s\nwant %s", what, l[i], want[i])
		}
	}
}
