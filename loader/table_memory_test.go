package loader_test

import (
	"os"
	"testing"
	"time"

	"github.com/weirflow/weir/tools/flowgen"
	"github.com/weirflow/weir/tools/procstatus"
	"github.com/weirflow/weir/tools/soak"
)

// A8 in figures: 10 M flows within 3.2 GB of the kernel's memory, of which the ring
// buffer has some as well, and a consumer that does not grow with the table.
const (
	octetsAFlow     = 320
	consumerMiBMost = 300
)

// A table that is full of flows takes no more of the kernel's memory than the core
// columns need, and its reader none for each flow.
func TestA8ManyFlowsTakeBoundedMemory(t *testing.T) {
	l := newLoad(t)
	o := options()
	flows := soak.Of(300_000, 10_000_000)
	o.Config.MaxFlows, o.Config.IdleTimeout, o.RingOctets = flows, time.Hour, 16<<20
	a := attach(t, o, nearName)
	c := consumer(t, a, o)
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		t.Fatalf("forget how much memory was resident at most: %v", err)
	}
	l.send(l.generator(uint32(flows), 1), template(flowgen.UDP4, 60), flows)
	reading := read(t, c, func(generated) bool { return false })
	// of a ring buffer Linux before 6.4 does not tell
	kernel := kernelOctets(t, a.Handles().Flows) + uint64(o.RingOctets) + kernelOctets(t, a.Handles().Ledgers)
	ledger := reading.end(l.sent)
	if ledger.Flows != uint64(flows) || ledger.TableFull != 0 {
		t.Errorf("%d flows came out of the table of %d, which was full %d times", ledger.Flows, flows, ledger.TableFull)
	}
	// the ring does not grow with the table
	if most := uint64(flows)*octetsAFlow + soak.Of[uint64](32<<20, 0); kernel > most {
		t.Errorf("%d flows take %d octets of the kernel's memory, want %d at most", flows, kernel, most)
	}
	if mib := residentMost(t); mib > consumerMiBMost {
		t.Errorf("the consumer's process had %d MiB resident, want %d at most", mib, consumerMiBMost)
	}
	t.Logf("measured: %d flows in %d MB of the kernel's memory, %d octets a flow in the table; %d MiB at most resident with who reads them; residual 0",
		flows, kernel/1e6, kernelOctets(t, a.Handles().Flows)/uint64(flows), residentMost(t))
}

// residentMost is the most memory of this process since it was last forgotten, in MiB.
func residentMost(t *testing.T) (mib int) {
	t.Helper()
	self, err := procstatus.Of(os.Getpid())
	if err != nil || self.Number("VmHWM") == 0 {
		t.Fatalf("%v; of this process is told:\n%s", err, self)
	}
	return self.Number("VmHWM") >> 10
}
