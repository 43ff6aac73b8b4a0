package main

import (
	"fmt"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/weirflow/weir/userspace"
)

// A service tells the service manager that started weir how it is. Without one it
// tells nobody.
type service struct {
	say      speaker
	watchdog time.Duration // to be heard of at least every so often; 0: need not be
	heard    time.Time
	status   time.Time // when the line for its list was written
}

// statusEvery is how often the line that systemctl status shows is written.
const statusEvery = 5 * time.Second

func newService(say speaker) *service {
	watchdog, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		say.note("the service manager's watchdog is left alone: %v", err)
	}
	return &service{say: say, watchdog: watchdog}
}

func (s *service) notify(state string) {
	if s == nil {
		return
	}
	if _, err := daemon.SdNotify(false, state); err != nil {
		s.say.detail("the service manager is not told %q: %v", state, err)
	}
}

func (s *service) ready()    { s.notify(daemon.SdNotifyReady) }
func (s *service) stopping() { s.notify(daemon.SdNotifyStopping) }

// alive is called again and again by the loop that ends and flushes the run.
func (s *service) alive(now time.Time, ledger func() userspace.Ledger) {
	if s == nil {
		return
	}
	if s.watchdog > 0 && now.Sub(s.heard) >= s.watchdog/3 {
		s.heard = now
		s.notify(daemon.SdNotifyWatchdog)
	}
	if now.Sub(s.status) >= statusEvery {
		s.status = now
		l := ledger()
		s.notify(fmt.Sprintf("STATUS=%d packets observed, %d in %d flows written, %d lost, %d not written",
			l.Observed.Packets, l.Delivered.Packets, l.Flows, l.Lost.Packets+l.LostWithConsumer.Packets, l.NotSentTotal().Packets))
	}
}
