package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/weirflow/weir/dpi"
)

func protocolsCommand(env *environment) *cli.Command {
	format, formatFlag := textOrJSON()
	files := &dpi.Files{}
	return &cli.Command{
		Name:      "protocols",
		Usage:     "list what nDPI knows: protocols, categories, risks",
		UsageText: "weir protocols [OPTIONS]",
		Description: "Lists the protocols of the linked libndpi, and those of --ndpi-protos, with category and breed.\n" +
			"Categories and risks are listed with the numbers by which --ndpi-categories and masks over risks name them.",
		Flags: append([]cli.Flag{
			formatFlag,
			&cli.BoolFlag{Name: "categories", Usage: "list categories instead"},
			&cli.BoolFlag{Name: "risks", Usage: "list risks instead"},
		}, fileFlags(files)...),
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return &usageError{c.Command.Name, errors.New("no arguments are taken")}
			}
			if c.Bool("categories") && c.Bool("risks") {
				return &usageError{c.Command.Name, errors.New("--categories and --risks are two lists: name one, or --format json for all")}
			}
			known, err := dpi.Known(*files)
			if err != nil {
				return err
			}
			switch {
			case format.picked == "json":
				return printJSON(env.stdout, known)
			case c.Bool("categories"):
				return printNumbered(env.stdout, "CATEGORY", known.Categories)
			case c.Bool("risks"):
				return printNumbered(env.stdout, "RISK", known.Risks)
			}
			return printProtocols(env.stdout, &known)
		},
	}
}

// fileFlags are the flags that name files of the user's knowledge.
func fileFlags(f *dpi.Files) []cli.Flag {
	flag := func(name string, to *string, usage string) cli.Flag {
		return &cli.StringFlag{Name: name, Destination: to, Category: categoryFlows, Usage: usage}
	}
	return []cli.Flag{
		flag("ndpi-protos", &f.Protocols, "teach nDPI the protocols, hosts and masks over risks in `FILE`, in its format"),
		flag("ndpi-categories", &f.Categories, "teach nDPI the categories of the hosts in `FILE`"),
		flag("ndpi-risk-domains", &f.RiskDomains, "have nDPI take the domains in `FILE` for risky"),
		flag("ndpi-malicious-clients", &f.MaliciousClients, "have nDPI take the JA3 (JA4 where nDPI has no JA3) in `FILE` for malicious"),
		flag("ndpi-malicious-certificates", &f.MaliciousCertificates, "have nDPI take the certificates of the SHA-1 in `FILE` for malicious"),
	}
}

func printProtocols(w io.Writer, k *dpi.Knowledge) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PROTOCOL\tCATEGORY\tBREED")
	for _, p := range k.Protocols {
		fmt.Fprintf(t, "%s\t%s\t%s\n", p.Name, p.Category, p.Breed)
	}
	return ignoreGone(t.Flush())
}

func printNumbered(w io.Writer, title string, names []string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NUMBER\t"+title)
	for i, name := range names {
		fmt.Fprintln(t, strconv.Itoa(i)+"\t"+name)
	}
	return ignoreGone(t.Flush())
}
