package dpi_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirflow/weir/dpi"
	"github.com/weirflow/weir/userspace"
)

// How FuzzSamples turns octets into packets.
const (
	asPackets = iota // as they are
	asTCP            // behind headers that are right
	asUDP
	asTCP6
	asUDP6
	waysToRead
)

// What the 16 bits before a packet hold.
const (
	sizeBits       = 0x7ff
	reverseBit     = 0x8000
	bareForwardBit = 0x4000
	bareReverseBit = 0x2000
)

// FuzzSamples shows nDPI flows of anything: packets, or payload behind headers
// that are right, each behind its length and direction in 16 bits. It goes through the process,
// as all samples do, so that a crash of the library is no crash here: it costs the
// label of that flow, and the next flow comes out all the same. Packets that crash
// nDPI are left in the folder that WEIR_CRASHERS names, if it does.
func FuzzSamples(f *testing.F) {
	w := start(f, dpi.Options{Timeout: 2 * time.Second})
	addFlows(f)
	good := flowSamples(f, "../testdata/dns-udp/dns-udp.pcap")[0]
	var ids atomic.Uint64
	f.Fuzz(func(t *testing.T, way uint8, ports uint32, octets []byte) {
		before := w.Stats()
		flows := [][]userspace.Sample{samplesOf(way, ports, octets), good}
		o := endure(t, w, &feed{flows: slices.Values(flows), first: ids.Add(2) - 2})
		s := w.Stats()
		if o.flows != 2 {
			t.Fatalf("%d of 2 flows came out", o.flows)
		}
		if s.FlowsCrashed-before.FlowsCrashed != o.crashed || s.Flows-before.Flows != 2 {
			t.Fatalf("%d flows crashed, %+v after %+v", o.crashed, s, before)
		}
		if s.Crashes+s.Hangs > before.Crashes+before.Hangs {
			keep(t, fmt.Sprintf("go test fuzz v1\nuint8(%d)\nuint32(%d)\n[]byte(%q)\n", way, ports, octets), s.LastCrash)
		}
	})
}

// keep leaves what crashed nDPI in the form of go test's corpus.
func keep(t *testing.T, input, how string) {
	t.Logf("nDPI: %s", how)
	dir := os.Getenv("WEIR_CRASHERS")
	if dir == "" {
		return
	}
	name := filepath.Join(dir, fmt.Sprintf("%d-%d", os.Getpid(), time.Now().UnixNano()))
	if err := os.WriteFile(name, []byte(input), 0o666); err != nil {
		t.Fatal(err)
	}
}

// addFlows seeds with flows of the project's captures, whole and by payload.
func addFlows(f *testing.F) {
	for _, path := range captures(f) {
		if filepath.Dir(filepath.Dir(path)) != captureFolders[0] {
			continue // not the project's own
		}
		flows := flowSamples(f, path)
		for _, flow := range flows[:min(len(flows), 2)] {
			flow = flow[:min(len(flow), 6)]
			f.Add(uint8(asPackets), uint32(0), joined(flow, false))
			way, built := map[uint8]uint8{6: asTCP, 17: asUDP}[flow[0].Protocol]
			if l4 := transport(&flow[0]); built && len(l4) >= 4 {
				f.Add(way, binary.BigEndian.Uint32(l4), joined(flow, true))
			}
		}
	}
}

// transport is what is behind the IP header.
func transport(s *userspace.Sample) []byte {
	header := 40
	if s.IPVersion == 4 {
		header = int(s.Packet[0]&15) * 4
	}
	return s.Packet[min(header, len(s.Packet)):]
}

// joined puts packets, or what is behind their transport headers, one behind the
// other.
func joined(flow []userspace.Sample, payload bool) (b []byte) {
	for i := range flow {
		packet := flow[i].Packet
		if payload {
			packet = payloadOf(&flow[i])
		}
		size := uint16(len(packet)) & sizeBits
		if flow[i].Reverse {
			size |= reverseBit
		}
		if flow[i].BareForward {
			size |= bareForwardBit
		}
		if flow[i].BareReverse {
			size |= bareReverseBit
		}
		b = binary.BigEndian.AppendUint16(b, size)
		b = append(b, packet[:size&sizeBits]...)
	}
	return b
}

func payloadOf(s *userspace.Sample) []byte {
	l4, header := transport(s), 8
	if s.Protocol == 6 && len(l4) > 12 {
		header = int(l4[12]>>4) * 4
	}
	return l4[min(header, len(l4)):]
}

// samplesOf makes a flow of the fuzzer's octets.
func samplesOf(way uint8, ports uint32, octets []byte) (flow []userspace.Sample) {
	var seq [2]uint32
	for len(octets) >= 2 && len(flow) < dpi.DefaultDissections {
		size := int(binary.BigEndian.Uint16(octets))
		n := min(size&sizeBits, len(octets)-2)
		reverse := size&reverseBit != 0
		s := userspace.Sample{TimeNs: 1700000000e9 + uint64(len(flow))*1e6, Reverse: reverse, Packet: octets[2 : 2+n]}
		s.BareForward, s.BareReverse = size&bareForwardBit != 0, size&bareReverseBit != 0
		octets = octets[2+n:]
		if way %= waysToRead; way != asPackets {
			s.Packet = packetOf(way, ports, reverse, &seq, s.Packet)
		}
		s.WireLength = uint32(len(s.Packet))
		flow = append(flow, s)
	}
	return flow
}

// packetOf puts headers before a payload.
func packetOf(way uint8, ports uint32, reverse bool, seq *[2]uint32, payload []byte) []byte {
	from := 0
	if reverse {
		from, ports = 1, ports<<16|ports>>16
	}
	l4 := binary.BigEndian.AppendUint32(nil, ports)
	protocol := byte(17)
	if way == asTCP || way == asTCP6 {
		protocol = 6
		l4 = binary.BigEndian.AppendUint32(l4, seq[from])
		l4 = binary.BigEndian.AppendUint32(l4, seq[1-from])
		l4 = append(l4, 5<<4, 0x18, 0xff, 0xff, 0, 0, 0, 0)
		seq[from] += uint32(len(payload))
	} else {
		l4 = binary.BigEndian.AppendUint16(l4, uint16(8+len(payload)))
		l4 = append(l4, 0, 0)
	}
	ends := [2][]byte{{192, 0, 2, 1}, {192, 0, 2, 2}}
	packet := []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0}
	if way == asTCP6 || way == asUDP6 {
		ends = [2][]byte{{0x20, 1, 13, 0xb8, 15: 1}, {0x20, 1, 13, 0xb8, 15: 2}}
		packet = []byte{0x60, 0, 0, 0, 0, 0, protocol, 64}
	}
	packet = slices.Concat(packet, ends[from], ends[1-from], l4, payload)
	tell(packet)
	return packet
}
