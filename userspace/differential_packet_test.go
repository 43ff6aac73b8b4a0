package userspace_test

import (
	"slices"
	"testing"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/bpftest"
	"github.com/weirflow/weir/userspace/decode"
)

// TestDecodersAgreeOnEveryOctetOfAPacket compares all that the two decoders make
// of a frame, records or not: the kernel's table is full with a flow that no
// capture has, so that it hands over each packet as it decoded it.
func TestDecodersAgreeOnEveryOctetOfAPacket(t *testing.T) {
	compared := 0
	frames := map[uint32][]frame{}
	for _, path := range captures(t) {
		byLink, _ := load(t, path)
		for link, p := range byLink {
			for i := range p.list {
				frames[link] = append(frames[link], frame{path, i, &p.list[i]})
			}
		}
	}
	for link, list := range frames {
		compared += packetsEqual(t, link, list)
	}
	t.Logf("%d packets equal", compared)
}

func packetsEqual(t *testing.T, link uint32, list []frame) (compared int) {
	t.Helper()
	k := bpftest.New(t, bpftest.Options{LinkType: link, Accounting: bpf.WeirAccountingACCOUNTING_PAYLOAD, MaxFlows: 1, RingOctets: 256 << 20})
	defer k.Close()
	d := decode.Decoder{Accounting: bpf.WeirAccountingACCOUNTING_PAYLOAD, DecodeTunnels: true}
	metered := 0
	for part := range slices.Chunk(list, batch) {
		want := map[uint64]decoded{}
		k.Packets = nil
		for _, f := range part {
			now := uint64(1000 + metered)
			if _, err := k.Frame(f.Data, now, f.Length); err != nil {
				t.Fatalf("%s frame %d: %v", f.path, f.number, err)
			}
			got := decoded{frame: f}
			got.packet.TimeNs = now
			if d.Decode(f.Data, f.Length, link, &got.packet) == bpf.WeirDecodeStatusSTATUS_OK {
				want[now] = got
				metered++
			}
		}
		if err := k.Drain(); err != nil {
			t.Fatal(err)
		}
		for i := range k.Packets {
			w := want[k.Packets[i].TimeNs]
			if k.Packets[i] != w.packet {
				t.Errorf("%s frame %d:\nkernel %+v\nGo     %+v", w.path, w.number, k.Packets[i], w.packet)
			}
			compared++
		}
	}
	if err := k.Finish(uint64(metered) + 1000); err != nil {
		t.Fatal(err)
	}
	inRecords := uint64(0)
	for i := range k.Records {
		inRecords += k.Records[i].Dir[0].Packets + k.Records[i].Dir[1].Packets
	}
	if uint64(compared)+inRecords != uint64(metered) {
		t.Errorf("link type %d: %d packets decoded, %d compared and %d in records", link, metered, compared, inRecords)
	}
	return compared
}
