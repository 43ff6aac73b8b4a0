package sink

import (
	"crypto/tls"
	"slices"
	"testing"
	"time"

	"github.com/weirflow/weir/userspace/sink/tlstest"
)

// Messages are what TLS carries like anything else.
func TestG3TemplatesComeFirstOverTLS(t *testing.T) {
	a := tlstest.New(t)
	l := collectTLS(t, &tls.Config{Certificates: []tls.Certificate{a.Certificate(tlstest.Soon(), "127.0.0.1")}},
		func(c *collector, number int, conn *tls.Conn) {
			messages := 0
			if number == 0 {
				messages = 5
			}
			c.readMessages(number, conn, messages)
		})
	s := openExporter(t, l.path+"?message=1200", WithDrain(time.Minute), patientLimits, WithTLS(&tls.Config{RootCAs: a.Pool()}))
	s.Patient()
	const flows = 1000
	if refused := offer(t, s.remote, flows); len(refused) > 0 {
		t.Errorf("not sent: %v", refused)
	}
	var sessions []session
	for _, stream := range l.end() {
		sessions = append(sessions, readSession(t, split(t, stream)))
	}
	got := checkArrivals(t, sessions)
	for number, s := range sessions {
		if s.messages > 0 && !slices.Equal(s.templates, []int{0}) {
			t.Errorf("connection %d has templates in messages %v", number, s.templates)
		}
	}
	if len(sessions) < 2 || got[flows] != 1 {
		t.Errorf("%d connections, the last flow came %d times", len(sessions), got[flows])
	}
}
