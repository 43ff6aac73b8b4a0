package main

import (
	"errors"
	"io"
	"testing"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/userspace"
	"github.com/weirflow/weir/userspace/pcapfile"
)

// total is what flows of one tuple add up to.
type total struct{ packets, octets uint64 }

// TestReadingIsTheReferences adds up, by tuple, the frames as read() reads them
// and the flows of the answers: they must be equal for every answer there is.
func TestReadingIsTheReferences(t *testing.T) {
	needReference(t)
	tuples, answers := 0, 0
	if err := eachAnswer([]string{referenceCaptures + "/nfstream", referenceCaptures + "/cases"}, func(path string) error {
		c, err := newCase(path)
		if err != nil {
			return err
		}
		rows, err := c.reference()
		if err != nil {
			return err
		}
		answers++
		want := map[tuple]total{}
		for _, r := range rows {
			sum := want[tupleOfRow(r)]
			want[tupleOfRow(r)] = total{sum.packets + uint64(number(r, "bidirectional_packets")), sum.octets + uint64(number(r, "bidirectional_bytes"))}
		}
		got := readCapture(t, c.capture, c.config.DecodeTunnels, c.config.Accounting)
		for k, w := range want {
			if got[k] != w {
				t.Errorf("%s: %v: read %v, the reference has %v", c.answer, k, got[k], w)
			}
			delete(got, k)
			tuples++
		}
		for k, g := range got {
			t.Errorf("%s: %v: read %v, the reference has none", c.answer, k, g)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d tuples of %d answers", tuples, answers)
}

func readCapture(t *testing.T, path string, tunnels bool, accounting bpf.Accounting) map[tuple]total {
	t.Helper()
	packets, err := pcapfile.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	got := map[tuple]total{}
	for {
		var p userspace.CapturedPacket
		if err := packets.ReadPacket(&p); errors.Is(err, io.EOF) {
			return got
		} else if err != nil {
			t.Logf("%s: %v", path, err)
			return got
		}
		if r := read(&p, tunnels, accounting); r.metered {
			got[r.tuple] = total{got[r.tuple].packets + 1, got[r.tuple].octets + uint64(r.size)}
		}
	}
}
