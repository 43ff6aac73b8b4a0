package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/weirflow/weir/dpi"
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
