package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/userspace/feature"
)

func schemaCommand(env *environment) *cli.Command {
	format, formatFlag := textOrJSON()
	splt := &number{min: 1, max: bpf.SPLTMax, n: 10}
	return &cli.Command{
		Name:      "schema",
		Usage:     "list every column: type, unit, formula, IPFIX element",
		UsageText: "weir schema [OPTIONS]",
		Flags: []cli.Flag{
			formatFlag,
			&cli.GenericFlag{Name: "splt", Value: splt, Usage: "as if the first `N` packets were asked for"},
		},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return &usageError{c.Command.Name, errors.New("no arguments are taken")}
			}
			fields := feature.Schema(feature.Options{Statistics: true, TCP: true, IP: true, SPLT: splt.n, L7: true, L7Full: true, Tunnels: true})
			if format.picked == "json" {
				return printJSON(env.stdout, fields)
			}
			return printSchema(env.stdout, fields)
		},
	}
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return ignoreGone(e.Encode(v))
}

func printSchema(w io.Writer, fields []feature.Field) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "COLUMN\tTYPE\tUNIT\tGROUP\tNDPI\tIPFIX\tDEFINITION")
	for _, f := range fields {
		fmt.Fprintln(t, strings.Join([]string{f.Name, f.Type, orDash(f.Unit), f.Group, orDash(f.Learnt), orDash(mainElement(f.IPFIX)), f.Definition}, "\t"))
	}
	return ignoreGone(t.Flush())
}

// mainElement leaves out the elements that say the same besides: they would make the
// column twice as wide.
func mainElement(elements string) string {
	element, _, _ := strings.Cut(elements, ";")
	return element
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
