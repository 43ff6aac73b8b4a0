package differential_test

import (
	"testing"

	"github.com/weirflow/weir/bpf/bpftest"
)

// Whatever a frame is, the verdict on it is XDP_PASS and it comes out as it went
// in: Frame holds it to the second.
func TestA11EveryFrameOfEveryCapturePassesUnchanged(t *testing.T) {
	const xdpPass = 2
	frames, total, short := everyFrame(t, bpftest.MinFrame)
	for link, steps := range frames {
		o := captureOptions(link, true)
		o.SampleOctets = 16384
		m := bpftest.New(t, o)
		for i, s := range steps {
			verdict, err := m.Frame(s.Data, s.TimeNs, s.Length)
			if err != nil || verdict != xdpPass {
				t.Fatalf("link type %d, frame %d: verdict %d, %v; want %d and the frame unchanged\n%x", link, i, verdict, err, xdpPass, s.Data)
			}
			if i%1000 == 0 {
				if err := m.Drain(); err != nil {
					t.Fatal(err)
				}
				m.Forget()
			}
		}
	}
	t.Logf("measured: %d frames of all captures: verdict PASS, octets out = octets in (%d shorter than %d octets cannot be test-run)",
		total, short, bpftest.MinFrame)
}
