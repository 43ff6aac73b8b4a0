package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"github.com/weirflow/weir/tools/vm/guest"
)

// A console turns what comes out of the machine's port into events of go test
// -json.
type console struct {
	events io.Writer
	now    func() time.Time
	suite  string    // whose tests are running
	since  time.Time // and since when
	said   bytes.Buffer
	fault  string
	ended  bool
}

func newConsole(events io.Writer) *console { return &console{events: events, now: time.Now} }

var errNoEnd = errors.New("the machine stopped before its end mark")

// read takes in lines to the end, and tells why the machine did not come to its.
func (c *console) read(r io.Reader) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if word, isMark := strings.CutPrefix(line, guest.Mark); isMark {
			if err := c.mark(strings.TrimSpace(word)); err != nil {
				return err
			}
		} else if c.suite != "" {
			c.said.WriteString(line)
		}
		if errors.Is(err, io.EOF) {
			return c.end()
		}
		if err != nil {
			return fmt.Errorf("read the machine's port: %w", err)
		}
	}
}

func (c *console) mark(text string) error {
	word, rest, _ := strings.Cut(text, " ")
	switch word {
	case guest.Start:
		c.suite, c.since = rest, c.now()
	case guest.Exit:
		return c.suiteEnded(rest)
	case guest.Fault:
		c.fault = rest
	case guest.End:
		c.ended = true
	}
	return nil
}

func (c *console) end() error {
	switch {
	case c.fault != "":
		return fmt.Errorf("the machine could not run the tests: %s", c.fault)
	case c.ended:
		return nil
	case c.suite != "":
		suite := c.suite
		return errors.Join(c.suiteEnded("the machine stopped"), fmt.Errorf("%w, while %s was running", errNoEnd, suite))
	}
	return errNoEnd
}

// An event is what is read of those that test2json makes.
type event struct{ Action, Test string }

// framing begins the lines of a test binary that are its own and no test's.
const framing = "\x16"

// suiteEnded has what the suite said turned into events, the last of which tells
// how it ended, and adds the line that go test closes a good one with.
func (c *console) suiteEnded(status string) error {
	// Without a word of its own at its end a binary has not run its tests.
	if good := status == "exit status 0" && bytes.Contains(c.said.Bytes(), []byte(framing+"PASS\n")); !good {
		fmt.Fprintf(&c.said, "%s\n%sFAIL\n", status, framing)
	}
	convert := exec.Command("go", "tool", "test2json", "-t", "-p", c.suite)
	convert.Stdin = &c.said
	out, err := convert.Output()
	if err != nil {
		return fmt.Errorf("go tool test2json: %w", err)
	}
	count := map[string]int{}
	for line := range bytes.Lines(out) {
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("go tool test2json: %w", err)
		}
		if e.Test != "" {
			count[e.Action]++
		} else if e.Action == "pass" || e.Action == "fail" {
			c.summary(e.Action, count)
		}
		if _, err := c.events.Write(line); err != nil {
			return fmt.Errorf("write events: %w", err)
		}
	}
	c.suite = ""
	c.said.Reset()
	return nil
}

// summary is the package's closing line, as an event.
func (c *console) summary(action string, count map[string]int) {
	ok := map[string]string{"pass": "ok  ", "fail": "FAIL"}[action]
	text, _ := json.Marshal(map[string]string{"Action": "output", "Package": c.suite, "Output": fmt.Sprintf("%s\t%s\t%.1fs\t%d passed, %d failed, %d skipped\n",
		ok, c.suite, c.now().Sub(c.since).Seconds(), count["pass"], count["fail"], count["skip"])})
	fmt.Fprintf(c.events, "%s\n", text)
}
