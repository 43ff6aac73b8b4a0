package userspace_test

import (
	"fmt"
	"slices"
	"testing"
)

// TestF8TCPHeadersThatContradictThemselves: flags are metered whatever the data
// offset says, options are never trusted, and every set of flags counts.
func TestF8TCPHeadersThatContradictThemselves(t *testing.T) {
	segment := tcpOf(0x18, nil, make([]byte, 24))
	want := func(flags uint8, payload uint32) decodedAs {
		return decodedAs{sport: 5000, dport: 80, protocol: protoTCP, flags: flags, payload: payload}
	}
	over := func(segment []byte) []byte { return ether(typeIPv4, over4(t, protoTCP, segment)) }
	var cases []frameCase
	for offset := range byte(16) {
		payload := uint32(0)
		if claimed := 4 * uint32(offset); claimed < 44 {
			payload = 44 - claimed
		}
		data := patched(segment, 12, offset<<4)
		cases = append(cases,
			frameCase{fmt.Sprintf("a data offset of %d", offset), over(data), statusOK, want(0x18, payload)},
			frameCase{fmt.Sprintf("a data offset of %d over IPv6", offset), ether(typeIPv6, over6(protoTCP, data)), statusOK, want(0x18, payload)})
	}
	for name, options := range map[string][]byte{
		"an option of length 0":          {1, 1, 8, 0, 2, 0, 0, 0},
		"an option of length 1":          {8, 1, 2, 4, 5, 180, 0, 0},
		"an option longer than the rest": {8, 255, 0, 0},
		"an MSS that is cut":             {1, 1, 2, 4},
		"40 octets of no operation":      slices.Repeat([]byte{1}, 40),
		"a kind and no length":           {1, 1, 1, 8},
	} {
		cases = append(cases, frameCase{"SYN with " + name, over(tcpOf(0x02, options, nil)), statusOK, want(0x02, 0)})
	}
	cut := over(tcpOf(0x02, slices.Repeat([]byte{1}, 40), nil))
	cases = append(cases,
		frameCase{"SYN with options that the frame cuts", cut[:14+20+20+7], statusOK, want(0x02, 0)},
		frameCase{"a header that the frame cuts", over(segment)[:14+20+19], statusTransportTruncated, decodedAs{}},
		frameCase{"19 octets by IP's word", over(segment[:19]), statusOK, decodedAs{protocol: protoTCP}},
	)
	framesAgree(t, cases)
}

// TestF8EverySetOfTCPFlagsCounts shows each of the 256 flag bytes once: each bit
// is in half of them.
func TestF8EverySetOfTCPFlagsCounts(t *testing.T) {
	var cases []frameCase
	for flags := range 256 {
		cases = append(cases, frameCase{fmt.Sprintf("flags %#x", flags), ether(typeIPv4, over4(t, protoTCP, tcpOf(uint8(flags), nil, nil))), statusOK,
			decodedAs{sport: 5000, dport: 80, protocol: protoTCP, flags: uint8(flags)}})
	}
	records := framesAgree(t, cases)
	if len(records) != 1 {
		t.Fatalf("%d records of one connection", len(records))
	}
	for bit, n := range records[0].Dir[0].Flags {
		if n != 128 {
			t.Errorf("flag bit %d counted %d times, want 128", bit, n)
		}
	}
}
