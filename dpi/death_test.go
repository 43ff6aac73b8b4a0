package dpi_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/dpi"
)

func TestH4CrashCostsLabelsNotFlows(t *testing.T) {
	w, _, src := startScript(t, dpi.Options{}, 20000, func(items []item) {
		items[9999].samples[1] = crashPacket
	})
	o := drain(t, src)
	o.inOrder(t, 20000)
	lost := uint64(0)
	for id, l7 := range o.labels {
		if l7.Reason == "engine_crashed" && l7.ApplicationName == "Unknown" {
			lost++
		} else if l7.ApplicationName != own(id, 2) {
			t.Fatalf("flow %d was labelled %q (%s)", id, l7.ApplicationName, l7.Reason)
		}
	}
	if o.labels[10000].Reason != "engine_crashed" {
		t.Errorf("the flow that crashed the process was labelled %q", o.labels[10000].ApplicationName)
	}
	if o.labels[1].Reason != "" || o.labels[20000].Reason != "" {
		t.Error("flows before and after the crash were labelled as crashed")
	}
	s := w.Stats()
	if s.Crashes != 1 || s.FlowsCrashed != lost || s.Flows != 20000 {
		t.Errorf("%d flows without a label, %+v", lost, s)
	}
	if !strings.Contains(s.LastCrash, "killed") || !strings.Contains(s.LastCrash, "crashing as told") {
		t.Errorf("the last crash is told as %q", s.LastCrash)
	}
	t.Logf("measured: a crash among 20000 flows: all there, %d without a label", lost)
}

func TestH4HangIsEndedByTheWatchdog(t *testing.T) {
	w, _, src := startScript(t, dpi.Options{Timeout: 400 * time.Millisecond}, 5000, func(items []item) {
		items[99].samples[0] = hangPacket
	})
	o := drain(t, src)
	o.inOrder(t, 5000)
	if s := w.Stats(); s.Hangs != 1 || s.Crashes != 0 || o.labels[100].Reason != "engine_crashed" || o.labels[5000].Reason != "" {
		t.Errorf("%+v", s)
	}
}

// TestH4AbortSpinAndAGigabyteCostLabelsNotFlows has the process abort, compute for
// 10 s, and take a gigabyte of memory.
func TestH4AbortSpinAndAGigabyteCostLabelsNotFlows(t *testing.T) {
	for name, packet := range map[string][]byte{"abort": abortPacket, "10 s of work": spinPacket, "a gigabyte": growPacket} {
		t.Run(name, func(t *testing.T) {
			w, _, src := startScript(t, dpi.Options{Timeout: time.Second, Queue: 64, MaxFlows: 1000}, 5000, func(items []item) {
				items[2499].samples[1] = packet
			})
			o := drain(t, src)
			o.inOrder(t, 5000)
			s := w.Stats()
			if l7 := o.labels[2500]; l7.ApplicationName != "Unknown" || l7.Reason != "engine_crashed" || s.Crashes+s.Hangs != 1 {
				t.Errorf("%+v, %+v", l7, s)
			}
			if o.labels[1].Reason != "" || o.labels[5000].Reason != "" {
				t.Errorf("flows before and after have no label: %q, %q", o.labels[1].Reason, o.labels[5000].Reason)
			}
			t.Logf("measured: %s: 5000 flows, all there, %d without a label", name, s.FlowsCrashed)
		})
	}
}

// awaitStart waits until n processes were started.
func awaitStart(t testing.TB, w *dpi.Worker, n uint64) {
	t.Helper()
	for began := time.Now(); w.Stats().Started < n; time.Sleep(time.Millisecond) {
		if time.Since(began) > 20*time.Second {
			t.Fatalf("there is no process after %v: %+v", time.Since(began), w.Stats())
		}
	}
}

// TestH4SampleThatIsFatalTwiceIsQuarantined sends the same sample in one flow of
// each of several inputs.
func TestH4SampleThatIsFatalTwiceIsQuarantined(t *testing.T) {
	const flows, fatal = 500, 250
	w := start(t, dpi.Options{Command: []string{"fake"}, Queue: 16})
	for i, want := range []string{"engine_crashed", "engine_crashed", "quarantined", "quarantined"} {
		s := &script{items: make([]item, flows), samples: w.Sample}
		for i := range s.items {
			s.items[i].samples = [][]byte{[]byte("one"), []byte("two")}
		}
		s.items[fatal-1].samples = [][]byte{[]byte("it begins"), crashPacket, []byte("it goes on")}
		o := drain(t, w.Wrap(s, s))
		o.inOrder(t, flows)
		if l7 := o.labels[fatal]; l7.Reason != want || l7.ApplicationName != "Unknown" {
			t.Errorf("input %d: %+v, want reason %q", i, l7, want)
		}
		if want == "quarantined" && (o.labels[fatal-1].Reason != "" || o.labels[fatal+1].Reason != "") {
			t.Errorf("input %d: the flows beside it have reasons %q and %q", i, o.labels[fatal-1].Reason, o.labels[fatal+1].Reason)
		}
		awaitStart(t, w, w.Stats().Crashes+1)
	}
	if s := w.Stats(); s.Crashes != 2 || s.FlowsQuarantined != 2 {
		t.Errorf("%+v", s)
	}
	t.Logf("measured: a fatal sample in 4 inputs kills %d times, then its flow is quarantined", w.Stats().Crashes)
}

// TestH4ProcessIsBackWithinASecond kills the process again and again.
func TestH4ProcessIsBackWithinASecond(t *testing.T) {
	w := start(t, dpi.Options{Command: []string{"fake"}})
	var longest time.Duration
	for range 8 {
		began, started := time.Now(), w.Stats().Started
		for _, pid := range children(t, os.Getpid()) {
			unix.Kill(pid, unix.SIGKILL)
		}
		awaitStart(t, w, started+1)
		longest = max(longest, time.Since(began))
	}
	t.Logf("measured: the process was back after at most %v", longest)
	if longest > 5*time.Second {
		t.Errorf("the process was back after %v, want 1 s and what a start takes", longest)
	}
}

func TestH4CrashesAgainAndAgainDoNotHoldUpFlows(t *testing.T) {
	_, _, src := startScript(t, dpi.Options{}, 20000, func(items []item) {
		for i := range items {
			// Each another one, or it would be quarantined.
			items[i].samples[0] = fmt.Appendf(nil, "%s %d", crashPacket, i)
		}
	})
	began := time.Now()
	o := drain(t, src)
	o.inOrder(t, 20000)
	for id, l7 := range o.labels {
		if l7.Reason != "engine_crashed" {
			t.Fatalf("flow %d was labelled %q", id, l7.ApplicationName)
		}
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	t.Logf("measured: %d flows that each crash nDPI come out in %v", len(o.labels), time.Since(began).Round(time.Millisecond))
}
