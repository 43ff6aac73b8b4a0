package main

import (
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// A service tells the service manager that started weir how it is. Without one it
// tells nobody.
type service struct {
	say      speaker
	send     func(state string) error
	watchdog time.Duration // to be heard of at least every so often; 0: need not be
	heard    time.Time
}

func newService(say speaker) *service {
	watchdog, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		say.note("the service manager's watchdog is left alone: %v", err)
	}
	send := func(state string) error {
		_, err := daemon.SdNotify(false, state)
		return err
	}
	return &service{say: say, send: send, watchdog: watchdog}
}

func (s *service) notify(state string) {
	if s == nil {
		return
	}
	if err := s.send(state); err != nil {
		s.say.detail("the service manager is not told %q: %v", state, err)
	}
}

func (s *service) ready()    { s.notify(daemon.SdNotifyReady) }
func (s *service) stopping() { s.notify(daemon.SdNotifyStopping) }

// show writes the line that systemctl status shows.
func (s *service) show(interfaces []interfaceStatus) {
	var each []string
	for i := range interfaces {
		state, text := interfaces[i].row()
		each = append(each, state+" "+text)
	}
	s.notify("STATUS=" + strings.Join(each, "; "))
}

// alive is called again and again by the loop that ends and flushes the run.
func (s *service) alive(now time.Time) {
	if s == nil || s.watchdog == 0 || now.Sub(s.heard) < s.watchdog/3 {
		return
	}
	s.heard = now
	s.beat()
}

func (s *service) beat() { s.notify(daemon.SdNotifyWatchdog) }

// stateRequests are what the consumer asks for in place of telling it itself. The
// line for the list is written by who watches the interfaces.
var stateRequests = map[string]request{
	daemon.SdNotifyReady: requestReady, daemon.SdNotifyStopping: requestStopping, daemon.SdNotifyWatchdog: requestAlive,
}
