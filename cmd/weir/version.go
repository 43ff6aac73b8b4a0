package main

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/urfave/cli/v2"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/dpi"
)

func versionCommand(env *environment) *cli.Command {
	return &cli.Command{
		Name:      "version",
		Usage:     "print what this build is made of",
		UsageText: "weir version",
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return &usageError{c.Command.Name, errors.New("no arguments are taken")}
			}
			layout, err := bpf.LayoutHash()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(env.stdout, "weir %s\nnDPI %s\nmetering programs %s\nmetering programs without CAP_PERFMON %s\nlayout %s\n%s %s/%s\n",
				release(), ndpiRelease(), bpf.ObjectHash(), bpf.CopiedObjectHash(), layout, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return ignoreGone(err)
		},
	}
}

// release is the module's version, or the commit that it was built from.
func release() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "(unknown)"
	}
	version, revision, modified := info.Main.Version, "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = " with changes"
		}
	}
	if version == "" || version == "(devel)" {
		version = "development"
	}
	if revision == "" {
		return version
	}
	return fmt.Sprintf("%s, commit %.12s%s", version, revision, modified)
}

func ndpiRelease() string {
	if !dpi.Available() {
		return "none: " + dpi.ErrNotAvailable.Error()
	}
	l, err := dpi.Loaded()
	if err != nil {
		return fmt.Sprintf("%s; it cannot be used: %v", describe(l), err)
	}
	return describe(l)
}

// describe names the library and the number by which its builds tell themselves
// apart.
func describe(l dpi.Library) string { return fmt.Sprintf("%s, API %d", l.Version, l.API) }
