package pcapfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/weirflow/weir/tools/soak"
	"github.com/weirflow/weir/userspace"
)

// cutFiles are captures of every kind that is not compressed.
func cutFiles() []string {
	return []string{
		"built-formats/big-endian.pcap", "built-formats/nano.pcap", "built-formats/two-interfaces.pcapng", "built-link-types/sll2.pcap",
		"built-gre/gre.pcap", "built-qinq/qinq.pcap", "dhcp/dhcp.pcap", "dns-tcp/dns-tcp.pcap", "icmpv6/icmpv6.pcap", "mdns/mdns.pcap",
	}
}

// recordEnds is where a capture's header and records end, read without the code
// under test; and how many packets end there.
func recordEnds(raw []byte) (ends, packets []int) {
	order := binary.ByteOrder(binary.LittleEndian)
	if raw[0] == 0xa1 {
		order = binary.BigEndian
	}
	if raw[0] == 0x0a {
		n := 0
		for at := 0; at < len(raw); {
			if order.Uint32(raw[at:]) == 6 { // enhanced packet block
				n++
			}
			at += int(order.Uint32(raw[at+4:]))
			ends, packets = append(ends, at), append(packets, n)
		}
		return ends, packets
	}
	for at := 24; at <= len(raw); at += 16 + int(order.Uint32(raw[at+8:])) {
		ends, packets = append(ends, at), append(packets, len(packets))
		if at == len(raw) {
			break
		}
	}
	return ends, packets
}

// Ten captures cut at every octet: never a panic; a clean end at the end of a
// record only, else a typed error with the offset of the record that is cut; and
// every packet before it is kept.
func TestE1TenCapturesCutAtEveryOctet(t *testing.T) {
	cuts, files, every := 0, cutFiles(), 16
	if soak.Full() {
		every = 1
	}
	for _, name := range files {
		raw, err := os.ReadFile(filepath.Join("../../testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		ends, packets := recordEnds(raw)
		if ends[len(ends)-1] != len(raw) || packets[len(packets)-1] == 0 {
			t.Fatalf("%s: records end at %v of %d octets", name, ends, len(raw))
		}
		for cut := range len(raw) + 1 {
			metered, err := packetsOf(t, raw[:cut], cut%every == 0)
			checkCut(t, cut, ends, err)
			want, at := 0, cut
			if i, whole := slices.BinarySearch(ends, cut); whole {
				want = packets[i]
			} else if i > 0 {
				want, at = packets[i-1], ends[i-1]
			}
			if metered != want {
				t.Errorf("%s cut at %d, behind the record that ends at %d: %d packets, want %d", name, cut, at, metered, want)
			}
			cuts++
		}
	}
	t.Logf("measured: %d captures cut at each of their %d octets, and metered at every %d: no panic, each end clean or typed as it should, every packet before it kept",
		len(files), cuts, every)
}

// packetsOf is how many packets come before the error that ends a capture, io.EOF
// for none; where it is to be metered, of which the meter keeps account.
func packetsOf(t *testing.T, raw []byte, metered bool) (packets int, end error) {
	t.Helper()
	if metered {
		return meterCut(t, raw)
	}
	read, _, err := readAll(bytes.NewReader(raw))
	return len(read), err
}

// meterCut meters what is left of a capture: how many packets there were, and
// the error that ended it, io.EOF for none.
func meterCut(t *testing.T, raw []byte) (packets int, end error) {
	t.Helper()
	r, err := NewReader(bytes.NewReader(raw))
	if err != nil {
		return 0, err
	}
	config := userspace.DefaultConfig()
	config.MaxFlows = 256
	m, err := userspace.NewMeter(r, userspace.WithConfig(config))
	if err != nil {
		t.Fatal(err)
	}
	inFlows := 0
	end = io.EOF
	for f, err := range m.Flows(t.Context()) {
		if err != nil {
			end = err
			continue
		}
		inFlows += int(f.Packets())
	}
	l := m.Ledger()
	if err := l.Check(); err != nil || int(l.Delivered.Packets) != inFlows {
		t.Errorf("cut at %d: %d packets in flows, %+v: %v", len(raw), inFlows, l, err)
	}
	return inFlows + int(l.IgnoredTotal().Packets), unwrapped(end)
}

// unwrapped is the reader's own error.
func unwrapped(err error) error {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e
	}
	return err
}
