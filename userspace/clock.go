package userspace

import (
	"time"

	"golang.org/x/sys/unix"
)

// clock converts the metering programs' time to nanoseconds since the Unix
// epoch. The programs read the kernel's monotonic clock. This process's own may
// be another one, in a time namespace; how far it is off never changes, and is
// learnt from a time that a program has returned. What does change, when the wall
// clock is set, is what wall and monotonic clock of this process differ by.
type clock struct {
	read     func(id int32) int64 // nanoseconds of a CLOCK_*
	learnt   bool
	domain   int64 // the programs' clock less this process's
	apart    int64 // wall clock less this process's
	offset   int64 // wall clock less the programs' clock, in whole microseconds
	measured int64 // when, by this process's monotonic clock
	doubt    int64 // how far off apart may be: half of what measuring took

	jumps  uint64        // times that the wall clock was set meanwhile
	jumped time.Duration // by how much in all, whichever way
}

const (
	// clockInterval is how often the offset is measured.
	clockInterval = time.Second
	// clockJump is by how much the wall clock must move against the monotonic one,
	// beyond what measuring leaves open, to have been set. What adjusts it gently
	// moves it less in an interval.
	clockJump = 5 * time.Millisecond
)

func newClock() clock { return clock{read: readClock} }

func readClock(id int32) int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(id, &t); err != nil {
		return 0
	}
	return t.Nano()
}

func (c *clock) monotonic() int64 { return c.read(unix.CLOCK_MONOTONIC) }

// learn is told a time that a program read between two readings of the monotonic
// clock. If it lies between them, both clocks are one. Otherwise the program
// cannot have read its clock before "before": the least difference is nearest.
func (c *clock) learn(before, program, after int64) {
	switch difference := program - before; {
	case before <= program && program <= after:
		c.domain = 0
	case !c.learnt || difference < c.domain:
		c.domain = difference
	}
	switch {
	case !c.learnt:
		c.measure()
	case after-c.measured >= int64(clockInterval):
		c.follow()
	}
	c.learnt = true
}

// measureTries is how often the two clocks are read next to each other; the
// readings that an interruption came between are not the ones that count.
const measureTries = 3

// measure takes the offset in whole microseconds, so that differences between a
// record's times in microseconds are the same before and after conversion.
func (c *clock) measure() {
	least := int64(-1)
	for range measureTries {
		before := c.monotonic()
		wall := c.read(unix.CLOCK_REALTIME)
		after := c.monotonic()
		if least < 0 || after-before < least {
			least = after - before
			c.apart = wall - (before + least/2)
		}
		c.measured = after
	}
	c.doubt = least / 2
	c.offset = c.apart - c.domain
	c.offset -= c.offset % int64(time.Microsecond)
}

// follow measures again, and notes where the wall clock was set since.
func (c *clock) follow() {
	before, doubt := c.apart, c.doubt
	c.measure()
	moved := time.Duration(c.apart - before).Abs()
	if moved > clockJump+time.Duration(doubt+c.doubt) {
		c.jumps++
		c.jumped += moved
	}
}

// wall converts a time of the programs.
func (c *clock) wall(programNs uint64) uint64 { return uint64(int64(programNs) + c.offset) }
