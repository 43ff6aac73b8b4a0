package decode_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/weirflow/weir/bpf"
)

const (
	radiotap8 = "0000 0800 00000000"
	wifi      = bpf.WeirDecodeStatusSTATUS_WIFI
)

// wifiCases are frames of link type 127 around the usual UDP packet; l3 is where
// its IP header is, where there is one.
var wifiCases = []struct {
	name   string
	header []string
	status bpf.Status
	l3     uint32
}{
	{"to an access point", []string{radiotap8, "0801", macs3, "1000", snap4}, ok, 40},
	{"from an access point", []string{radiotap8, "0802", macs3, "1000", snap4}, ok, 40},
	{"without one", []string{radiotap8, "0800", macs3, "1000", snap4}, ok, 40},
	{"between two", []string{radiotap8, "0803", macs3, "1000 02000000000d", snap4}, ok, 46},
	{"QoS", []string{radiotap8, "8801", macs3, "1000 0000", snap4}, ok, 42},
	{"QoS between two", []string{radiotap8, "8803", macs3, "1000 02000000000d 0000", snap4}, ok, 48},
	{"HT control", []string{radiotap8, "8881", macs3, "1000 0000 00000000", snap4}, ok, 46},
	{"order without QoS", []string{radiotap8, "0881", macs3, "1000", snap4}, ok, 40},
	{"the first fragment", []string{radiotap8, "0805", macs3, "1000", snap4}, ok, 40},
	{"a tag behind SNAP", []string{radiotap8, "0801", macs3, "1000", "aaaa03 000000 8100 0007 0800"}, ok, 44},
	{"a longer header", []string{"0000 0e00 00000000 000000000000", "0801", macs3, "1000", snap4}, ok, 46},
	{"good FCS", []string{"0000 0900 02000000 10", "0801", macs3, "1000", snap4}, ok, 41},
	{"bad FCS", []string{"0000 0900 02000000 50", "0801", macs3, "1000", snap4}, wifi, 0},
	{"flags behind a time", []string{"0000 1100 03000000 4040404040404040 10", "0801", macs3, "1000", snap4}, ok, 49},
	{"bad FCS behind a time", []string{"0000 1100 03000000 0000000000000000 40", "0801", macs3, "1000", snap4}, wifi, 0},
	{"bad FCS behind three words and a time", []string{"0000 1900 03000080 00000080 00000000", "0000000000000000 40", "0801", macs3, "1000", snap4}, wifi, 0},
	{"time that looks like flags, without any", []string{"0000 1100 01000000 4040404040404040 40", "0801", macs3, "1000", snap4}, ok, 49},
	{"more words of what is present than are read", []string{"0000 3000 02000080", strings.Repeat("ffffff80", 9), "40404040", "0801", macs3, "1000", snap4}, ok, 80},
	{"padded", []string{"0000 0900 02000000 20", "8801", macs3, "1000 0000", "0000", snap4}, ok, 45},
	{"a later fragment", []string{radiotap8, "0801", macs3, "1100", snap4}, wifi, 0},
	{"encrypted", []string{radiotap8, "0841", macs3, "1000", snap4}, wifi, 0},
	{"aggregated", []string{radiotap8, "8801", macs3, "1000 8000", snap4}, wifi, 0},
	{"no data", []string{radiotap8, "4801", macs3, "1000", snap4}, wifi, 0},
	{"no data with QoS", []string{radiotap8, "c801", macs3, "1000 0000", snap4}, wifi, 0},
	{"a beacon", []string{radiotap8, "8000", macs3, "1000", snap4}, wifi, 0},
	{"an acknowledgement", []string{radiotap8, "d400 0000 02000000000a"}, wifi, 0},
	{"another version of 802.11", []string{radiotap8, "0901", macs3, "1000", snap4}, wifi, 0},
	{"octets swapped, which only CAPWAP does", []string{radiotap8, "0108", macs3, "1000", snap4}, wifi, 0},
	{"another version of radiotap", []string{"0100 0800 00000000", "0801", macs3, "1000", snap4}, wifi, 0},
	{"radiotap shorter than itself", []string{"0000 0700 00000000", "0801", macs3, "1000", snap4}, wifi, 0},
	{"radiotap longer than the frame", []string{"0000 ffff 00000000", "0801", macs3, "1000", snap4}, bpf.WeirDecodeStatusSTATUS_LINK_TRUNCATED, 0},
	{"ARP", []string{radiotap8, "0801", macs3, "1000", "aaaa03 000000 0806"}, bpf.WeirDecodeStatusSTATUS_ARP, 0},
	{"a length behind SNAP", []string{radiotap8, "0801", macs3, "1000", "aaaa03 000000 0100"}, bpf.WeirDecodeStatusSTATUS_LLC, 0},
	{"no SNAP", []string{radiotap8, "0801", macs3, "1000", "424203 000000 0800"}, bpf.WeirDecodeStatusSTATUS_LLC, 0},
}

func TestE5DataFramesOf80211ShowTheirPacket(t *testing.T) {
	for _, c := range wifiCases {
		data := append(octets(t, c.header...), innermost(t)...)
		p, status := decodedAs(127, data, 0)
		if status != c.status || status == ok && (p.L3Offset != c.l3 || p.Key.Port[p.SrcEnd] != 5000) {
			t.Errorf("%s: %s, IP header at %d, from port %d; want %s, %d, 5000", c.name, status, p.L3Offset, p.Key.Port[p.SrcEnd], c.status, c.l3)
		}
		if status == ok && p.Mac != [2][6]uint8{{2, 0, 0, 0, 0, 0xb}, {2, 0, 0, 0, 0, 0xa}} {
			t.Errorf("%s: MAC addresses %x; want the transmitter's and the third", c.name, p.Mac)
		}
	}
}

func TestAn80211FrameCutShortIsIgnored(t *testing.T) {
	for _, c := range wifiCases {
		whole := append(octets(t, c.header...), innermost(t)...)
		for n := range whole {
			p, status := decodedAs(127, whole[:n], len(whole))
			if status != ok {
				continue
			}
			if c.status != ok || n < int(c.l3)+28 {
				t.Errorf("%s, %d of %d octets: metered", c.name, n, len(whole))
			}
			holds(t, &p, whole[:n])
		}
		for at := range min(len(whole), int(c.l3)) {
			for _, value := range []byte{0, 1, 0x7f, 0x80, 0xff} {
				data := slices.Clone(whole)
				data[at] = value
				if p, status := decodedAs(127, data, 0); status == ok {
					holds(t, &p, data)
				}
			}
		}
	}
}

// TestE5PPPInEveryForm is of PPP as a link layer.
func TestE5PPPInEveryForm(t *testing.T) {
	for header, want := range map[string]bpf.Status{
		"ff03 0021": ok, "ff03 21": ok, "0021": ok, "21": ok, "0f00 0800": ok, "8f00 0800": ok, "ff03 0281 00010140": ok,
		"ff03 c021": bpf.WeirDecodeStatusSTATUS_NOT_IP, "c021": bpf.WeirDecodeStatusSTATUS_NOT_IP, "0f00 8035": bpf.WeirDecodeStatusSTATUS_NOT_IP,
		"57": bpf.WeirDecodeStatusSTATUS_IP_TRUNCATED, // 36 octets are no IPv6 header
	} {
		for _, link := range []uint32{9, 50, 104} {
			if _, status := decodedAs(link, append(octets(t, header), innermost(t)...), 0); status != want {
				t.Errorf("%s, link type %d: %s, want %s", header, link, status, want)
			}
		}
	}
}
