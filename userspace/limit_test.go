package userspace_test

import (
	"encoding/binary"
	"io"
	"os"
	"testing"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/tools/procstatus"
	"github.com/weirflow/weir/tools/soak"
	"github.com/weirflow/weir/userspace"
)

// Ten times as many flows come at once as may be open: the oldest make room,
// every packet is in a flow, and memory keeps within its bound.
func TestA9FlowsBeyondTheLimitCloseTheOldest(t *testing.T) {
	limit, most := 100_000, 200 // MiB
	if soak.Full() {
		limit, most = 1_000_000, 600
	}
	flows, n, rss := 10*limit, 0, 0
	p := udpAt(0, 5000, 53, 20)
	source := sourceFunc(func(next *userspace.CapturedPacket) error {
		if n == flows {
			rss = resident(t)
			return io.EOF
		}
		*next = p
		next.TimeNs = uint64(n) * 1000
		binary.BigEndian.PutUint32(next.Data[26:], 10<<24|uint32(n))
		n++
		return nil
	})
	m := meterOf(t, source, func(c *userspace.Config) { c.MaxFlows = limit })
	got, oldest := 0, uint32(0)
	for f, err := range m.Flows(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		a := f.Source().As4()
		if number := binary.BigEndian.Uint32(a[:]) & (1<<24 - 1); got < flows-limit && number != oldest {
			t.Fatalf("flow %d is closed as number %d: not the oldest", number, got)
		}
		oldest++
		got++
	}
	l := closed(t, m)
	if got != flows || l.Delivered.Packets != uint64(flows) {
		t.Errorf("%d flows of %d packets, want %d of each", got, l.Delivered.Packets, flows)
	}
	if early := l.EndReasons[bpf.WeirFlowEndReasonEND_LACK_OF_RESOURCES]; early != uint64(flows-limit) {
		t.Errorf("%d flows ended by reason 5, want %d", early, flows-limit)
	}
	if rss > most {
		t.Errorf("%d MiB are resident, want %d or less", rss, most)
	}
	t.Logf("measured: %d flows against a limit of %d: packet sum exact, the oldest %d closed by reason 5, %d MiB resident", flows, limit, flows-limit, rss)
}

// resident is the memory of this process, in MiB.
func resident(t *testing.T) int {
	t.Helper()
	self, err := procstatus.Of(os.Getpid())
	if err != nil || self.Number("VmRSS") == 0 {
		t.Fatalf("%v; of this process is told:\n%s", err, self)
	}
	return self.Number("VmRSS") >> 10
}
