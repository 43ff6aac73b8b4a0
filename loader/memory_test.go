package loader

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/weirflow/weir/bpf"
)

func TestMemoryLimitIsWhatTheKernelWouldNotGiveUp(t *testing.T) {
	names := [2]string{"memory.max", "memory.current"}
	for name, c := range map[string]struct {
		files map[string]string
		want  *limit
	}{
		"no limit":                        {map[string]string{"memory.max": "max\n", "memory.current": "5\n"}, nil},
		"no such group":                   {nil, nil},
		"limit of version 1 that is none": {map[string]string{"memory.max": "9223372036854771712\n", "memory.current": "5\n"}, nil},
		"files are given up": {map[string]string{"memory.max": "1000\n", "memory.current": "700\n",
			"memory.stat": "anon 100\ninactive_file 300\nactive_file 200\nslab 7\n"}, &limit{octets: 1000, left: 800}},
		"more used than allowed": {map[string]string{"memory.max": "1000\n", "memory.current": "1100\n"}, &limit{octets: 1000}},
	} {
		group := t.TempDir()
		for file, content := range c.files {
			if err := os.WriteFile(filepath.Join(group, file), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got := limitOf(group, names)
		if c.want != nil {
			c.want.file = filepath.Join(group, "memory.max")
		}
		if (got == nil) != (c.want == nil) || got != nil && *got != *c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// What is reckoned before a table is made is the kernel's own figure of it, for every
// set of groups. Linux before 6.4 leaves out what it adds to each entry.
func TestMemoryOfATableIsReckonedAsTheKernelDoes(t *testing.T) {
	const flows = 50_000
	for set := range 1 << 5 {
		spec, err := bpf.LoadWeir()
		if err != nil {
			t.Fatal(err)
		}
		g := bpf.Groups{TCPEnd: set&1 != 0, IPStatistics: set&2 != 0, TCPStatistics: set&4 != 0, Statistics: set&8 != 0, SPLT: set >> 4 * bpf.SPLTMax}
		if err := bpf.SetGroups(spec, g); err != nil {
			t.Fatal(err)
		}
		table := spec.Maps[bpf.WeirMapFlows]
		table.MaxEntries = flows
		m, err := ebpf.NewMap(table)
		if err != nil {
			t.Fatalf("%v (this test needs CAP_BPF: run as root)", err)
		}
		info, err := m.Info()
		if err != nil {
			t.Fatal(err)
		}
		_ = m.Close()
		told, _ := info.Memlock()
		reckoned := tableOctets(table, flows)
		if told > reckoned+reckoned/100 || told < reckoned-reckoned/4 {
			t.Errorf("groups %05b: the kernel tells of %d octets, reckoned are %d", set, told, reckoned)
		}
		t.Logf("groups %05b: %d octets an entry, %d a flow", set, table.ValueSize, told/flows)
	}
}
