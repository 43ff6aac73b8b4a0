package loader_test

import (
	"fmt"
	"time"

	"github.com/weirflow/weir/loader"
	"github.com/weirflow/weir/tools/flowgen"
	"github.com/weirflow/weir/userspace"
)

// A recovery is what it took until a meter was steady again.
type recovery struct {
	took   time.Duration
	sweeps uint64 // that have begun since
}

func (r recovery) String() string {
	return fmt.Sprintf("%.2f s and %d sweeps", r.took.Seconds(), r.sweeps)
}

// untilAdmitted waits until new flows find a place again and no packet is lost, and
// says what that took from now on. In between it does what is to go on.
func (l *load) untilAdmitted(a *loader.Attachment, c *userspace.Consumer, goOn func()) recovery {
	l.t.Helper()
	g := l.generator(flowgen.MaxFlows, 3)
	began, sweeps := time.Now(), c.Sweeps()
	for time.Since(began) < 20*time.Second {
		now := recovery{time.Since(began), c.Sweeps() - sweeps}
		full, lost := refused(l.t, a)
		l.send(g, template(flowgen.UDP6, 78), 100)
		if goOn != nil {
			goOn()
		}
		if f, n := refused(l.t, a); f == full && n == lost {
			return now
		}
		time.Sleep(5 * time.Millisecond)
	}
	l.t.Error("20 s after the flood new flows find no place")
	return recovery{}
}
