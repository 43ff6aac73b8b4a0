package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/weirflow/weir/bpf"
)

// The ledger and the status of a meter name the programs that count, which are others
// without CAP_PERFMON, and their layout.
func TestH11LedgerAndStatusNameTheObjectThatCounts(t *testing.T) {
	layout, err := bpf.LayoutHash()
	if err != nil {
		t.Fatal(err)
	}
	w := newWire(t)
	for object, without := range map[string][]string{
		bpf.ObjectHash():       nil,
		bpf.CopiedObjectHash(): {"setpriv", "--bounding-set", "-perfmon,-sys_admin", "--inh-caps", "-perfmon,-sys_admin"},
	} {
		control := filepath.Join(publicDir(t), "control")
		p := w.start(t, slices.Concat(without, []string{os.Args[0], "attach", "far", "-o", "csv:" + os.DevNull, "--control", control})...)
		code, out, said := w.runIn(t, "status", "--control", control, "--format", "json")
		var status statusReport
		if err := json.Unmarshal([]byte(out), &status); err != nil || code != exitComplete {
			t.Fatalf("weir status: exit code %d, %v: %s", code, err, said)
		}
		if status.Object != object || status.Layout != layout {
			t.Errorf("status names object %s and layout %s, want %s and %s", status.Object, status.Layout, object, layout)
		}
		p.interrupt(t)
		if _, _, said := p.end(t); !strings.Contains(said, "object "+object+"\nlayout "+layout+"\n") {
			t.Errorf("the ledger does not name object %s and layout %s: %s", object, layout, said)
		}
		_, files := weir(t, "replay", "-o", "csv:"+os.DevNull, http1)
		if said := files.err.String(); strings.Contains(said, "object ") {
			t.Errorf("the ledger of a file names an object: %s", said)
		}
	}
	t.Logf("measured: object %.12s, without CAP_PERFMON %.12s, layout %.12s in status and ledger", bpf.ObjectHash(), bpf.CopiedObjectHash(), layout)
}
