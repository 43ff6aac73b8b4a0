package userspace

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fakeTime is the clocks of a machine whose readings take a microsecond each,
// those of the wall clock by late more.
type fakeTime struct {
	wall, monotonic int64
	late            time.Duration
}

func (f *fakeTime) read(id int32) int64 {
	f.pass(time.Microsecond)
	if id == unix.CLOCK_REALTIME {
		f.pass(f.late)
	}
	if id == unix.CLOCK_REALTIME {
		return f.wall
	}
	return f.monotonic
}

func (f *fakeTime) pass(d time.Duration) {
	f.wall += int64(d)
	f.monotonic += int64(d)
}

// run is a program's run that takes a while, and reads its clock after entry.
func (f *fakeTime) run(c *clock, domain int64, entry, rest time.Duration) {
	before := c.monotonic()
	f.pass(entry)
	program := f.monotonic + domain
	f.pass(rest)
	c.learn(before, program, c.monotonic())
}

func TestProgramTimeBecomesWallTime(t *testing.T) {
	const epoch = 1_700_000_000_000_000_123
	for name, test := range map[string]struct {
		domain time.Duration
		runs   []time.Duration // how long each took to enter
		within time.Duration
	}{
		"in one time namespace":                         {0, []time.Duration{time.Millisecond}, 2 * time.Microsecond},
		"a million seconds ahead":                       {1e6 * time.Second, []time.Duration{10 * time.Microsecond}, 15 * time.Microsecond},
		"a million seconds behind":                      {-1e6 * time.Second, []time.Duration{10 * time.Microsecond}, 15 * time.Microsecond},
		"the quickest of several runs is the one kept":  {time.Hour, []time.Duration{5 * time.Millisecond, 10 * time.Microsecond, 9 * time.Millisecond}, 15 * time.Microsecond},
		"a run that took long is no worse if not apart": {0, []time.Duration{time.Second}, 2 * time.Microsecond},
	} {
		f := &fakeTime{wall: epoch, monotonic: 5e15}
		c := clock{read: f.read}
		for _, entry := range test.runs {
			f.run(&c, int64(test.domain), entry, time.Millisecond)
			f.pass(2 * clockInterval)
		}
		f.run(&c, int64(test.domain), test.runs[0], 0)
		got := int64(c.wall(uint64(f.monotonic + int64(test.domain))))
		if off := time.Duration(got - f.wall).Abs(); off > test.within {
			t.Errorf("%s: %v off", name, off)
		}
	}
}

func TestWallClockThatIsSetIsFollowedWithinASecond(t *testing.T) {
	f := &fakeTime{wall: 1e18, monotonic: 1e12}
	c := clock{read: f.read}
	f.run(&c, 0, 0, 0)
	f.wall += int64(time.Hour)
	f.run(&c, 0, 0, 0)
	if off := f.wall - int64(c.wall(uint64(f.monotonic))); off < int64(59*time.Minute) {
		t.Errorf("measured again at once: %v", time.Duration(off))
	}
	f.pass(clockInterval)
	f.run(&c, 0, 0, 0)
	if off := f.wall - int64(c.wall(uint64(f.monotonic))); off > 2000 || off < -2000 {
		t.Errorf("%v off", time.Duration(off))
	}
}

func TestAWallClockThatIsSetIsNoted(t *testing.T) {
	for name, test := range map[string]struct {
		second func(*fakeTime) // what happens in each of ten seconds
		jumps  uint64
		jumped time.Duration
	}{
		"nothing happens":            {func(*fakeTime) {}, 0, 0},
		"adjusted by 500 ppm":        {func(f *fakeTime) { f.wall += int64(500 * time.Microsecond) }, 0, 0},
		"an hour on":                 {func(f *fakeTime) { f.wall += int64(time.Hour) }, 10, 10 * time.Hour},
		"an hour back":               {func(f *fakeTime) { f.wall -= int64(time.Hour) }, 10, 10 * time.Hour},
		"read late once in a while":  {func(f *fakeTime) { f.late = 20*time.Millisecond - f.late }, 0, 0},
		"set by 6 ms, more than 5":   {func(f *fakeTime) { f.wall += int64(6 * time.Millisecond) }, 10, 60 * time.Millisecond},
		"set by 4 ms, which is less": {func(f *fakeTime) { f.wall += int64(4 * time.Millisecond) }, 0, 0},
	} {
		f := &fakeTime{wall: 1e18, monotonic: 1e12}
		c := clock{read: f.read}
		f.run(&c, 0, 0, 0)
		for range 10 {
			f.pass(clockInterval)
			test.second(f)
			f.run(&c, 0, 0, 0)
		}
		if c.jumps != test.jumps || (c.jumped-test.jumped).Abs() > time.Millisecond {
			t.Errorf("%s: %d jumps of %v in all, want %d of %v", name, c.jumps, c.jumped, test.jumps, test.jumped)
		}
	}
}

func TestLearningTheProgramsClockIsNoJump(t *testing.T) {
	f := &fakeTime{wall: 1e18, monotonic: 1e12}
	c := clock{read: f.read}
	for _, entry := range []time.Duration{time.Second, 300 * time.Millisecond, 10 * time.Millisecond, 0} {
		f.run(&c, int64(time.Hour), entry, 0)
		f.pass(clockInterval)
	}
	if c.jumps != 0 {
		t.Errorf("%d jumps, %v", c.jumps, c.jumped)
	}
}

func TestConversionKeepsMicroseconds(t *testing.T) {
	f := &fakeTime{wall: 1_700_000_000_123_456_789, monotonic: 987_654_321_987}
	c := clock{read: f.read}
	f.run(&c, 0, 0, 0)
	for _, gap := range []uint64{1, 999, 1000, 123456789} {
		a, b := uint64(5_000_000_001_999), uint64(5_000_000_001_999)+gap
		if c.wall(b)/1000-c.wall(a)/1000 != b/1000-a/1000 {
			t.Errorf("a gap of %d ns changes in microseconds", gap)
		}
	}
}

func TestClockOfThisMachine(t *testing.T) {
	c := newClock()
	before := c.monotonic()
	c.learn(before, c.monotonic(), c.monotonic())
	if off := time.Since(time.Unix(0, int64(c.wall(uint64(c.monotonic()))))).Abs(); off > 5*time.Millisecond {
		t.Errorf("%v off", off)
	}
}
