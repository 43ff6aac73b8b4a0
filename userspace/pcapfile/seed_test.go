package pcapfile

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// A seed is a small whole capture and the offsets at which it may end.
type seed struct {
	name    string
	raw     []byte
	ends    []int
	packets int
}

// seeds are one of each kind.
func seeds() []seed {
	pcap := func(b *builder, magic uint32) *builder {
		b.pcapHeader(magic, 2, 4, 65535, 1)
		for i, data := range []string{"first packet", "", "third"} {
			if magic != magicModified {
				b.record(uint32(i), 5, []byte(data), 60)
				continue
			}
			b.u32(uint32(i), 5, uint32(len(data)), 60, 1, 2).WriteString(data)
			b.end()
		}
		return b
	}
	pcapng := func(b *builder) *builder {
		return b.section().
			iface(1, 8, option{optionName, []byte("eth0")}, option{optionOffset, make([]byte, 8)}).
			enhanced(0, 1, []byte("enhanced"), 60).
			simple([]byte("a simple"), 80).
			block(4, func(b *builder) { b.u32(1, 2, 3) }).
			obsolete(0, 3, []byte("obsolete"), 70)
	}
	sections := pcapng(littleEndian())
	sections.order = bigEndian().order
	of := func(name string, b *builder, packets int) seed { return seed{name, b.Bytes(), b.ends, packets} }
	return []seed{
		of("pcap little endian", pcap(littleEndian(), magicMicroseconds), 3),
		of("pcap big endian", pcap(bigEndian(), magicMicroseconds), 3),
		of("pcap nanoseconds", pcap(littleEndian(), magicNanoseconds), 3),
		of("pcap nanoseconds big endian", pcap(bigEndian(), magicNanoseconds), 3),
		of("pcap modified", pcap(littleEndian(), magicModified), 3),
		of("pcap modified big endian", pcap(bigEndian(), magicModified), 3),
		of("pcap without packets", littleEndian().pcapHeader(magicMicroseconds, 2, 4, 0, 1), 0),
		of("pcapng little endian", pcapng(littleEndian()), 3),
		of("pcapng big endian", pcapng(bigEndian()), 3),
		of("pcapng of two sections", pcapng(sections), 6),
	}
}

func gzipped(t testing.TB, raw []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(raw); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zstandard(t testing.TB, raw []byte, options ...zstd.EOption) []byte {
	w, err := zstd.NewWriter(nil, options...)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return w.EncodeAll(raw, nil)
}

// What another implementation writes is read back: gopacket's.

func captureInfo(i int, data string) gopacket.CaptureInfo {
	return gopacket.CaptureInfo{
		Timestamp: time.Unix(1_700_000_000+int64(i), 123_456_789), CaptureLength: len(data), Length: len(data) + i, InterfaceIndex: i % 2,
	}
}

func TestReadsWhatGopacketWritesAsPcap(t *testing.T) {
	writers := []struct {
		name     string
		make     func(*bytes.Buffer) *pcapgo.Writer
		fraction uint64
	}{
		{"microseconds", func(b *bytes.Buffer) *pcapgo.Writer { return pcapgo.NewWriter(b) }, 123_456_000},
		{"nanoseconds", func(b *bytes.Buffer) *pcapgo.Writer { return pcapgo.NewWriterNanos(b) }, 123_456_789},
	}
	for _, w := range writers {
		t.Run(w.name, func(t *testing.T) {
			var b bytes.Buffer
			writer := w.make(&b)
			if err := writer.WriteFileHeader(65535, layers.LinkTypeLinuxSLL); err != nil {
				t.Fatal(err)
			}
			for i, data := range []string{"one", "second"} {
				if err := writer.WritePacket(captureInfo(i, data), []byte(data)); err != nil {
					t.Fatal(err)
				}
			}
			wantPackets(t, b.Bytes(),
				packet{"one", 3, 1_700_000_000e9 + w.fraction, 113, ""}, packet{"second", 7, 1_700_000_001e9 + w.fraction, 113, ""})
		})
	}
}

func TestReadsWhatGopacketWritesAsPcapng(t *testing.T) {
	var b bytes.Buffer
	w, err := pcapgo.NewNgWriterInterface(&b, pcapgo.NgInterface{Name: "eth0", LinkType: layers.LinkTypeEthernet}, pcapgo.DefaultNgWriterOptions)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.AddInterface(pcapgo.NgInterface{Name: "wg0", LinkType: layers.LinkTypeRaw, Comment: "tunnel"}); err != nil {
		t.Fatal(err)
	}
	for i, data := range []string{"one", "second"} {
		if err := w.WritePacket(captureInfo(i, data), []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	wantPackets(t, b.Bytes(),
		packet{"one", 3, 1_700_000_000_123_456_789, 1, "eth0"}, packet{"second", 7, 1_700_000_001_123_456_789, 101, "wg0"})
}
