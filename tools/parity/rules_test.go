package main

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/userspace"
	"github.com/weirflow/weir/userspace/pcapfile"
)

// everyFrame reads all captures below the folders that are there.
func everyFrame(t *testing.T) (frames []userspace.CapturedPacket) {
	t.Helper()
	for _, folder := range []string{projectCaptures, referenceCaptures} {
		_ = filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
			if err == nil && (strings.HasSuffix(path, ".pcap") || strings.HasSuffix(path, ".pcapng")) {
				frames = append(frames, framesOf(t, path)...)
			}
			return nil
		})
	}
	if len(frames) == 0 {
		t.Fatal("no captures: testdata/ is empty")
	}
	return frames
}

func framesOf(t *testing.T, path string) (frames []userspace.CapturedPacket) {
	t.Helper()
	packets, err := pcapfile.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	for {
		var p userspace.CapturedPacket
		if err := packets.ReadPacket(&p); errors.Is(err, io.EOF) || err != nil {
			return frames
		}
		p.Data = append([]byte(nil), p.Data...)
		frames = append(frames, p)
	}
}

// unexplained reads a frame both ways, and tells whether the two differ and no
// rule says why.
func unexplained(p *userspace.CapturedPacket, tunnels bool, accounting bpf.Accounting) (*frame, bool) {
	f := newFrames()
	f.decoder.DecodeTunnels, f.decoder.Accounting = tunnels, accounting
	r, size := f.add(p)
	tuples := r.metered != r.theirs.metered || r.metered && r.ours != r.theirs.tuple
	sizes := r.metered && r.theirs.metered && size != uint32(r.theirs.size)
	return r, tuples && r.reading == "" || sizes && !tuples && r.size == ""
}

// TestEveryFrameReadOtherwiseHasItsRule wants a rule for each frame of which
// weir makes another packet than the reference does, also of frames that no
// capture has: cut, and with octets changed.
func TestEveryFrameReadOtherwiseHasItsRule(t *testing.T) {
	const changes, enough = 12, 20
	random := rand.New(rand.NewPCG(1, 2))
	rules, tried, bad := map[rule]int{}, 0, 0
	for _, whole := range everyFrame(t) {
		for change := range changes {
			p := whole
			if change > 0 {
				p = changed(p, random)
			}
			r, differs := unexplained(&p, change%4 != 3, bpf.Accounting(change%4))
			if rules[r.reading]++; differs && bad < enough {
				bad++
				t.Errorf("link type %d, %d of %d octets, %x: weir %v %v, the reference %v", p.LinkType, len(p.Data), p.Length, p.Data[:min(len(p.Data), 120)], r.metered, r.ours, r.theirs)
			}
			tried++
		}
	}
	t.Logf("%d frames; read otherwise: %v", tried, rules)
}

// changed is a frame with up to 3 octets of its headers changed, or cut.
func changed(p userspace.CapturedPacket, random *rand.Rand) userspace.CapturedPacket {
	p.Data = append([]byte(nil), p.Data...)
	if len(p.Data) == 0 {
		return p
	}
	if random.IntN(4) == 0 {
		p.Data = p.Data[:random.IntN(len(p.Data))]
		return p
	}
	for range 1 + random.IntN(3) {
		p.Data[random.IntN(min(len(p.Data), 90))] = byte(random.Uint32())
	}
	return p
}
