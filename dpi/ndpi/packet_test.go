package ndpi

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// ipv4 is a packet with a header of 20 octets that says total, of length octets.
func ipv4(total, length, fragment int) []byte {
	b := make([]byte, length)
	b[0] = 0x45
	binary.BigEndian.PutUint16(b[2:], uint16(total))
	binary.BigEndian.PutUint16(b[6:], uint16(fragment))
	b[9] = 17
	return b
}

// ipv6 is a packet that says payload, of length octets, with the next headers.
func ipv6(payload, length int, next byte, rest ...byte) []byte {
	b := make([]byte, length)
	b[0] = 0x60
	binary.BigEndian.PutUint16(b[4:], uint16(payload))
	b[6] = next
	if len(rest) > 0 {
		copy(b[40:], rest)
	}
	return b
}

func TestLengthsAreMadeToAgreeWithTheOctets(t *testing.T) {
	for name, c := range map[string]struct {
		packet []byte
		wire   uint32
		fits   bool
		length int // that the header says afterwards
	}{
		"empty":                               {nil, 0, false, 0},
		"neither version":                     {make([]byte, 40), 40, false, 0},
		"IPv4 whole":                          {ipv4(100, 100, 0), 100, true, 100},
		"IPv4 with padding":                   {ipv4(28, 46, 0), 46, true, 28},
		"IPv4 not segmented":                  {ipv4(0, 100, 0), 100, true, 100},
		"IPv4 cut by the sample":              {ipv4(9000, 1536, 0), 9000, true, 1536},
		"IPv4 cut by a snapshot length":       {ipv4(1500, 96, 0), 1500, false, 0},
		"IPv4 that says more than there was":  {ipv4(1500, 1487, 0), 1487, false, 0},
		"IPv4 that says less than its header": {ipv4(10, 100, 0), 100, false, 0},
		"IPv4 header cut":                     {append([]byte{0x4f}, make([]byte, 30)...), 31, false, 0},
		"IPv4 header of 4 octets":             {append([]byte{0x41}, make([]byte, 30)...), 31, false, 0},
		"IPv4 first fragment":                 {ipv4(100, 100, 0x2000), 100, true, 100},
		"IPv4 later fragment":                 {ipv4(100, 100, 0x2001), 100, false, 0},
		"IPv6 whole":                          {ipv6(60, 100, 17), 100, true, 60},
		"IPv6 header cut":                     {ipv6(60, 39, 17), 39, false, 0},
		"IPv6 not segmented":                  {ipv6(0, 100, 6), 100, true, 60},
		"IPv6 with padding only":              {ipv6(0, 46, 59), 46, true, 0},
		"IPv6 cut by the sample":              {ipv6(9000, 1536, 6), 9040, true, 1496},
		"IPv6 cut by a snapshot length":       {ipv6(1400, 100, 6), 1440, false, 0},
		"IPv6 first fragment":                 {ipv6(60, 100, 44, 17, 0, 0, 1), 100, true, 60},
		"IPv6 later fragment":                 {ipv6(60, 100, 44, 17, 0, 0, 8), 100, false, 0},
		"IPv6 later fragment behind options":  {ipv6(60, 100, 0, 44, 0, 0, 0, 0, 0, 0, 0, 17, 0, 1, 0), 100, false, 0},
		"IPv6 options beyond the packet":      {ipv6(60, 100, 0, 44, 255), 100, true, 60},
	} {
		t.Run(name, func(t *testing.T) {
			if fits := fitLengths(c.packet, c.wire); fits != c.fits {
				t.Fatalf("fits: %v", fits)
			}
			at := 2
			if c.fits && c.packet[0]>>4 == 6 {
				at = 4
			}
			if c.fits && int(binary.BigEndian.Uint16(c.packet[at:])) != c.length {
				t.Errorf("it says %d octets, want %d", binary.BigEndian.Uint16(c.packet[at:]), c.length)
			}
		})
	}
}

func FuzzLengthsNeverReachBeyondThePacket(f *testing.F) {
	f.Add(ipv4(1500, 1400, 0), uint32(1500))
	f.Add(ipv6(60, 100, 0, 44, 0, 0, 0, 0, 0, 0, 0, 17, 0, 1, 0), uint32(100))
	f.Fuzz(func(t *testing.T, packet []byte, wire uint32) {
		packet = packet[:min(len(packet), PacketMax)]
		before := bytes.Clone(packet)
		if !fitLengths(packet, wire) {
			if !bytes.Equal(packet, before) {
				t.Error("a packet that does not fit was changed")
			}
			return
		}
		said := int(binary.BigEndian.Uint16(packet[2:]))
		if packet[0]>>4 == 6 {
			said = 40 + int(binary.BigEndian.Uint16(packet[4:]))
		}
		if said > len(packet) {
			t.Errorf("the packet says %d octets, it has %d", said, len(packet))
		}
	})
}
