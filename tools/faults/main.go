// Command faults shows, row by row, what weir survives: it runs the tests that
// show each row of the list of faults, A1 to H13, and prints a line for each with
// what was measured. A row of which something is not shown says so, and never
// passes.
//
//	go run ./tools/faults [-exec PROGRAM] [-soak] [-timeout DURATION] [ROW ...]
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"time"
)

func main() {
	exec := flag.String("exec", "", "run the tests by `PROGRAM`, such as sudo")
	soak := flag.Bool("soak", false, "run the full form of the tests that have a short one")
	timeout := flag.Duration("timeout", 10*time.Minute, "of each package's tests")
	flag.Parse()
	rows, err := chosen(flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(2)
	}
	r := newResults(os.Stderr)
	if err := r.run(rows, options{exec: *exec, soak: *soak, timeout: *timeout}); err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(1)
	}
	if !report(os.Stdout, rows, r) {
		os.Exit(1)
	}
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
