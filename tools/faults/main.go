// Command faults shows, row by row, what weir survives: it runs the tests, and the
// targets of make, that show each row of the list of faults, A1 to H13, and prints a
// line for each with what was measured. A row of which something is not shown says
// so, and never passes.
//
//	go run ./tools/faults [-exec PROGRAM] [-soak] [-to FILE] [-timeout DURATION] [ROW ...]
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

func main() {
	exec := flag.String("exec", "", "run the tests by `PROGRAM`, such as sudo")
	soak := flag.Bool("soak", false, "run the full form of the tests that have a short one")
	to := flag.String("to", "", "write the table to `FILE` as well")
	timeout := flag.Duration("timeout", 10*time.Minute, "of each package's tests")
	flag.Parse()
	rows, err := chosen(flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(2)
	}
	good, err := show(rows, options{exec: *exec, soak: *soak, timeout: *timeout}, *to)
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
	}
	if err != nil || !good {
		os.Exit(1)
	}
}

// show runs the rows and prints the table, to a file as well if it has a name.
func show(rows []row, o options, file string) (good bool, err error) {
	began := time.Now()
	r := newResults(os.Stderr)
	if err := r.run(rows, o); err != nil {
		return false, err
	}
	r.runCommands(rows, o)
	var table bytes.Buffer
	out := io.MultiWriter(os.Stdout, &table)
	good = report(out, rows, r)
	if o.soak {
		reportForemost(out, rows, r)
	}
	fmt.Fprintf(out, "it took %s\n", time.Since(began).Round(time.Second))
	if file == "" {
		return good, nil
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return good, fmt.Errorf("write the table: %w", err)
	}
	if err := os.WriteFile(file, table.Bytes(), 0o644); err != nil {
		return good, fmt.Errorf("write the table: %w", err)
	}
	return good, nil
}

// chosen are the rows of these ids, or all.
func chosen(ids []string) ([]row, error) {
	all := table()
	if len(ids) == 0 {
		return all, nil
	}
	var rows []row
	for _, id := range ids {
		i := slices.IndexFunc(all, func(r row) bool { return r.id == id })
		if i < 0 {
			return nil, fmt.Errorf("there is no row %q: they are %s to %s", id, all[0].id, all[len(all)-1].id)
		}
		rows = append(rows, all[i])
	}
	return rows, nil
}
