// Package testevents reads what go test -json says.
package testevents

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
)

// An Event is one of test2json's; see go doc test2json.
type Event struct {
	Action, Package, Test, Output string
	Elapsed                       float64
}

// lineMax bounds a line, and with it what a test says at once.
const lineMax = 1 << 26

// Read calls take with each event, to the end of the input. Lines that are none are
// written to rest as they are.
func Read(from io.Reader, rest io.Writer, take func(*Event)) error {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, lineMax)
	for lines.Scan() {
		var e Event
		if json.Unmarshal(lines.Bytes(), &e) != nil || e.Action == "" {
			fmt.Fprintln(rest, lines.Text())
			continue
		}
		take(&e)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read test events: %w", err)
	}
	return nil
}
