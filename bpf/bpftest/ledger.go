package bpftest

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/weirflow/weir/bpf"
)

// tally is what came out of the ring.
type tally struct {
	packets, octets   uint64 // in records and in packet events
	overflow, samples uint64
	regressions       uint64
}

func (y *tally) record(r *bpf.Record) {
	y.packets += r.Dir[0].Packets + r.Dir[1].Packets
	y.octets += r.Dir[0].Octets + r.Dir[1].Octets
	y.regressions += r.Regressions
}

func (y *tally) packet(p *bpf.Packet) {
	y.packets++
	y.octets += uint64(p.Octets)
	y.overflow++
}

// Ledger adds up the CPUs' counters of observation point 0.
func (m *Meter) Ledger() (sum bpf.LedgerCount, err error) {
	var cpus []bpf.LedgerCount
	if err := m.coll.Maps[bpf.WeirMapLedgers].Lookup(uint32(0), &cpus); err != nil {
		return sum, fmt.Errorf("read the ledger: %w", err)
	}
	total := words(&sum)
	for i := range cpus {
		for j, w := range words(&cpus[i]) {
			total[j] += w
		}
	}
	return sum, nil
}

// words views a ledger, which is nothing but u64 counters, as such.
func words(l *bpf.LedgerCount) []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Pointer(l)), unsafe.Sizeof(*l)/8)
}

// endOfTime is later than any packet of a test.
const endOfTime = 1 << 62

// Settle closes and drains what is still open, and returns the ledger with an
// error for each line of it that does not close. Every Meter does it at its end.
func (m *Meter) Settle() (bpf.LedgerCount, error) {
	if err := m.Finish(endOfTime); err != nil {
		return bpf.LedgerCount{}, err
	}
	l, err := m.Ledger()
	if err != nil {
		return l, err
	}
	// records have regressions with the statistics only
	if !m.statistics {
		m.read.regressions = l.Regressions
	}
	return l, m.read.check(&l)
}

// check holds the ledger to itself and to what was read. Nothing is open.
func (y *tally) check(l *bpf.LedgerCount) error {
	ignoredPackets, ignoredOctets := uint64(0), uint64(0)
	for status := range l.IgnoredPackets {
		ignoredPackets += l.IgnoredPackets[status]
		ignoredOctets += l.IgnoredOctets[status]
	}
	var errs []error
	for _, line := range []struct {
		name        string
		left, right uint64
	}{
		{"L2: observed = metered + ignored, packets", l.ObservedPackets, l.MeteredPackets + ignoredPackets},
		{"L2: observed = metered + ignored, octets", l.ObservedOctets, l.MeteredOctets + ignoredOctets},
		{"L3: metered = read + lost, packets", l.MeteredPackets, y.packets + l.LostPackets},
		{"L3: accounted = read + lost, octets", l.AccountedOctets, y.octets + l.LostOctets},
		{"overflow = packet events", l.OverflowPackets, y.overflow},
		{"overflow + lost = full + busy + deferred", l.OverflowPackets + l.LostPackets, l.TableFull + l.RecordBusy + l.ExpiryDeferred},
		{"samples = sample events", l.Samples, y.samples},
		{"regressions = those of the records", l.Regressions, y.regressions},
	} {
		if line.left != line.right {
			errs = append(errs, fmt.Errorf("%s: %d against %d", line.name, line.left, line.right))
		}
	}
	return errors.Join(errs...)
}
