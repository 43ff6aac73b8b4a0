package differential_test

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/bpftest"
	"github.com/weirflow/weir/bpf/differential"
	"github.com/weirflow/weir/bpf/native"
	"github.com/weirflow/weir/userspace/decode"
)

// nativeFaulty runs sequences while the kernel fails in all ways that it can,
// and another CPU gets in between: whatever happens, each packet is in one place
// of the ledger. All counters of the ledger move.
func nativeFaulty(t *testing.T, b *native.Build) {
	r := rand.New(rand.NewPCG(nativeSeed, 3))
	var script native.Script
	for range nativeFaults {
		faultySequence(t, r, &script)
	}
	var sum bpf.LedgerCount
	for i, result := range b.Run(t, &script) {
		if !closes(t, &result) {
			t.Fatalf("seed %d: sequence %d", nativeSeed, i)
		}
		add(&sum, &result.Ledger)
	}
	allMoved(t, &sum)
	t.Logf("seed %d: %d sequences, %d packets metered, %d overflowed, %d lost, %d records busy, %d closings put off",
		nativeSeed, nativeFaults, sum.MeteredPackets, sum.OverflowPackets, sum.LostPackets, sum.RecordBusy, sum.ExpiryDeferred)
}

// faultyRounds empties the table through the smallest ring.
const faultyRounds = 80

func faultySequence(t *testing.T, r *rand.Rand, script *native.Script) {
	t.Helper()
	sets := differential.OptionSets()
	o := sets[r.IntN(len(sets))]
	o.MaxFlows, o.RingOctets = []uint32{1, 2, 5, 64}[r.IntN(4)], []uint32{2048, 4096, 16384, 1 << 20}[r.IntN(4)]
	if r.IntN(64) == 0 {
		o.LinkType = 147 // of no frame at all
	}
	o.TCPStatistics, o.IPStatistics, o.TCPEnd = r.IntN(2) == 0, r.IntN(2) == 0, r.IntN(2) == 0
	reset(t, script, o)
	for name, value := range map[string]any{
		"cfg_metadata_clock": uint8(r.IntN(2)), "cfg_point": uint8(r.IntN(256)), "cfg_filter": uint8(r.IntN(2)),
		"cfg_tcp_grace_ns": uint64(r.IntN(2) * 1e6),
	} {
		if err := script.Knob(name, value); err != nil {
			t.Fatal(err)
		}
	}
	var clock uint64
	for _, s := range differential.Generate(r, &o) {
		clock = max(clock, s.TimeNs)
		faultyStep(r, script, s, clock)
	}
	for kind := range native.FaultKinds {
		script.Fault(kind, 0, 0, native.Closes)
	}
	script.Finish(clock, faultyRounds)
}

func faultyStep(r *rand.Rand, script *native.Script, s differential.Step, clock uint64) {
	if r.IntN(3) == 0 {
		kind := native.Fault(r.IntN(int(native.FaultKinds)))
		script.Fault(kind, uint32(r.IntN(12)), uint32(1+r.IntN(4)), native.Other(r.IntN(int(native.OtherKinds))))
	}
	if r.IntN(8) == 0 {
		script.Drain()
	}
	if s.Sweep {
		sweep := script.Sweep
		if r.IntN(2) == 0 {
			sweep = script.Walk
		}
		sweep(bpf.Sweep{NowNs: clock * uint64(r.IntN(2)), PressureNs: uint64(r.IntN(1e9)), Mode: uint32(r.IntN(3))})
		return
	}
	script.Frame(native.Frame{
		Data: s.Data[:len(s.Data)-min(len(s.Data), r.IntN(4)*r.IntN(40))], Length: s.Length, TimeNs: s.TimeNs,
		Hook: native.Hook(r.IntN(5)), Linear: uint32(r.IntN(256)), Tagged: r.IntN(3) == 0, VLAN: uint16(r.IntN(1 << 16)),
	})
	if r.IntN(8) == 0 {
		script.Done(bpf.DPIDone{Key: keyOf(s), FlowId: uint64(1 + r.IntN(3))})
	}
}

// keyOf is the key that an Ethernet frame was metered under.
func keyOf(s differential.Step) bpf.Key {
	var p bpf.Packet
	d := decode.Decoder{DecodeTunnels: true}
	d.Decode(s.Data, s.Length, uint32(bpf.WeirLinkTypeLINK_ETHERNET), &p)
	return p.Key
}

// nativeRecycled has the table's few entries change hands while
// packets are on their way to them. Every flow's packets have a length of their
// own, so that a record shows whose it has.
func nativeRecycled(t *testing.T, b *native.Build) {
	r := rand.New(rand.NewPCG(nativeSeed, 4))
	var script native.Script
	for range nativeFaults / 4 {
		recycledSequence(t, r, &script)
	}
	records := 0
	for i, result := range b.Run(t, &script) {
		for j := range result.Records {
			d := &result.Records[j].Dir
			packets, octets := d[0].Packets+d[1].Packets, d[0].Octets+d[1].Octets
			if want := packets * uint64(lengthOf(result.Records[j].Key.Port[0])); octets != want {
				t.Fatalf("seed %d, sequence %d: %d packets have %d octets, want %d: %+v", nativeSeed, i, packets, octets, want, result.Records[j])
			}
		}
		records += len(result.Records)
	}
	t.Logf("seed %d: %d records of one flow each", nativeSeed, records)
}

func lengthOf(port uint16) uint32 { return 100 * uint32(port) }

func recycledSequence(t *testing.T, r *rand.Rand, script *native.Script) {
	t.Helper()
	reset(t, script, bpftest.Options{LinkType: 1, MaxFlows: uint32(1 + r.IntN(3)), RingOctets: 1 << 20, IdleNs: 1e6, ActiveNs: 3e6})
	now := uint64(1e9)
	for range 32 {
		now += uint64(r.IntN(1e6))
		script.Fault(native.OtherCPU, uint32(r.IntN(8)), uint32(r.IntN(3)), native.Other(r.IntN(int(native.OtherKinds))))
		port := byte(1 + r.IntN(3))
		data := slices.Concat(make([]byte, 12), []byte{8, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0},
			[]byte{10, 0, 0, 1, 10, 0, 0, 1, 0, port, 0, port, 0, 8, 0, 0})
		script.Frame(native.Frame{Data: data, Length: lengthOf(uint16(port)), TimeNs: now, Linear: uint32(len(data))})
	}
	script.Fault(native.OtherCPU, 0, 0, native.Closes)
	script.Finish(now, finishRounds)
}

// finishRounds is enough for a ring that has room for all.
const finishRounds = 4

// closes checks a ledger against what came out of the ring.
func closes(t *testing.T, r *native.Result) bool {
	t.Helper()
	l, last := &r.Ledger, r.Sweeps[len(r.Sweeps)-1]
	var ignored, ignoredOctets, octets uint64
	read := uint64(len(r.Packets))
	for i := range l.IgnoredPackets {
		ignored, ignoredOctets = ignored+l.IgnoredPackets[i], ignoredOctets+l.IgnoredOctets[i]
	}
	for i := range r.Packets {
		octets += uint64(r.Packets[i].Octets)
	}
	for i := range r.Records {
		d := &r.Records[i].Dir
		read, octets = read+d[0].Packets+d[1].Packets, octets+d[0].Octets+d[1].Octets
	}
	good := true
	for _, line := range []struct {
		name        string
		left, right uint64
	}{
		{"observed packets", l.ObservedPackets, l.MeteredPackets + ignored},
		{"observed octets", l.ObservedOctets, l.MeteredOctets + ignoredOctets},
		{"metered packets", l.MeteredPackets, read + l.LostPackets},
		{"accounted octets", l.AccountedOctets, octets + l.LostOctets},
		{"overflow packets", l.OverflowPackets, uint64(len(r.Packets))},
		{"samples", l.Samples, uint64(len(r.Samples))},
		{"still open", uint64(last.Open + last.Deferred), 0},
	} {
		if line.left != line.right {
			good = false
			t.Errorf("%s: %d, want %d", line.name, line.left, line.right)
		}
	}
	return good
}

func add(sum, l *bpf.LedgerCount) {
	for i, n := range differential.Counters(l) {
		differential.Counters(sum)[i] += n
	}
}

// allMoved looks for a counter that nothing has driven. The filter is the
// loader's; with none of its own the object matches every frame.
func allMoved(t *testing.T, l *bpf.LedgerCount) {
	t.Helper()
	v := reflect.ValueOf(*l)
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.Uint64 && f.Uint() == 0 {
			t.Errorf("no test moved %s", v.Type().Field(i).Name)
		}
	}
	for s := bpf.WeirDecodeStatusSTATUS_OK + 1; s < bpf.WeirDecodeStatusSTATUS_COUNT; s++ {
		if l.IgnoredPackets[s] == 0 && s != bpf.WeirDecodeStatusSTATUS_FILTERED {
			t.Errorf("no frame was ignored as %s", s)
		}
	}
}
