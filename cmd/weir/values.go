package main

import (
	"fmt"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
)

// The values of flags. Their errors complete "invalid value … for flag …: ".

// A choice is one of some words.
type choice struct {
	words  []string
	picked string
}

func (c *choice) String() string { return c.picked }

func (c *choice) Set(s string) error {
	if !slices.Contains(c.words, s) {
		return fmt.Errorf("want one of %s", strings.Join(c.words, ", "))
	}
	c.picked = s
	return nil
}

// textOrJSON is what a command answers in, and the flag that chooses it.
func textOrJSON() (*choice, cli.Flag) {
	format := &choice{words: []string{"text", "json"}, picked: "text"}
	return format, &cli.GenericFlag{Name: "format", Value: format, Usage: "print as `FORMAT`: text, for reading, or json, for programs"}
}

// index is the place of the picked word.
func (c *choice) index() int { return slices.Index(c.words, c.picked) }

// A span is a duration, at least min.
type span struct {
	min, d time.Duration
}

func (s *span) String() string {
	if s.d == 0 {
		return ""
	}
	text := s.d.String()
	if strings.HasSuffix(text, "m0s") && s.d%time.Minute == 0 {
		return strconv.FormatInt(int64(s.d/time.Second), 10) + "s"
	}
	return text
}

func (s *span) Set(text string) error {
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return fmt.Errorf("want a duration such as 120s, 500ms or 30m")
	case d < s.min:
		return fmt.Errorf("want %v or more", s.min)
	}
	s.d = d
	return nil
}

// groupID is the number of a group of users, named by name or number.
func groupID(name string) (int, error) {
	id := name
	if found, err := user.LookupGroup(name); err == nil {
		id = found.Gid
	}
	n, err := strconv.ParseUint(id, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("--pin-group %q: want a group of this machine, by name or number", name)
	}
	return int(n), nil
}

// A number is a whole number from min to max.
type number struct {
	min, max, n int
}

func (n *number) String() string { return strconv.Itoa(n.n) }

func (n *number) Set(text string) error {
	v, err := strconv.Atoi(text)
	if err != nil || v < n.min || v > n.max {
		return fmt.Errorf("want a number from %d to %d", n.min, n.max)
	}
	n.n = v
	return nil
}

// A percentage is from 0 to 100, a percent sign may follow.
type percentage struct{ p float64 }

func (p *percentage) String() string { return strconv.FormatFloat(p.p, 'g', -1, 64) }

func (p *percentage) Set(text string) error {
	v, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
	if err != nil || !(v >= 0 && v <= 100) {
		return fmt.Errorf("want a percentage from 0 to 100")
	}
	p.p = v
	return nil
}
