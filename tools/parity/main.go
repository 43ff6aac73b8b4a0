// Command parity compares weir's flows with the reference's answers, column by
// column, over folders of captures: beside each NAME.pcap a NAME.pcap.jsonl, or
// for an answer to other options NAME.OPTION_VALUE.jsonl.
//
//	go run ./tools/parity [-l7] FOLDER...
//
// It prints a line for each answer, the differences by the rule of docs/parity.md
// that explains them, and what no rule explains, which makes it exit with 1.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/weirflow/weir/dpi"
	"github.com/weirflow/weir/dpi/worker"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == worker.Command {
		os.Exit(worker.Main())
	}
	l7 := flag.Bool("l7", false, "compare the nine L7 columns as well; wants libndpi 4.2, which the answers come from")
	verbose := flag.Bool("v", false, "show the flows of explained differences, too")
	flag.Parse()
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "parity: name at least one folder of captures")
		os.Exit(2)
	}
	report, err := run(context.Background(), flag.Args(), *l7)
	if err != nil {
		fmt.Fprintln(os.Stderr, "parity:", err)
		os.Exit(1)
	}
	report.print(os.Stdout, *verbose)
	if report.defects() > 0 {
		os.Exit(1)
	}
}

// run compares every answer below the folders.
func run(ctx context.Context, folders []string, l7 bool) (*report, error) {
	var answers []string
	for _, folder := range folders {
		found, err := filepath.Glob(filepath.Join(folder, "*.jsonl"))
		if err != nil {
			return nil, fmt.Errorf("list answers in %s: %w", folder, err)
		}
		answers = append(answers, found...)
	}
	if len(answers) == 0 {
		return nil, fmt.Errorf("no answers (*.jsonl) in %v", folders)
	}
	slices.Sort(answers)
	r := &report{}
	for _, path := range answers {
		c, err := newCase(path, l7 && dpi.Available())
		if err != nil {
			return nil, err
		}
		if err := c.compare(ctx, r); err != nil {
			return nil, fmt.Errorf("compare %s: %w", path, err)
		}
	}
	return r, nil
}
