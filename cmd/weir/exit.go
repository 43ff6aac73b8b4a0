package main

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// The exit codes. Where several apply, the first of failed, damaged, loss is
// given.
const (
	exitComplete = 0
	exitFailed   = 1
	exitUsage    = 2
	exitDamaged  = 3 // the input was; what came before the damage is written
	exitLoss     = 4 // above --max-loss
)

// A usageError is a command line that asks for something that there is not.
type usageError struct {
	command string // empty for weir itself
	err     error
}

func (e *usageError) Error() string {
	if e.command == "" {
		return fmt.Sprintf("%v; see weir --help", e.err)
	}
	return fmt.Sprintf("%v; see weir %s --help", e.err, e.command)
}

func (e *usageError) Unwrap() error { return e.err }

// A codedError ends weir with a code of its own. A nil err has been told
// already.
type codedError struct {
	code int
	err  error
}

func (e *codedError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *codedError) Unwrap() error { return e.err }

// exitCode is the code that err ends weir with.
func exitCode(err error) int {
	var usage *usageError
	var coded *codedError
	switch {
	case err == nil:
		return exitComplete
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &coded):
		return coded.code
	}
	return exitFailed
}

// told says whether the user has been told of err.
func told(err error) bool {
	var coded *codedError
	return err == nil || errors.As(err, &coded) && coded.err == nil
}

// ignoreGone takes a reader that has left for one that had enough.
func ignoreGone(err error) error {
	if errors.Is(err, unix.EPIPE) {
		return nil
	}
	return err
}
