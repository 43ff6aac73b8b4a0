//go:build cgo

package main

import (
	"strings"
	"testing"
)

func TestAFilterChoosesPackets(t *testing.T) {
	code, f := weir(t, "replay", http1, "-o", "csv:-", "-f", "tcp port 80", "--dissections", "0")
	if code != exitComplete {
		t.Fatalf("exit code %d: %s", code, f.err.String())
	}
	for _, row := range table(t, f.out.Bytes()) {
		if row["protocol"] != "6" {
			t.Errorf("a flow of protocol %s passed the filter", row["protocol"])
		}
	}
	if !strings.Contains(f.err.String(), "ignored: filtered") {
		t.Errorf("the ledger lacks what was filtered: %s", f.err.String())
	}
}

func TestTheFilterRunsInTheKernel(t *testing.T) {
	w := newWire(t)
	p := w.attach(t, "-o", "csv:-", "-f", "tcp port 80", "--dissections", "0")
	w.play(t, http1)
	w.ping(t, 3)
	p.interrupt(t)
	code, out, said := p.end(t)
	if code != exitComplete || !strings.Contains(said, "ignored: filtered") {
		t.Errorf("exit code %d, want 0 and what was filtered: %s", code, said)
	}
	for _, row := range table(t, out) {
		if row["protocol"] != "6" || row["dst_port"] != "80" {
			t.Errorf("a flow of protocol %s to port %s passed the filter", row["protocol"], row["dst_port"])
		}
	}
	closes(t, said)
}

func TestAFilterThatMeansNothingIsAWrongCommandLine(t *testing.T) {
	for _, command := range []string{"replay", "attach"} {
		code, f := weir(t, command, "x", "-f", "foo bar")
		if said := lines(f.err.String()); code != exitUsage || len(said) != 1 || !strings.Contains(said[0], "compile filter") {
			t.Errorf("%s: exit code %d, stderr %q; want 2 and one line", command, code, said)
		}
	}
}

// The link type decides what an expression compiles to.
func TestAFilterFitsEveryLinkType(t *testing.T) {
	c := &captures{say: speaker{to: new(strings.Builder)}}
	match, err := c.matcher("udp port 53")
	if err != nil {
		t.Fatal(err)
	}
	udp := []byte{0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2, 0x80, 0, 0, 53, 0, 8, 0, 0}
	ethernet := append(make([]byte, 12), 8, 0)
	for _, frame := range []struct {
		link uint32
		data []byte
		want bool
	}{
		{1, append(ethernet, udp...), true},
		{101, udp, true},
		{1, udp, false},
		{101, append(ethernet, udp...), false},
		{1, append(ethernet, udp...), true},
	} {
		c.linkType = frame.link
		if got := match(frame.data, uint32(len(frame.data))); got != frame.want {
			t.Errorf("a frame of link type %d and %d octets matches: %v, want %v", frame.link, len(frame.data), got, frame.want)
		}
	}
}

// A thousand link types that a filter cannot be made for are one line.
func TestH12FilesCannotFillTheLog(t *testing.T) {
	var many []uint16
	for linkType := range uint16(1000) {
		many = append(many, 1000+linkType)
	}
	code, f := weir(t, "replay", "-f", "tcp", "-o", "csv:-", write(t, "x.pcapng", ofTypes(many...)))
	if n := strings.Count(f.err.String(), "weir: "); code != exitComplete || n != 1 {
		t.Errorf("exit code %d, %d lines: %.500s", code, n, f.err.String())
	}
	t.Logf("measured: %d link types that are not read are told in %d line", len(many), strings.Count(f.err.String(), "weir: "))
}
