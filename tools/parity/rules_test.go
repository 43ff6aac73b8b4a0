package main

import (
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/tools/captures"
	"github.com/weirflow/weir/userspace"
	"github.com/weirflow/weir/userspace/decode"
	"github.com/weirflow/weir/userspace/pcapfile"
)

// everyFrame reads all captures below the folders that are there.
func everyFrame(t *testing.T) (frames []userspace.CapturedPacket) {
	t.Helper()
	paths, err := captures.Beside(projectCaptures, referenceCaptures)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		frames = append(frames, framesOf(t, path)...)
	}
	if len(frames) == 0 {
		t.Fatal("no captures: testdata/ is empty")
	}
	return frames
}

func framesOf(t *testing.T, path string) (frames []userspace.CapturedPacket) {
	t.Helper()
	packets, err := pcapfile.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	for {
		var p userspace.CapturedPacket
		if err := packets.ReadPacket(&p); errors.Is(err, io.EOF) || err != nil {
			return frames
		}
		p.Data = append([]byte(nil), p.Data...)
		frames = append(frames, p)
	}
}

// unexplained reads a frame both ways, and tells whether the two differ and no
// rule says why.
func unexplained(p *userspace.CapturedPacket, tunnels bool, accounting bpf.Accounting) (*frame, bool) {
	f := newFrames()
	f.decoder.DecodeTunnels, f.decoder.Accounting = tunnels, accounting
	r, size := f.add(p)
	tuples := r.metered != r.theirs.metered || r.metered && r.ours != r.theirs.tuple
	sizes := r.metered && r.theirs.metered && size != uint32(r.theirs.size)
	return r, tuples && r.reading == "" || sizes && !tuples && r.size == ""
}

// TestEveryFrameReadOtherwiseHasItsRule wants a rule for each frame of which
// weir makes another packet than the reference does, also of frames that no
// capture has: cut, and with octets changed.
func TestEveryFrameReadOtherwiseHasItsRule(t *testing.T) {
	const changes, enough = 12, 20
	random := rand.New(rand.NewPCG(1, 2))
	rules, tried, bad := map[rule]int{}, 0, 0
	for _, whole := range everyFrame(t) {
		for change := range changes {
			p := whole
			if change > 0 {
				p = changed(p, random)
			}
			r, differs := unexplained(&p, change%4 != 3, bpf.Accounting(change%4))
			if rules[r.reading]++; differs && bad < enough {
				bad++
				t.Errorf("link type %d, %d of %d octets, %x: weir %v %v, the reference %v", p.LinkType, len(p.Data), p.Length, p.Data[:min(len(p.Data), 120)], r.metered, r.ours, r.theirs)
			}
			tried++
		}
	}
	t.Logf("%d frames; read otherwise: %v", tried, rules)
}

// changed is a frame with up to 3 octets of its headers changed, or cut.
func changed(p userspace.CapturedPacket, random *rand.Rand) userspace.CapturedPacket {
	p.Data = append([]byte(nil), p.Data...)
	if len(p.Data) == 0 {
		return p
	}
	if random.IntN(4) == 0 {
		p.Data = p.Data[:random.IntN(len(p.Data))]
		return p
	}
	for range 1 + random.IntN(3) {
		p.Data[random.IntN(min(len(p.Data), 90))] = byte(random.Uint32())
	}
	return p
}

// A mistake is what a decoder of weir's might get wrong.
type mistake struct {
	name string
	make func(*disagreement)
}

var mistakes = []mistake{
	{"VLAN", func(d *disagreement) { d.packet.Key.VlanId ^= 1 }},
	{"port", func(d *disagreement) { d.packet.Key.Port[0] ^= 1 }},
	{"address", func(d *disagreement) { d.packet.Key.Addr[1][3] ^= 1 }},
	{"protocol", func(d *disagreement) { d.packet.Key.Protocol ^= 2 }},
	{"size", func(d *disagreement) { d.packet.Octets += 6 }},
	{"taken for no IP", func(d *disagreement) { d.status = bpf.WeirDecodeStatusSTATUS_NOT_IP }},
	{"taken for malformed", func(d *disagreement) { d.status = bpf.WeirDecodeStatusSTATUS_IP_MALFORMED }},
	{"taken for truncated", func(d *disagreement) { d.status = bpf.WeirDecodeStatusSTATUS_TRANSPORT_TRUNCATED }},
	{"taken for LLC", func(d *disagreement) { d.status = bpf.WeirDecodeStatusSTATUS_LLC }},
}

// beyondMistakes is what the reference reads no further, or by guessing: there a
// mistake cannot be told from a difference on purpose.
func (d *disagreement) beyondMistakes() bool {
	return portsToo[d.packet.Key.Protocol] || d.noLength() || !d.theirs.named || !d.theirs.sized || !d.theirs.sound
}

// TestAMistakeHasNoRule makes mistakes in frames that the two read alike: no rule
// may speak for them.
func TestAMistakeHasNoRule(t *testing.T) {
	tried := 0
	for _, p := range everyFrame(t) {
		for accounting := range bpf.Accounting(4) {
			for _, m := range mistakes {
				d, alike := agreement(&p, accounting)
				if !alike {
					continue
				}
				m.make(d)
				metered := d.status == bpf.WeirDecodeStatusSTATUS_OK
				f := &frame{metered: metered, theirs: *d.theirs, ours: tupleOfPacket(d.packet)}
				if reading, size := d.reading(f), d.size(); reading != "" || size != "" {
					t.Fatalf("%s: explained by %q, %q in %x", m.name, reading, size, p.Data[:min(len(p.Data), 80)])
				}
				tried++
			}
		}
	}
	if tried == 0 {
		t.Fatal("no frame is read alike")
	}
	t.Logf("%d mistakes", tried)
}

// agreement tells whether the two read a frame alike.
func agreement(p *userspace.CapturedPacket, accounting bpf.Accounting) (*disagreement, bool) {
	var packet bpf.Packet
	decoder := decode.Decoder{DecodeTunnels: true, Accounting: accounting}
	status := decoder.Decode(p.Data, p.Length, p.LinkType, &packet)
	theirs := read(p, true, accounting)
	d := &disagreement{p, &packet, status, &theirs, accounting}
	alike := status == bpf.WeirDecodeStatusSTATUS_OK && theirs.metered && tupleOfPacket(&packet) == theirs.tuple && packet.Octets == uint32(theirs.size)
	return d, alike && !d.beyondMistakes()
}

// TestTimesThatRunBackwardsExplainNoOtherColumn is of a flow with a packet that the
// reference moves: it changes times, and more only if a timeout may come in.
func TestTimesThatRunBackwardsExplainNoOtherColumn(t *testing.T) {
	for _, c := range []struct {
		column string
		last   uint64
		want   rule
	}{
		{"bidirectional_first_seen_ms", 30_000, timesBackwards},
		{"src2dst_max_piat_ms", 30_000, timesBackwards},
		{"bidirectional_packets", 30_000, ""},
		{"src_mac", 30_000, ""},
		{"bidirectional_packets", 130_000, timesBackwards},
	} {
		flow := row{
			"src_ip": "192.0.2.1", "src_port": 1.0, "dst_ip": "192.0.2.2", "dst_port": 2.0, "protocol": 17.0,
			"bidirectional_first_seen_ms": 10_000.0, "bidirectional_last_seen_ms": float64(c.last),
		}
		test := &testCase{config: userspace.DefaultConfig(), frames: newFrames()}
		key := tupleOfRow(flow).key()
		test.frames.ours[key] = []*frame{{timeMs: 10_000, clampedMs: 10_005, metered: true}, {timeMs: c.last, clampedMs: c.last, metered: true}}
		theirs := maps.Clone(flow) // the packet is the first, and moved
		theirs["bidirectional_first_seen_ms"] = 10_005.0
		if got := test.columnRule(c.column, theirs, flow); got != c.want {
			t.Errorf("%s until %d ms: %q, want %q", c.column, c.last, got, c.want)
		}
	}
}
