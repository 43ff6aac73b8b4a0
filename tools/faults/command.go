package main

import (
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"time"
)

// A command shows what takes more than a test: it passes when it ends well and has
// said what was measured.
type command struct {
	name string
	// short and full are the arguments of make, for everyday and for a soak.
	short, full []string
	// says finds what was measured, told what is told of it, as Regexp.Expand takes it.
	says *regexp.Regexp
	told string
	// last is that of all that says finds, only the last counts.
	last bool
}

// fuzzing searches for an input that makes a target panic.
func fuzzing(target string) command {
	return command{
		name:  "make fuzz of " + target,
		short: []string{"fuzz", "FUZZ=" + target, "T=5s"},
		full:  []string{"fuzz", "FUZZ=" + target, "T=30s"},
		says:  regexp.MustCompile(`elapsed: (\w+), execs: (\d+)`),
		told:  target + ": $2 inputs in $1",
		last:  true,
	}
}

// rebuild compiles the committed objects anew.
func rebuild() command {
	args := []string{"check-generate"}
	return command{name: "make check-generate", short: args, full: args, says: regexp.MustCompile(`check-generate: (\d+ files are as their sources give.*)`), told: "$1"}
}

// secondKernel runs on Linux 6.1, in short what shows that every program loads, that
// they decode and meter as Go does, and that a sweep loses nothing beside writers.
func secondKernel() command {
	return command{
		name:  "make test-vm",
		short: []string{"test-vm", "VMFLAGS=-run '^Test(F10|F1Decoders|F2Meters|A2Sweep|H1Few|B4)' bpf bpf/differential loader"},
		full:  []string{"test-vm"},
		says:  regexp.MustCompile(`vm: (Linux \S+), |(?m:^(\d+ passed, 0 failed, 0 skipped)$)|vm: (left out \d+ tests and \d+ packages)`),
		told:  "$1$2$3",
	}
}

// overhead measures the metering program beside one that only passes frames.
func overhead() command {
	const byKind = "-kernel=false -dpi=false -replay=false -memory=false"
	return command{
		name:  "make bench",
		short: []string{"bench", "BENCHFLAGS=" + byKind + " -rounds 3 -runs 200000"},
		full:  []string{"bench", "BENCHFLAGS=" + byKind},
		says:  regexp.MustCompile(`(?m)^(\S+ of \d+ octets: .*)$`),
		told:  "$1",
	}
}

// runCommands runs those of the rows.
func (r *results) runCommands(rows []row, o options) {
	for i := range rows {
		for _, c := range rows[i].commands {
			r.tests[c.name] = c.run(o.soak)
		}
	}
}

func (c *command) run(soak bool) *outcome {
	args := c.short
	if soak {
		args = c.full
	}
	began := time.Now()
	said, err := exec.Command("make", append([]string{"--no-print-directory"}, args...)...).CombinedOutput()
	o := &outcome{action: "pass", elapsed: time.Since(began).Seconds(), measured: c.measured(string(said))}
	switch {
	case err != nil:
		o.action = "fail"
		o.output = []string{string(said), fmt.Sprintf("make %s: %v\n", strings.Join(args, " "), err)}
	case len(o.measured) == 0:
		o.action = "fail"
		o.output = []string{string(said), fmt.Sprintf("make %s ended well, and said nothing that was measured\n", strings.Join(args, " "))}
	}
	return o
}

// measured is what a command has said that was.
func (c *command) measured(said string) (words []string) {
	found := c.says.FindAllStringSubmatchIndex(said, -1)
	if c.last && len(found) > 0 {
		found = found[len(found)-1:]
	}
	for _, at := range found {
		words = append(words, string(c.says.ExpandString(nil, c.told, said, at)))
	}
	return words
}
