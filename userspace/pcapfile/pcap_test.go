package pcapfile

import (
	"encoding/binary"
	"testing"
)

func TestE3PcapKinds(t *testing.T) {
	kinds := []struct {
		name         string
		magic        uint32
		major, minor uint16
		fraction     uint64 // in ns
		extra        int    // octets of the record header after the usual 16
		swapped      bool
	}{
		{"microseconds", magicMicroseconds, 2, 4, 1000, 0, false},
		{"nanoseconds", magicNanoseconds, 2, 4, 1, 0, false},
		{"modified", magicModified, 2, 4, 1000, 8, false},
		{"version 2.0", magicMicroseconds, 2, 0, 1000, 0, true},
		{"version 2.2", magicMicroseconds, 2, 2, 1000, 0, true},
		{"version 2.3 in today's order", magicMicroseconds, 2, 3, 1000, 0, false},
		{"version 2.3 in the old order", magicMicroseconds, 2, 3, 1000, 0, true},
		{"version 543.0 of DG/UX", magicMicroseconds, 543, 0, 1000, 0, true},
	}
	for _, k := range kinds {
		for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
			t.Run(k.name+" "+order.String(), func(t *testing.T) {
				b := &builder{order: order}
				b.pcapHeader(k.magic, k.major, k.minor, 65535, 113)
				for i, data := range []string{"one", "", "three"} {
					captured, length := uint32(len(data)), uint32(len(data)+40)
					if k.swapped {
						captured, length = length, captured
					}
					b.u32(uint32(i), 999, captured, length).Write(make([]byte, k.extra))
					b.WriteString(data)
				}
				wantPackets(t, b.Bytes(),
					packet{"one", 43, 999 * k.fraction, 113, ""},
					packet{"", 40, 1e9 + 999*k.fraction, 113, ""},
					packet{"three", 45, 2e9 + 999*k.fraction, 113, ""})
			})
		}
	}
	t.Logf("measured: %d kinds of pcap in either byte order", len(kinds))
}

func TestPcapUnknownVersionIsNotACapture(t *testing.T) {
	for _, version := range [][2]uint16{{1, 0}, {2, 5}, {3, 0}, {543, 1}, {0, 0}} {
		b := littleEndian().pcapHeader(magicMicroseconds, version[0], version[1], 65535, 1)
		_, _, err := readAll(b)
		wantError(t, err, NotCapture)
	}
}

func TestE3PcapSnapLengthBoundsNothing(t *testing.T) {
	for _, snapLength := range []uint32{0, 2, 65535, 1 << 31, 1<<32 - 1} {
		b := littleEndian().pcapHeader(magicMicroseconds, 2, 4, snapLength, 1).record(1, 0, []byte("data"), 9)
		wantPackets(t, b.Bytes(), packet{"data", 9, 1e9, 1, ""})
	}
}

func TestPcapLinkTypeIsWithoutTheFCSLength(t *testing.T) {
	b := bigEndian().pcapHeader(magicMicroseconds, 2, 4, 0, 0x24000000|195).record(0, 0, nil, 0)
	wantPackets(t, b.Bytes(), packet{"", 0, 0, 195, ""})
}

func TestE6PcapOriginalLengthIsAtLeastTheCaptured(t *testing.T) {
	b := littleEndian().pcapHeader(magicMicroseconds, 2, 4, 0, 1).record(0, 0, []byte("data"), 1)
	wantPackets(t, b.Bytes(), packet{"data", 4, 0, 1, ""})
}

func TestPcapTimesAtTheirBounds(t *testing.T) {
	const most = 1<<32 - 1
	b := littleEndian().pcapHeader(magicMicroseconds, 2, 4, 0, 1).
		record(0, 0, nil, 0).record(1<<31, 999_999, nil, 0).record(most, most, nil, 0)
	r := wantPackets(t, b.Bytes(),
		packet{timeNs: 0, link: 1},
		packet{timeNs: 1<<31*1e9 + 999_999_000, link: 1},
		packet{timeNs: most*1e9 + most*1000, link: 1})
	if r.TimesClamped() != 0 {
		t.Errorf("%d times were clamped, want none: all fit", r.TimesClamped())
	}
}

func TestPcapPacketsBeyondTheBuffer(t *testing.T) {
	b := littleEndian().pcapHeader(magicMicroseconds, 2, 4, 0, 1)
	var want []packet
	for i, length := range []int{100, 300_000, 0, fullBuffer - 16, 3 * fullBuffer, MaxRecord, 5} {
		data := make([]byte, length)
		for j := range data {
			data[j] = byte(i + j*7)
		}
		b.record(uint32(i), 0, data, uint32(length))
		want = append(want, packet{string(data), uint32(length), uint64(i) * 1e9, 1, ""})
	}
	wantPackets(t, b.Bytes(), want...)
}
