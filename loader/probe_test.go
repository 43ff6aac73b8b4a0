package loader_test

import (
	"strings"
	"testing"

	"github.com/weirflow/weir/bpf/bpftest"
	"github.com/weirflow/weir/loader"
)

func probed(t *testing.T) map[string]loader.Check {
	t.Helper()
	checks := map[string]loader.Check{}
	for _, c := range loader.Probe() {
		if _, twice := checks[c.Name]; twice {
			t.Errorf("check %q comes twice", c.Name)
		}
		if c.Detail == "" || strings.Contains(c.Detail+c.Advice, "\n") {
			t.Errorf("check %+v: want a detail, on one line", c)
		}
		t.Logf("%-20s %-5v %s [%s]", c.Name, c.OK, c.Detail, c.Advice)
		checks[c.Name] = c
	}
	return checks
}

func TestProbeFindsThisMachineFit(t *testing.T) {
	newWorld(t)
	checks := probed(t)
	for _, name := range []string{"kernel", "capabilities", "kernel types (BTF)", "BPF compiler (JIT)", "ring buffer", "TCX",
		"locked memory", "metering programs", "test run", "interface lo", "interface " + nearName} {
		if c, there := checks[name]; !there || !c.OK {
			t.Errorf("%s: %+v", name, c)
		}
	}
	for name, want := range map[string]string{"lo": "no native XDP", nearName: "driver veth, native XDP"} {
		if c := checks["interface "+name]; !strings.Contains(c.Detail, want) {
			t.Errorf("%s: detail %q, want %q", name, c.Detail, want)
		}
	}
}

func TestProbeSaysWhatIsMissingWithoutPrivilege(t *testing.T) {
	bpftest.NewNamespace(t)
	bpftest.WithCapabilities(t, nil, func() {
		checks := probed(t)
		for _, name := range []string{"capabilities", "metering programs"} {
			if c := checks[name]; c.OK || c.Advice == "" {
				t.Errorf("%s: %+v", name, c)
			}
		}
	})
}

func TestProbeTellsOfAnInterfaceThatIsTaken(t *testing.T) {
	newWorld(t)
	attach(t, options(), nearName)
	c := probed(t)["interface "+nearName]
	if c.OK || !strings.Contains(c.Detail, "weir_xdp_in") || !strings.Contains(c.Advice, "--hook tcx") {
		t.Errorf("%+v", c)
	}
}
