package loader

import (
	"os"
	"path/filepath"
	"testing"
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
