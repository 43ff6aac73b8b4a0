package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/weirflow/weir/loader/sandbox"
)

// An environment is what a command has of the world around it, so that a test
// can give it another.
type environment struct {
	stdin  io.Reader
	stdout io.Writer // flows, and what schema, doctor and version are asked for
	stderr io.Writer // everything else
	// terminal tells whether one of the streams is a terminal.
	terminal func(stream any) bool
	after    func(time.Duration) <-chan time.Time
	signals  <-chan os.Signal // SIGINT and SIGTERM
	hangups  <-chan os.Signal // SIGHUP
	args     []string         // of the command line
	// limit takes system calls from the process, for ever; nil leaves it all.
	limit func(*sandbox.Calls) error
	// settle takes privileges from it as well; nil leaves it all.
	settle func(*sandbox.Remainder) (missing []string, err error)
	// handed is the meter that another process has attached for this one, if one has.
	handed *handedMeter
}

// confine takes the system calls that are not on the list from a process that is to
// run in a sandbox.
func (env *environment) confine(s *settings, calls *sandbox.Calls) error {
	if env.limit == nil || s.noSandbox {
		return nil
	}
	return env.limit(calls)
}

// A verbosity is how much is said on stderr. Errors always are.
type verbosity int8

const (
	quiet verbosity = iota - 1
	normal
	verbose
)

// A speaker says things to the user, one line each.
type speaker struct {
	to    io.Writer
	level verbosity
}

// always says what -q does not silence: errors and losses. What others chose, as the
// name of a file, cannot end the line or command a terminal.
func (s speaker) always(format string, args ...any) {
	fmt.Fprintf(s.to, "weir: %s\n", visible(fmt.Sprintf(format, args...)))
}

// note says what is worth knowing.
func (s speaker) note(format string, args ...any) {
	if s.level >= normal {
		s.always(format, args...)
	}
}

// detail says what -v asks for.
func (s speaker) detail(format string, args ...any) {
	if s.level >= verbose {
		s.always(format, args...)
	}
}
