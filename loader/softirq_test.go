package loader_test

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/bpf/bpftest"
	"github.com/weirflow/weir/loader"
	"github.com/weirflow/weir/userspace"
)

// Packets that come to a CPU while it sweeps are metered at once, or behind a batch of
// keys: soft interrupts get through an iterator between two entries, and in the middle of
// one. That they do no harm there is for the ledger to show.
func TestA8SoftInterruptsComeThroughASweep(t *testing.T) {
	if runtime.NumCPU() < 2 {
		t.Fatal("one CPU sweeps, another one sends: this test takes two")
	}
	bpftest.NewNamespace(t)
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	receiveOn(t, "lo", sweepingCPU)
	socket := rawSocket(t, lo)
	o := options()
	o.Config.MaxFlows, o.Config.IdleTimeout, o.Config.Statistics = 1<<19, time.Hour, true
	o.XDPMode = loader.XDPGeneric
	a := attach(t, o, "lo")
	c := consumer(t, a, o)
	fillTable(t, socket)
	h := a.Handles()
	const turns = 3
	var all swept
	for turn := range turns {
		while(t, socket, turn, func() { all = runAll(t, &h) })
		while(t, socket, turns+turn, func() { walkAll(t, &h) })
	}
	flows := harvest(t, c)
	ran, walked := time.Hour, time.Hour // of all turns the one that was disturbed least
	for turn := range turns {
		ran = min(ran, longestGap(t, flows[turn]))
		walked = min(walked, longestGap(t, flows[turns+turn]))
	}
	if most := all.all / 10; walked > most || ran > most {
		t.Errorf("a flow's packets were put off for %v by a sweep by the iterator, for %v by one by keys, want a tenth at most of the %v that it takes",
			walked, ran, all.all)
	}
	t.Logf("measured: a flow's packets, sent all the time to the CPU that sweeps, are put off for %v by a sweep by the iterator, for %v by one by keys", walked, ran)
}

const (
	sweepingCPU = 0
	sendingCPU  = 1
)

// receiveOn has what arrives at an interface of this namespace handled by one CPU.
func receiveOn(t *testing.T, name string, cpu int) {
	t.Helper()
	sys := t.TempDir() // each mount shows the namespace that it was made in
	if err := unix.Mount("sysfs", sys, "sysfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Unmount(sys, unix.MNT_DETACH) }()
	path := filepath.Join(sys, "class/net", name, "queues/rx-0/rps_cpus")
	if err := os.WriteFile(path, []byte{byte('0' + 1<<cpu)}, 0); err != nil {
		t.Fatal(err)
	}
}

// alone gives the thread a CPU that it does not share with others, until it unlocks: in
// front of them all it is what they would be measured by.
func alone(cpu int) (share func(), err error) {
	var before, set unix.CPUSet
	set.Set(cpu)
	share = func() {
		_ = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_NORMAL}, 0)
		_ = unix.SchedSetaffinity(0, &before)
	}
	return share, errors.Join(unix.SchedGetaffinity(0, &before), unix.SchedSetaffinity(0, &set),
		unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}, 0))
}

// fillTable sends a packet of each of many flows.
func fillTable(t *testing.T, socket int) {
	t.Helper()
	frame := udpFrame(0, 8)
	binary.BigEndian.PutUint16(frame[34:], otherPort)
	for i := range uint32(300_000) {
		binary.BigEndian.PutUint32(frame[26:], 10<<24|i)
		if err := unix.Sendto(socket, frame, 0, &unix.SockaddrLinklayer{Ifindex: 1}); err != nil {
			t.Fatal(err)
		}
	}
}

// otherPort is a source port that harvest leaves out.
const otherPort = 4001

// longestGap is that between two packets of a flow.
func longestGap(t *testing.T, records []userspace.Flow) time.Duration {
	t.Helper()
	if len(records) != 1 || records[0].Packets() < 20 {
		t.Fatalf("%d records of a flow that was sent all the time: %v", len(records), records)
	}
	return time.Duration(records[0].Record.IatMaxUs) * time.Microsecond
}

// while keeps sending packets of a flow from the other CPU while do runs.
func while(t *testing.T, socket, flow int, do func()) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- sendUntil(ctx, socket, udpFrame(flow, 100)) }()
	time.Sleep(10 * time.Millisecond)
	share, err := alone(sweepingCPU)
	if err != nil {
		t.Fatal(err)
	}
	do()
	share()
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

func sendUntil(ctx context.Context, socket int, frame []byte) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	share, err := alone(sendingCPU)
	defer share()
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		if err := unix.Sendto(socket, frame, 0, nil); err != nil {
			return err
		}
		for began := time.Now(); time.Since(began) < 200*time.Microsecond; {
		}
	}
	return nil
}
