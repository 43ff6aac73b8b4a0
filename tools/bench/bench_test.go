package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/weirflow/weir/tools/flowgen"
	"github.com/weirflow/weir/userspace"
	"github.com/weirflow/weir/userspace/pcapfile"
)

const testdata = "../../testdata"

// TestContendersAccountForEveryPacket runs what the bench runs, in small: a
// program that skips its work would win.
func TestContendersAccountForEveryPacket(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("loads BPF programs: needs root")
	}
	for _, kind := range []string{flowgen.TCP4, flowgen.UDP6} {
		contenders, err := enter(500)
		for _, c := range contenders {
			defer c.close()
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range contenders {
			if _, err := c.generator.Run(flowgen.Template(kind, 80, [2][6]byte{}), 1750); err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
		}
		if err := settle(contenders); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestSettleRefusesAProgramThatSkipsPackets(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("loads BPF programs: needs root")
	}
	contenders, err := enter(10)
	for _, c := range contenders {
		defer c.close()
	}
	if err != nil {
		t.Fatal(err)
	}
	lazy := &contenders[1]
	if err := lazy.generator.Chain(lazy.generator.Pass()); err != nil {
		t.Fatal(err)
	}
	if _, err := lazy.generator.Run(flowgen.Template(flowgen.TCP4, 64, [2][6]byte{}), 10); err != nil {
		t.Fatal(err)
	}
	if err := settle(contenders); err == nil || !strings.Contains(err.Error(), "0 of 10") {
		t.Fatalf("settle said %v", err)
	}
}

func capture(t *testing.T, packets int) ([]byte, uint64, uint64) {
	t.Helper()
	l, err := readLibrary(testdata)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	flows, octets, err := writeCapture(&b, l, packets)
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), flows, octets
}

func TestCaptureIsTheSameEachTime(t *testing.T) {
	a, _, _ := capture(t, 20_000)
	b, _, _ := capture(t, 20_000)
	if !bytes.Equal(a, b) {
		t.Fatal("two captures of one seed differ")
	}
}

func TestCaptureIsInOrderAndComplete(t *testing.T) {
	const packets = 50_000
	data, flows, octets := capture(t, packets)
	r, err := pcapfile.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	var p userspace.CapturedPacket
	var last, sum uint64
	n, short, long := 0, 0, 0
	clients := map[string]bool{}
	for ; ; n++ {
		if err := r.ReadPacket(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if p.TimeNs < last {
			t.Fatalf("packet %d is older than the one before", n)
		}
		last = p.TimeNs
		sum += uint64(p.Length)
		if p.Length < 100 {
			short++
		}
		if p.Length > 1400 {
			long++
		}
		there, back, ok := tupleOf(p.Data)
		if !ok {
			t.Fatalf("packet %d has no 5-tuple", n)
		}
		if !clients[back] {
			clients[there] = true
		}
	}
	if n != packets || sum != octets {
		t.Fatalf("%d packets of %d octets, want %d of %d", n, sum, packets, octets)
	}
	if seen := uint64(len(clients)); seen > flows || seen < flows*9/10 {
		t.Errorf("%d 5-tuples of %d flows", seen, flows)
	}
	if short < packets/20 || long < packets/5 {
		t.Errorf("%d packets below 100 octets and %d above 1400: not a mix", short, long)
	}
}

func TestTally(t *testing.T) {
	for _, c := range []struct {
		name, csv string
		want      tally
		fails     bool
	}{
		{"counts labels", "application_name,bidirectional_packets\nTLS,3\nUnknown,4\n", tally{2, 7, 1}, false},
		{"without labels", "bidirectional_packets\n5\n", tally{1, 5, 0}, false},
		{"no flows", "bidirectional_packets\n", tally{}, false},
		{"another file", "a,b\n1,2\n", tally{}, true},
		{"empty", "", tally{}, true},
		{"not a number", "bidirectional_packets\nx\n", tally{}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := tallyOf(strings.NewReader(c.csv))
			if (err != nil) != c.fails || !c.fails && got != c.want {
				t.Fatalf("got %+v, %v; want %+v", got, err, c.want)
			}
		})
	}
}

func TestHighWaterSeesThisProcess(t *testing.T) {
	if kib := highWater(os.Getpid()); kib < 1000 {
		t.Fatalf("%d KiB", kib)
	}
}
