package main

import (
	"os"
	"time"
)

// sameWish is how long what follows a signal is taken for the same wish. timeout(1)
// sends one to weir and one to its process group, and a shell hands on the SIGHUP that
// its terminal has sent already; somebody who asks once more takes longer.
const sameWish = 250 * time.Millisecond

// wishes passes signals on, but for those that come within apart of one that it has
// passed on: holding Ctrl-C down asks again in the end.
func wishes(from <-chan os.Signal, to chan<- os.Signal, apart time.Duration) {
	var passed time.Time
	for s := range from {
		if now := time.Now(); now.Sub(passed) >= apart {
			passed = now
			to <- s
		}
	}
}
