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
	offset   int64 // wall clock less the programs' clock, in whole microseconds
	measured int64 // when, by this process's monotonic clock
}

// clockInterval is how often the offset is measured.
const clockInterval = time.Second

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
	if !c.learnt || after-c.measured >= int64(clockInterval) {
		c.measure()
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
			c.offset = wall - (before + least/2) - c.domain
		}
		c.measured = after
	}
	c.offset -= c.offset % int64(time.Microsecond)
}

// wall converts a time of the programs.
func (c *clock) wall(programNs uint64) uint64 { return uint64(int64(programNs) + c.offset) }
