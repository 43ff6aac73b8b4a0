package pcapfile

import (
	"bytes"
	"math"
	"testing"
	"time"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/userspace"
)

// someUDP is a frame.
var someUDP = []byte{
	2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0,
	0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2,
	0x13, 0x88, 0, 53, 0, 8, 0, 0,
}

// extremeTimes are in units of whatever the resolution is.
var extremeTimes = []uint64{
	0, 1, 1<<31 - 1, 1 << 31, 1<<32 - 1, 1 << 32,
	4_291_747_200, 4_291_747_200e3, 4_291_747_200e6, 4_291_747_200e9, // 2106-01-01
	math.MaxInt64, math.MaxInt64 + 1, math.MaxUint64 - 1, math.MaxUint64, 0,
}

// TestD5ExtremeTimesAreMetered meters a file with packets at every extreme of
// time, and from each to each other, in every resolution.
func TestD5ExtremeTimesAreMetered(t *testing.T) {
	b := littleEndian().section()
	packets, clamped := uint64(0), uint64(0)
	for tsresol := range 256 {
		b.iface(1, 0, option{optionResolution, []byte{byte(tsresol)}})
		for _, ts := range extremeTimes {
			b.enhanced(uint32(tsresol), ts, someUDP, uint32(len(someUDP)))
			if _, ok := exactTime(byte(tsresol), 0, ts); !ok {
				clamped++
			}
			packets++
		}
	}
	l := metered(t, b, clamped)
	if l.Delivered.Packets != packets || l.Regressions == 0 || l.EndReasons[bpf.WeirFlowEndReasonEND_IDLE] == 0 {
		t.Errorf("ledger %+v", l)
	}
	t.Logf("measured: %d packets of extreme times in 256 resolutions are metered, %d clamped and counted", packets, clamped)
}

// TestD5ExtremeTimesOfPcapAreMetered: its seconds have 32 bits, and nothing keeps
// the fraction below a second.
func TestD5ExtremeTimesOfPcapAreMetered(t *testing.T) {
	for _, magic := range []uint32{0xa1b2c3d4, 0xa1b23c4d} {
		b := littleEndian().pcapHeader(magic, 2, 4, 65535, 1)
		for _, sec := range []uint32{0, math.MaxInt32, 1 << 31, 4_291_747_200, math.MaxUint32} {
			for _, fraction := range []uint32{0, 999_999_999, math.MaxUint32} {
				b.record(sec, fraction, someUDP, uint32(len(someUDP)))
			}
		}
		if l := metered(t, b, 0); l.Delivered.Packets != 15 {
			t.Errorf("magic %#x: ledger %+v", magic, l)
		}
	}
}

// metered meters the capture with everything that is computed from times, and
// holds every flow's times in order.
func metered(t *testing.T, b *builder, clamped uint64) userspace.Ledger {
	t.Helper()
	r, err := NewReader(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c := userspace.DefaultConfig()
	c.Statistics, c.SPLT = true, bpf.SPLTMax
	m, err := userspace.NewMeter(r, userspace.WithConfig(c))
	if err != nil {
		t.Fatal(err)
	}
	for f, err := range m.Flows(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if f.End().Before(f.Start()) || f.Start().Before(time.Unix(0, 0)) || f.End().After(time.Unix(0, math.MaxInt64)) {
			t.Errorf("flow from %v to %v", f.Start(), f.End())
		}
	}
	l := m.Ledger()
	if err := l.Check(); err != nil {
		t.Error(err)
	}
	if r.TimesClamped() != clamped {
		t.Errorf("%d times clamped, want %d", r.TimesClamped(), clamped)
	}
	return l
}
