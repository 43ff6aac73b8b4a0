package main

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/bpftest"
	"github.com/weirflow/weir/bpf/pinned"
)

// about is what the pinned meter says of itself.
func about(t *testing.T, pin string) pinned.About {
	t.Helper()
	d, err := pinned.ReadAbout(pin)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Killed while it puts its programs in the place of another build's, under load:
// the next start does it again, and no frame is missed.
func TestB3UpgradeThatIsKilledLosesNothing(t *testing.T) {
	const older = "older"
	w := newWire(t)
	s, pin, out := w.sender(t), bpftest.PinPlace(t), filepath.Join(t.TempDir(), "flows.ndjson")
	args := []string{"--pin", pin, "-o", out, "--dissections", "0", "--idle-timeout", "100ms"}
	makeOlder := func() { bpftest.ChangeAbout(t, pin, func(d *pinned.About) { d.Object = older }) }
	w.attach(t, args...).kill()
	makeOlder()
	begun := time.Now()
	w.attach(t, args...).kill()
	took := time.Since(begun)
	w.hasCarrier(t)
	s.start()
	kills, before := rounds(t, 15, 200), 0
	for range kills {
		makeOlder()
		w.startAndKill(t, took, args...)
		if about(t, pin).Object == older {
			before++
		}
		p := w.attach(t, args...)          // fails the test unless it meters
		time.Sleep(500 * time.Millisecond) // or the ring fills up with what nobody reads
		p.kill()
		if d := about(t, pin); d.Object != bpf.ObjectHash() || d.Gone != 0 {
			t.Errorf("the meter runs %s; an interface was gone %d times", d.Object, d.Gone)
		}
		if left, err := filepath.Glob(filepath.Join(pin, "*-new-*")); err != nil || len(left) > 0 {
			t.Errorf("left in the directory: %v %v", left, err)
		}
	}
	s.halt()
	died := w.detached(t, pin, out)
	packets, _, again := once(t, out)
	if packets+died != s.sent.Load() {
		t.Errorf("%d packets in flows, %d died, %d were sent", packets, died, s.sent.Load())
	}
	t.Logf("measured: %d kills within the %v of an upgrade, %d of them before its end: %d packets sent, residual 0; %d flows came again",
		kills, took.Round(time.Millisecond), before, s.sent.Load(), again)
}
