package sink

import (
	"flag"
	"io"
	"testing"
	"time"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/userspace"
	"github.com/weirflow/weir/userspace/feature"
)

var update = flag.Bool("update", false, "write the golden files anew")

var everything = feature.Columns(feature.Options{Statistics: true, SPLT: 4, L7: true, Tunnels: true})

var start = uint64(time.Date(2024, 2, 29, 23, 59, 58, 123456789, time.UTC).UnixNano())

// web is a TCP flow over IPv4 with packets both ways and a verdict.
func web() *userspace.Flow {
	return &userspace.Flow{
		Interface: "eth1",
		L7: &userspace.L7{ApplicationName: "TLS.Wikipedia", ApplicationCategoryName: "Web", ApplicationConfidence: 6,
			RequestedServerName: "de.wikipedia.org", ClientFingerprint: "0f2b", UserAgent: `a "quoted", agent` + "\n=1+1"},
		Record: bpf.Record{
			Key:    bpf.Key{Addr: [2][16]byte{{192, 0, 2, 1}, {198, 51, 100, 7}}, Port: [2]uint16{49152, 443}, Protocol: 6, IpVersion: 4},
			FlowId: 7, EndReason: uint8(bpf.WeirFlowEndReasonEND_IDLE),
			IatUs: 34127 + 900, IatSq: 34127*34127 + 900*900, IatMinUs: 900, IatMaxUs: 34127,
			Dir: [2]bpf.Direction{
				{Packets: 2, Octets: 100, FirstNs: start, LastNs: start + 35_027_000, SizeSq: 60*60 + 40*40, SizeMin: 40, SizeMax: 60,
					IatUs: 35027, IatSq: 35027 * 35027, IatMinUs: 35027, IatMaxUs: 35027, Flags: [8]uint64{1: 1, 4: 1}},
				{Packets: 1, Octets: 1500, FirstNs: start + 34_127_000, LastNs: start + 34_127_000, SizeSq: 1500 * 1500, SizeMin: 1500, SizeMax: 1500},
			},
			Mac:           [2][6]byte{{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}},
			SpltDirection: 0b010, SpltSize: [20]uint32{60, 1500, 40}, SpltIatUs: [20]uint32{0, 34127, 900},
		},
	}
}

// lookup is a UDP flow over IPv6, one packet without an answer or a verdict.
func lookup() *userspace.Flow {
	f := &userspace.Flow{Record: bpf.Record{
		Key:    bpf.Key{Addr: [2][16]byte{{0: 0x20, 1: 1, 2: 0xd, 3: 0xb8, 15: 1}, {0: 0x20, 1: 1, 2: 0xd, 3: 0xb8, 4: 0x12, 5: 0x34, 6: 0x56, 7: 0x78, 8: 0x9a, 9: 0xbc, 10: 0xde, 11: 0xf0, 12: 0x12, 13: 0x34, 14: 0x56, 15: 0x78}}, Port: [2]uint16{53, 33333}, Protocol: 17, IpVersion: 6},
		FlowId: 8, SrcEnd: 1, EndReason: uint8(bpf.WeirFlowEndReasonEND_FORCED),
		SpltSize: [20]uint32{90},
	}}
	f.Record.Dir[0] = bpf.Direction{Packets: 1, Octets: 90, FirstNs: start, LastNs: start, SizeSq: 8100, SizeMin: 90, SizeMax: 90}
	return f
}

// bulk is a long SCTP flow with a great count of everything.
func bulk() *userspace.Flow {
	f := web()
	f.L7 = &userspace.L7{ApplicationName: "An application with a \x1b[31mlong name", ApplicationCategoryName: "Download"}
	f.Record.Key.Protocol, f.Record.EndReason, f.Record.Part = 132, uint8(bpf.WeirFlowEndReasonEND_ACTIVE), 3
	f.Record.Dir[0].Packets, f.Record.Dir[0].Octets = 1<<33, 1<<40
	f.Record.Dir[0].LastNs = start + uint64(1800*time.Second)
	return f
}

// ping is a flow without ports.
func ping() *userspace.Flow {
	f := web()
	f.L7 = nil
	f.Record.Key.Protocol, f.Record.Key.Port = 1, [2]uint16{}
	f.Record.IcmpType = 8
	return f
}

func mustOpen(t testing.TB, spec string, columns []feature.Column, stdout io.Writer) *stream {
	t.Helper()
	s, err := Open(spec, columns, stdout)
	if err != nil {
		t.Fatal(err)
	}
	return s.(*stream)
}
