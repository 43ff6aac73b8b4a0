package main

import (
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
)

// A bar shows how much of the input has been read. All methods do nothing on a
// nil bar.
type bar struct {
	shown *progressbar.ProgressBar
	past  int64 // octets of the files before the current one
}

// newBar returns a bar over the files, nil if their size is not known.
func newBar(env *environment, paths []string) *bar {
	var total int64
	for _, path := range paths {
		info, err := os.Stat(path)
		switch {
		case path == "-", err == nil && !info.Mode().IsRegular():
			return nil
		case err == nil:
			total += info.Size()
		}
	}
	if total == 0 {
		return nil
	}
	b := &bar{shown: progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(env.stderr),
		progressbar.OptionSetDescription("reading"),
		progressbar.OptionShowBytes(true),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
	)}
	_ = b.shown.RenderBlank()
	return b
}

// at tells how much of the current file has been read. What the bar cannot draw
// is not missed.
func (b *bar) at(offset int64) {
	if b != nil {
		_ = b.shown.Set64(b.past + offset)
	}
}

// done tells that the current file ended.
func (b *bar) done(size int64) {
	if b != nil {
		b.past += size
		b.at(0)
	}
}

// end takes the bar away.
func (b *bar) end() {
	if b != nil {
		_ = b.shown.Finish()
	}
}
