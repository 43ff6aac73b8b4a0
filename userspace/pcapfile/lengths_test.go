package pcapfile

import (
	"bytes"
	"encoding/binary"
	"os"
	"testing"

	"github.com/weirflow/weir/userspace"
)

// originalLengths adds up what a pcap file says that its packets were long, read
// without the code under test, and how many were captured in part.
func originalLengths(raw []byte) (octets uint64, packets, cut int, ok bool) {
	if len(raw) < 24 {
		return 0, 0, 0, false
	}
	var order binary.ByteOrder = binary.LittleEndian
	switch binary.BigEndian.Uint32(raw) {
	case 0xa1b2c3d4, 0xa1b23c4d:
		order = binary.BigEndian
	case 0xd4c3b2a1, 0x4d3cb2a1:
	default:
		return 0, 0, 0, false
	}
	for at := 24; at < len(raw); packets++ {
		if at+16 > len(raw) {
			return 0, 0, 0, false
		}
		captured, original := order.Uint32(raw[at+8:]), order.Uint32(raw[at+12:])
		if captured > original || at+16+int(captured) > len(raw) {
			return 0, 0, 0, false
		}
		if octets += uint64(original); captured < original {
			cut++
		}
		at += 16 + int(captured)
	}
	return octets, packets, cut, true
}

// What a packet was long counts, not what was captured of it, in every capture.
func TestE6OctetsAreOfTheOriginalLength(t *testing.T) {
	files, packets, cut := 0, 0, 0
	for _, path := range captureFiles(t) {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want, n, short, ok := originalLengths(raw)
		if !ok {
			continue // no plain pcap file, or a damaged one
		}
		r, err := NewReader(bytes.NewReader(raw))
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if l := ledgerOf(t, r); l.Observed != (userspace.Count{Packets: uint64(n), Octets: want}) {
			t.Errorf("%s: observed %+v, want %d packets of %d octets", path, l.Observed, n, want)
		}
		files, packets, cut = files+1, packets+n, cut+short
	}
	if cut < 100 {
		t.Errorf("only %d packets were captured in part", cut)
	}
	t.Logf("measured: %d captures of %d packets, %d of them captured in part: octets are the original ones", files, packets, cut)
}

// ledgerOf meters a capture to its end.
func ledgerOf(t *testing.T, source userspace.PacketSource) userspace.Ledger {
	t.Helper()
	config := userspace.DefaultConfig()
	config.MaxFlows = 4096
	m, err := userspace.NewMeter(source, userspace.WithConfig(config))
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range m.Flows(t.Context()) {
		if err != nil {
			t.Error(err)
		}
	}
	l := m.Ledger()
	if err := l.Check(); err != nil {
		t.Error(err)
	}
	return l
}
