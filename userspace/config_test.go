package userspace_test

import (
	"strings"
	"testing"
	"time"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/userspace"
)

func TestConfigSaysWhatIsOutOfRange(t *testing.T) {
	cases := map[string]struct {
		change func(*userspace.Config)
		want   string // part of the error; empty for none
	}{
		"the defaults":                    {func(*userspace.Config) {}, ""},
		"every packet a flow":             {func(c *userspace.Config) { c.IdleTimeout = 0 }, ""},
		"negative idle timeout":           {func(c *userspace.Config) { c.IdleTimeout = -1 }, "idle timeout"},
		"negative active timeout":         {func(c *userspace.Config) { c.ActiveTimeout = -1 }, "active timeout"},
		"a day without statistics":        {func(c *userspace.Config) { c.ActiveTimeout = 24 * time.Hour }, ""},
		"a day with statistics":           {func(c *userspace.Config) { c.ActiveTimeout, c.Statistics = 24*time.Hour, true }, "71m34s"},
		"a day with first-N vectors":      {func(c *userspace.Config) { c.ActiveTimeout, c.SPLT = 24*time.Hour, 1 }, "71m34s"},
		"71 minutes with statistics":      {func(c *userspace.Config) { c.ActiveTimeout, c.Statistics = 71*time.Minute, true }, ""},
		"accounting mode 4":               {func(c *userspace.Config) { c.Accounting = 4 }, "accounting"},
		"as many vectors as fit":          {func(c *userspace.Config) { c.SPLT = bpf.SPLTMax }, ""},
		"one vector too many":             {func(c *userspace.Config) { c.SPLT = bpf.SPLTMax + 1 }, "splt"},
		"256 dissections":                 {func(c *userspace.Config) { c.Samples = 256 }, "dissections"},
		"samples longer than a packet":    {func(c *userspace.Config) { c.Samples, c.SampleOctets = 1, userspace.SampleOctetsMax+1 }, "sample octets"},
		"no room for any flow":            {func(c *userspace.Config) { c.MaxFlows = 0 }, "max flows"},
		"more flows than the index holds": {func(c *userspace.Config) { c.MaxFlows = 1<<24 + 1 }, "max flows"},
	}
	for name, tc := range cases {
		c := userspace.DefaultConfig()
		tc.change(&c)
		err := c.Validate()
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}
