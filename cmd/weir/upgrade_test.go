package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/loader"
)

// about is what the pinned meter says of itself, once change has had it, if that is
// given.
func about(t *testing.T, pin string, change func(*loader.About)) (d loader.About) {
	t.Helper()
	m, err := ebpf.LoadPinnedMap(filepath.Join(pin, "about"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	value, err := m.LookupBytes(uint32(0))
	if err == nil {
		err = json.Unmarshal(bytes.TrimRight(value, "\x00"), &d)
	}
	if err != nil || change == nil {
		return d
	}
	change(&d)
	text, err := json.Marshal(d)
	clear(value)
	copy(value, text)
	if err == nil {
		err = m.Update(uint32(0), value, ebpf.UpdateAny)
	}
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
	s, pin, out := w.sender(t), pinPlace(t), filepath.Join(t.TempDir(), "flows.ndjson")
	args := []string{"--pin", pin, "-o", out, "--dissections", "0", "--idle-timeout", "100ms"}
	makeOlder := func() { about(t, pin, func(d *loader.About) { d.Object = older }) }
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
		if about(t, pin, nil).Object == older {
			before++
		}
		p := w.attach(t, args...)          // fails the test unless it meters
		time.Sleep(500 * time.Millisecond) // or the ring fills up with what nobody reads
		p.kill()
		if d := about(t, pin, nil); d.Object != bpf.ObjectHash() || d.Gone != 0 {
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
