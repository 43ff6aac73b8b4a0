//go:build cgo

package main

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/weirflow/weir/bpf"
)

// TestAFilterKnowsTheLoopbackOfEverySystem wants frames matched by what they carry,
// whatever number and byte order the capturing system gives the address family.
func TestAFilterKnowsTheLoopbackOfEverySystem(t *testing.T) {
	ipv4 := append([]byte{0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2}, make([]byte, 20)...)
	ipv6 := append([]byte{0x60, 0, 0, 0, 0, 20, 6, 64}, make([]byte, 52)...)
	for _, linkType := range []uint32{uint32(bpf.WeirLinkTypeLINK_NULL), uint32(bpf.WeirLinkTypeLINK_LOOP)} {
		for family, packet := range map[uint32][]byte{2: ipv4, 10: ipv6, 24: ipv6, 28: ipv6, 30: ipv6, 7: ipv4} {
			for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
				frame := append(order.AppendUint32(nil, family), packet...)
				for expression, want := range map[string]bool{
					"ip": family == 2, "ip6": family > 7, "tcp": family != 7, "not ip and not ip6": family == 7, "less 44": family == 2 || family == 7,
				} {
					t.Run(fmt.Sprintf("link type %d, family %d, %v, %s", linkType, family, order, expression), func(t *testing.T) {
						match, err := compile(expression, linkType)
						if err != nil {
							t.Fatal(err)
						}
						before := string(frame)
						if got := match(frame, uint32(len(frame))); got != want {
							t.Errorf("matches: %v, want %v", got, want)
						}
						if string(frame) != before {
							t.Error("the frame itself was changed")
						}
					})
				}
			}
		}
	}
}

func TestAFilterSeesALoopbackFrameThatBreaksOff(t *testing.T) {
	match, err := compile("ip6", uint32(bpf.WeirLinkTypeLINK_NULL))
	if err != nil {
		t.Fatal(err)
	}
	for size := range 5 {
		if match([]byte{30, 0, 0, 0}[:min(size, 4)], 64) != (size >= 4) {
			t.Errorf("of %d octets: decided otherwise", size)
		}
	}
}
