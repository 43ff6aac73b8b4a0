package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/weirflow/weir/dpi"
	"github.com/weirflow/weir/loader"
	"github.com/weirflow/weir/loader/filter"
	"github.com/weirflow/weir/loader/sandbox"
)

func doctorCommand(env *environment) *cli.Command {
	format, formatFlag := textOrJSON()
	return &cli.Command{
		Name:      "doctor",
		Usage:     "tell what weir can and cannot do on this machine, and why",
		UsageText: "weir doctor [OPTIONS]",
		Description: "Loads the metering programs to see whether the kernel takes them, and attaches nothing.\n" +
			"Ends with exit code 1 if something does not work.",
		Flags: []cli.Flag{
			formatFlag,
		},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return &usageError{c.Command.Name, errors.New("no arguments are taken")}
			}
			checks := append(loader.Probe(), checkSandbox(), checkNDPI(), checkFilters())
			print := printChecks
			if format.picked == "json" {
				print = func(w io.Writer, checks []loader.Check) error { return printJSON(w, checks) }
			}
			if err := print(env.stdout, checks); err != nil {
				return err
			}
			if slices.ContainsFunc(checks, func(c loader.Check) bool { return !c.OK }) {
				return &codedError{code: exitFailed}
			}
			return nil
		},
	}
}

// checkSandbox is always in order: without it weir does as much, and so does whoever
// takes it over.
func checkSandbox() loader.Check {
	c := loader.Check{Name: "sandbox", OK: true}
	var has, lacks, advice []string
	note := func(there bool, name, missing string) {
		if there {
			has = append(has, name)
		} else {
			lacks, advice = append(lacks, name), append(advice, missing)
		}
	}
	abi := sandbox.LandlockABI()
	note(abi > 0, fmt.Sprintf("Landlock (ABI %d)", abi), "a kernel with Landlock (5.13, and lsm=landlock,… where it is not on) keeps the consumer to the directories of its outputs")
	if abi > 0 && abi < sandbox.PortsABI {
		note(false, "ports", "Linux 6.7 keeps it to the TCP ports of its outputs")
	}
	note(sandbox.SeccompFilters(), "seccomp", "a kernel with CONFIG_SECCOMP_FILTER keeps it to the system calls that it needs")
	note(sandbox.MayBecomeOthers() || os.Geteuid() != 0, "a user without privileges", "CAP_SETUID and CAP_SETGID let it be another user than root")
	c.Detail, c.Advice = strings.Join(has, ", "), strings.Join(advice, "; ")
	if len(lacks) > 0 {
		c.Detail = strings.TrimPrefix(c.Detail+"; without "+strings.Join(lacks, ", "), "; ")
	}
	return c
}

func checkNDPI() loader.Check {
	if !dpi.Available() {
		return loader.Check{Name: "nDPI", Detail: "not in this build",
			Advice: "flows carry no application names; apt-get install libndpi-dev, then build with CGO_ENABLED=1 and without the tag nodpi"}
	}
	return checkLibrary(dpi.Loaded())
}

func checkLibrary(l dpi.Library, err error) loader.Check {
	if err != nil {
		return loader.Check{Name: "nDPI", Detail: fmt.Sprintf("libndpi %s, API %d; this build is for %d.%d, API %d", l.Version, l.API, l.BuiltMajor, l.BuiltMinor, l.BuiltAPI),
			Advice: "flows cannot be classified: build weir anew, or have the loader find that library"}
	}
	return loader.Check{Name: "nDPI", OK: true, Detail: describe(l)}
}

func checkFilters() loader.Check {
	if _, err := filter.Compile("ip", 1); err != nil {
		return loader.Check{Name: "filters", Detail: "not in this build",
			Advice: "--filter does not work; build with cgo and libpcap-dev"}
	}
	return loader.Check{Name: "filters", OK: true, Detail: "libpcap compiles them"}
}

// printChecks writes a line for each check, and one for what to do.
func printChecks(w io.Writer, checks []loader.Check) error {
	for _, c := range checks {
		mark := "ok"
		if !c.OK {
			mark = "no"
		}
		if _, err := fmt.Fprintf(w, "%s  %-20s %s\n", mark, c.Name, c.Detail); err != nil {
			return ignoreGone(err)
		}
		if c.Advice == "" {
			continue
		}
		if _, err := fmt.Fprintf(w, "    %-20s %s\n", "", c.Advice); err != nil {
			return ignoreGone(err)
		}
	}
	return nil
}
