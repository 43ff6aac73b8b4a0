package userspace_test

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/userspace"
)

// Frames of no octets to more than an IP header can say: each is counted with
// the octets that it has, in a flow or under its status.
func TestE7LengthsThatLieCountAsTheFrames(t *testing.T) {
	withTotal := func(total uint16, payload int) userspace.CapturedPacket {
		p := udpAt(0, 5000, 53, payload)
		binary.BigEndian.PutUint16(p.Data[16:], total)
		return p
	}
	of := func(data []byte) userspace.CapturedPacket {
		return userspace.CapturedPacket{Data: data, Length: uint32(len(data)), LinkType: 1}
	}
	giant := udpAt(0, 5000, 53, 100)
	giant.Length = 262_144
	cases := []struct {
		name   string
		packet userspace.CapturedPacket
		status bpf.Status
		octets uint64 // of the IP packet
	}{
		{"no octet", of(nil), bpf.WeirDecodeStatusSTATUS_LINK_TRUNCATED, 0},
		{"a runt", of(make([]byte, 13)), bpf.WeirDecodeStatusSTATUS_LINK_TRUNCATED, 0},
		{"padded to 60", of(append(udpAt(0, 5000, 53, 4).Data, make([]byte, 14)...)), statusOK, 32},
		{"total length 0 of a segment not yet split", withTotal(0, 65_000), statusOK, 65_028},
		{"total length 0 beyond 16 bits", withTotal(0, 150_000), statusOK, 150_028},
		{"64 K less one", withTotal(65_535, 65_507), statusOK, 65_535},
		{"a jumbogram", of(jumbogram(70_000)), statusOK, 40 + 8 + 8 + 70_000},
		{"longer than was captured", giant, statusOK, 128},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for _, mode := range []bpf.Accounting{bpf.WeirAccountingACCOUNTING_LINK, bpf.WeirAccountingACCOUNTING_IP} {
				m := meterOf(t, &script{packets: []userspace.CapturedPacket{c.packet}}, func(config *userspace.Config) { config.Accounting = mode })
				drain(t, m)
				l := closed(t, m)
				frame := userspace.Count{Packets: 1, Octets: uint64(c.packet.Length)}
				if c.status != statusOK {
					if l.Ignored[c.status] != frame {
						t.Errorf("ignored %+v, want %+v as %s", l.Ignored, frame, c.status)
					}
					continue
				}
				want := frame
				if mode == bpf.WeirAccountingACCOUNTING_IP {
					want.Octets = c.octets
				}
				if l.Delivered != want || l.Observed != frame {
					t.Errorf("mode %d: delivered %+v, observed %+v; want %+v of %+v", mode, l.Delivered, l.Observed, want, frame)
				}
			}
		})
	}
	t.Logf("measured: %d lengths in two accounting modes", len(cases))
}

// jumbogram is UDP in IPv6 whose length is in a hop-by-hop option: RFC 2675.
func jumbogram(payload int) []byte {
	length := uint32(8 + 8 + payload)
	head := slices.Concat(make([]byte, 12), []byte{0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, 0, 64}, make([]byte, 32),
		[]byte{17, 0, 0xc2, 4}, binary.BigEndian.AppendUint32(nil, length))
	return slices.Concat(head, []byte{0x13, 0x88, 0, 53, 0, 0, 0, 0}, make([]byte, payload))
}
