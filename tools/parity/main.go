// Command parity compares weir's flows with other tools' answers.
//
//	go run ./tools/parity FOLDER...
//
// compares column by column with the reference's answers, over folders of
// captures: beside each NAME.pcap a NAME.pcap.jsonl, or for an answer to other
// options NAME.OPTION_VALUE.jsonl. It prints a line for each answer, the
// differences by the rule of docs/parity.md that explains them, and what no rule
// explains, which makes it exit with 1.
//
//	go run ./tools/parity -l7 FOLDER...
//
// compares the nine L7 columns, with 20 dissections and with 8. It prints what is
// equal, lists each exception, and exits with 1 below the marks.
//
//	go run ./tools/parity -ndpireader FOLDER...
//
// compares labels with those of ndpiReader, which it runs over every capture
// below the folders, and exits with 1 below the marks.
//
// The labels are those of nDPI 4.2: linked with another, the last two say so and
// exit with 2.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/weirflow/weir/dpi/worker"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == worker.Command {
		os.Exit(worker.Main())
	}
	l7 := flag.Bool("l7", false, "compare the nine L7 columns; wants libndpi 4.2")
	reader := flag.Bool("ndpireader", false, "compare labels with ndpiReader's; wants libndpi 4.2 and ndpiReader 4.2 (apt: libndpi-bin)")
	verbose := flag.Bool("v", false, "show the flows of explained differences, too")
	flag.Parse()
	if flag.NArg() == 0 || *l7 && *reader {
		fmt.Fprintln(os.Stderr, "parity: name at least one folder of captures, and one of -l7 and -ndpireader at most")
		os.Exit(2)
	}
	ctx := context.Background()
	var good bool
	var err error
	switch {
	case *l7:
		good, err = printLabels(ctx, flag.Args())
	case *reader:
		good, err = printReader(ctx, flag.Args())
	default:
		good, err = printColumns(ctx, flag.Args(), *verbose)
	}
	switch {
	case errors.Is(err, errNoOracle):
		fmt.Fprintln(os.Stderr, "parity:", err)
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "parity:", err)
		os.Exit(1)
	case !good:
		os.Exit(1)
	}
}

func printColumns(ctx context.Context, folders []string, verbose bool) (good bool, err error) {
	r, err := run(ctx, folders)
	if err != nil {
		return false, err
	}
	r.print(os.Stdout, verbose)
	return r.defects() == 0, nil
}

func printLabels(ctx context.Context, folders []string) (good bool, err error) {
	if err := needOracle(); err != nil {
		return false, err
	}
	r, err := runLabels(ctx, folders)
	if err != nil {
		return false, err
	}
	r.print(os.Stdout)
	return r.met(), nil
}

// eachAnswer calls compare with the path of every answer in the folders, in order,
// until one cannot be compared.
func eachAnswer(folders []string, compare func(path string) error) error {
	var answers []string
	for _, folder := range folders {
		found, err := filepath.Glob(filepath.Join(folder, "*.jsonl"))
		if err != nil {
			return fmt.Errorf("list answers in %s: %w", folder, err)
		}
		answers = append(answers, found...)
	}
	if len(answers) == 0 {
		return fmt.Errorf("no answers (*.jsonl) in %v", folders)
	}
	slices.Sort(answers)
	for _, path := range answers {
		if err := compare(path); err != nil {
			return err
		}
	}
	return nil
}

// run compares the columns of every answer in the folders.
func run(ctx context.Context, folders []string) (*report, error) {
	r := &report{}
	return r, eachAnswer(folders, func(path string) error {
		c, err := newCase(path)
		if err != nil {
			return err
		}
		if err := c.compare(ctx, r); err != nil {
			return fmt.Errorf("compare %s: %w", path, err)
		}
		return nil
	})
}

// runLabels compares the labels of every answer in the folders. With another nDPI
// than the answers' only what is paired with what means anything.
func runLabels(ctx context.Context, folders []string) (*labelReport, error) {
	r := &labelReport{}
	return r, eachAnswer(folders, func(path string) error {
		l, err := compareLabels(ctx, path)
		if err != nil {
			return fmt.Errorf("compare labels of %s: %w", path, err)
		}
		r.results = append(r.results, l)
		return nil
	})
}
