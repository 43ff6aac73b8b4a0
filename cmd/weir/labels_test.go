package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/dpi"
	"github.com/weirflow/weir/userspace"
)

func TestALabelComesBeforeItsFlow(t *testing.T) {
	if !dpi.Available() {
		t.Log("this build holds no nDPI")
		return
	}
	code, f := weir(t, "replay", "-q", "-o", "ndjson:-?events=label", "--l7", "full", "../../testdata/dns-udp/dns-udp.pcap")
	if code != exitComplete {
		t.Fatalf("exit code %d: %s", code, f.err.String())
	}
	labelled, flows := map[any]any{}, 0
	for _, line := range lines(f.out.String()) {
		var r map[string]any
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if r["event"] == "label" {
			if labelled[r["flow_uid"]] != nil || r["ja4"] != "" {
				t.Errorf("a second label, or no details: %s", line)
			}
			labelled[r["flow_uid"]] = r["src_port"]
			continue
		}
		flows++
		if name := r["application_name"]; name == "DNS" && labelled[r["flow_uid"]] != r["src_port"] {
			t.Errorf("flow %v has no label before: %v", r["flow_uid"], labelled[r["flow_uid"]])
		}
	}
	if flows == 0 || len(labelled) == 0 {
		t.Errorf("%d flows, %d labels", flows, len(labelled))
	}
}

func TestLabelsNeedClassification(t *testing.T) {
	code, f := weir(t, "replay", "--dissections", "0", "-o", "ndjson:-?events=label", "../../testdata/ntp/ntp.pcap")
	if code != exitUsage || !strings.Contains(f.err.String(), "not classified") {
		t.Errorf("exit code %d: %s", code, f.err.String())
	}
}

func TestLabelsThatFindNoRoomAreCountedAndLeaveRoomForFlows(t *testing.T) {
	f, output := newFake(), stuck{make(chan struct{})}
	f.stdout = output
	defer close(output.released)
	s := newSettings()
	s.outputs, s.queueFlows.n, s.drain.d = []string{"ndjson:-?events=label"}, 8, 100*time.Millisecond
	o, err := openOutputs(&f.environment, s, speaker{to: &f.err})
	if err != nil {
		t.Fatal(err)
	}
	l := newLabels(o, true)
	for range 20 {
		l.take(&userspace.Label{Packets: make([]userspace.LabelPacket, 1)})
	}
	l.close()
	if want := "16 labels were not written"; !strings.Contains(f.err.String(), want) {
		t.Errorf("said %q, want %q", f.err.String(), want)
	}
	for range 4 {
		o.write(&userspace.Flow{Record: bpf.Record{Dir: [2]bpf.Direction{{Packets: 1, Octets: 60}}}})
	}
	if n := o.all[0].notSent.Packets; n != 0 {
		t.Errorf("%d flows found no room for labels", n)
	}
	o.close()
	if n := o.all[0].notSent.Packets; n != 4 {
		t.Errorf("%d flows were not sent in the end, want 4", n)
	}
}
