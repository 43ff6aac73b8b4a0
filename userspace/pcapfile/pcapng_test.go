package pcapfile

import (
	"bytes"
	"encoding/binary"
	"io"
	"strings"
	"testing"
)

func TestE4PcapngBlocks(t *testing.T) {
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		t.Run(order.String(), func(t *testing.T) {
			b := (&builder{order: order}).section().
				iface(1, 3, option{optionName, []byte("eth0")}, option{optionResolution, []byte{9}}).
				iface(101, 0).
				iface(113, 0, option{optionResolution, []byte{3}}, option{optionOffset, order.AppendUint64(nil, 100)}).
				enhanced(0, 5, []byte("data!"), 60).
				block(0x80000abc, func(u *builder) { u.WriteString("a local block") }).
				enhanced(1, 1<<32+7, []byte("raw"), 3).
				simple([]byte("abc"), 10).
				obsolete(1, 8, []byte("old"), 70).
				enhanced(2, 7, []byte("off"), 3).
				block(5, func(s *builder) { s.u32(0, 1, 2) })
			wantPackets(t, b.Bytes(),
				packet{"data!", 60, 5, 1, "eth0"},
				packet{"raw", 3, (1<<32 + 7) * 1000, 101, ""},
				packet{"abc", 10, 0, 1, "eth0"},
				packet{"old", 70, 8000, 101, ""},
				packet{"off", 3, 100_007_000_000, 113, ""})
		})
	}
}

// Name resolution, statistics, journal, decryption secrets, custom blocks, those of
// other programs, and what there may be one day.
func TestE4PcapngBlocksOfOtherTypesArePassedOver(t *testing.T) {
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		b := (&builder{order: order}).section().iface(1, 0)
		var want []packet
		for i, kind := range []uint32{4, 5, 7, 8, 9, 10, 11, 0x101, 0x201, 0x204, 0xbad, 0x40000bad, 0x7fffffff, 0x80000000, 1<<32 - 1} {
			b.block(kind, func(u *builder) { u.WriteString("what it says") })
			b.enhanced(0, uint64(i), []byte("data"), 4)
			want = append(want, packet{"data", 4, uint64(i) * 1000, 1, ""})
		}
		wantPackets(t, b.Bytes(), want...)
		t.Logf("measured: %s: %d types of block passed over, every packet behind them read", order, len(want))
	}
}

func TestE4PcapngSectionsForgetTheInterfacesAndByteOrderOfTheLast(t *testing.T) {
	first := littleEndian().section().iface(1, 0, option{optionName, []byte("lan")}).enhanced(0, 1, []byte("x"), 1)
	second := bigEndian().section().iface(113, 0, option{optionName, []byte("any")}).enhanced(0, 2, []byte("y"), 1)
	wantPackets(t, append(first.Bytes(), second.Bytes()...),
		packet{"x", 1, 1000, 1, "lan"}, packet{"y", 1, 2000, 113, "any"})

	orphan := bigEndian().section().enhanced(0, 2, []byte("y"), 1)
	packets, _, err := readAll(bytes.NewReader(append(first.Bytes(), orphan.Bytes()...)))
	if e := wantError(t, err, Damaged); len(packets) != 1 || e.Offset != int64(first.Len()+28) {
		t.Errorf("%d packets and byte %d, want the first section's packet and byte %d", len(packets), e.Offset, first.Len()+28)
	}
}

func TestPcapngInterfaceNames(t *testing.T) {
	names := []struct{ given, want string }{
		{"br-lan.100", "br-lan.100"},
		{"eth0\x00\x00", "eth0"},
		{"", ""},
		{strings.Repeat("n", 300), strings.Repeat("n", maxName)},
	}
	for _, n := range names {
		b := littleEndian().section().iface(1, 0, option{optionName, []byte(n.given)}).enhanced(0, 0, nil, 0)
		wantPackets(t, b.Bytes(), packet{"", 0, 0, 1, n.want})
	}
}

func TestE4PcapngSimplePacketsAreCutToTheSnapLength(t *testing.T) {
	b := littleEndian().section().iface(1, 6).simple([]byte("abcdef__"), 100).simple([]byte("abc"), 3)
	wantPackets(t, b.Bytes(), packet{"abcdef", 100, 0, 1, ""}, packet{"abc", 3, 0, 1, ""})
}

func TestPcapngDamage(t *testing.T) {
	start := func() *builder { return littleEndian().section().iface(1, 0).enhanced(0, 0, []byte("good"), 4) }
	raw := func(words ...uint32) func(*builder) { return func(b *builder) { b.u32(words...) } }
	cases := []struct {
		name  string
		build func(*builder)
		want  string
	}{
		{"block length 0", raw(6, 0, 0), "length of 0"},
		{"block length below the fixed part", raw(6, 28, 0, 0, 0, 0, 28), "want 32 or more"},
		{"block length no multiple of 4", raw(6, 33, 0, 0, 0, 0, 0, 0, 0), "multiple of 4"},
		{"unknown block of length 8", raw(99, 8, 8), "length of 8"},
		{"lengths that differ", raw(6, 32, 0, 0, 0, 0, 0, 36), "32 at its beginning and 36 at its end"},
		{"lengths of an unknown block that differ", raw(99, 16, 0, 20), "16 at its beginning and 20 at its end"},
		{"captured length over the block", raw(6, 32, 0, 0, 0, 1, 1, 32), "room for 0"},
		{"captured length near 2^32", raw(6, 32, 0, 0, 0, 1<<32-1, 1, 32), "room for 0"},
		{"interface unknown", raw(6, 32, 1, 0, 0, 0, 0, 32), "interface 1"},
		{"interface 2^32-1", raw(6, 32, 1<<32-1, 0, 0, 0, 0, 32), "interface 4294967295"},
		{"obsolete packet of an unknown interface", raw(2, 32, 3, 0, 0, 0, 0, 32), "interface 3"},
		{"simple packet longer than its block", raw(3, 16, 5, 16), "packet of 5 octets"},
		{"a block over the limit", raw(6, MaxRecord+4), "over the limit"},
		{"a block that runs beyond the end", raw(6, MaxRecord), "the input ends after 8 of the 16777216 octets"},
		{"an unknown block that runs beyond the end", raw(99, 1<<32-4), "the input ends after 8 of the 4294967292 octets"},
		{"option beyond the block", raw(1, 24, 1, 0, 2|5<<16, 24), "claims 5 octets, 0 are left"},
		{"if_tsresol of two octets", raw(1, 28, 1, 0, 9|2<<16, 0, 28), "if_tsresol has 2"},
		{"if_tsoffset of four octets", raw(1, 28, 1, 0, 14|4<<16, 0, 28), "if_tsoffset has 4"},
		{"a section of neither byte order", raw(blockSection, 28, 7, 1, 0, 0, 28), "byte-order magic"},
		{"a section of an unknown version", raw(blockSection, 28, byteOrderMagic, 2, 0, 0, 28), "version 2.0"},
		{"a section too short", raw(blockSection, 24, byteOrderMagic, 1, 0, 24), "want 28 or more"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b := start()
			at := b.Len()
			c.build(b)
			packets, _, err := readAll(b)
			e := wantError(t, err, Damaged)
			if len(packets) != 1 || e.Offset != int64(at) || !strings.Contains(e.Reason, c.want) {
				t.Errorf("%d packets, then %v; want 1, byte %d and %q", len(packets), err, at, c.want)
			}
		})
	}
}

func TestPcapngSimplePacketWithoutAnInterface(t *testing.T) {
	_, _, err := readAll(littleEndian().section().simple([]byte("abcd"), 4))
	wantError(t, err, Damaged)
}

func TestPcapngVersionInTheFirstSection(t *testing.T) {
	for _, v := range []struct {
		major, minor uint16
		ok           bool
	}{{1, 0, true}, {1, 2, true}, {1, 1, false}, {2, 0, false}, {0, 0, false}} {
		b := littleEndian().block(blockSection, func(s *builder) { s.u32(byteOrderMagic).u16(v.major, v.minor).u64(0) })
		_, _, err := readAll(b)
		if v.ok && err != io.EOF {
			t.Errorf("version %d.%d ends with %v, want io.EOF", v.major, v.minor, err)
		}
		if !v.ok {
			wantError(t, err, NotCapture)
		}
	}
}

func TestPcapngInterfacesAreBounded(t *testing.T) {
	b := littleEndian().section()
	for range maxInterfaces {
		b.iface(1, 0)
	}
	b.enhanced(maxInterfaces-1, 0, nil, 0)
	wantPackets(t, b.Bytes(), packet{link: 1})
	_, _, err := readAll(b.iface(1, 0))
	wantError(t, err, Damaged)
}
