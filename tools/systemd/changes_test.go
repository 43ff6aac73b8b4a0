package systemd

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What the documentation says of changing the unit, and of rotating the files of all
// of its instances, is done as it says.
func TestH9UnitIsChangedAsDocumented(t *testing.T) {
	s := installed(t)
	t.Run("all are reloaded, while one waits for its interface", func(t *testing.T) { reloadsAll(t, s) })
	s.run(t, "systemctl", "stop", unit)
	t.Run("a collector is reached where the unit allows it", func(t *testing.T) { reachesCollector(t, s) })
	t.Run("a group may read", func(t *testing.T) { givesGroup(t, s) })
}

// documented is what the documentation has in the groups of a pattern.
func documented(t *testing.T, pattern string) []string {
	t.Helper()
	text, err := os.ReadFile("../../docs/how-to/service.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(pattern).FindSubmatch(text)
	if found == nil {
		t.Fatalf("the documentation does not have %s", pattern)
	}
	var parts []string
	for _, part := range found[1:] {
		parts = append(parts, string(part))
	}
	return parts
}

// reloadsAll reloads by the line for logrotate, while an instance waits for its interface.
func reloadsAll(t *testing.T, s *service) {
	const waiting = "weir@none"
	if said, err := s.try("systemctl", "start", waiting); err == nil {
		t.Errorf("a unit for no interface is started\n%s", said)
	}
	if state, _ := s.try("systemctl", "is-active", waiting); state != "activating" {
		t.Errorf("a unit for no interface is %s", state)
	}
	s.run(t, "mv", flows, flows+".1")
	s.run(t, "sh", "-c", documented(t, `postrotate\n\s+(.*)\n`)[0])
	eventually(t, "the file is begun anew", func() string {
		_, err := s.try("test", "-e", flows)
		return failure(err != nil, "no %s", flows)
	})
	s.run(t, "systemctl", "stop", waiting)
}

const collected = "/var/tmp/collected"

// listen has the container's systemd keep what is sent to a port.
func listen(t *testing.T, s *service) {
	t.Helper()
	for name, text := range map[string]string{
		"collector.socket":   "[Socket]\nListenStream=127.0.0.1:9000\nAccept=yes\n",
		"collector@.service": "[Service]\nExecStart=cat\nStandardInput=socket\nStandardOutput=append:" + collected + "\n",
	} {
		s.install(t, strings.NewReader(text), "644", filepath.Join("/etc/systemd/system", name))
	}
	s.install(t, strings.NewReader(""), "644", collected)
	s.net(t, "ip", "link", "set", "lo", "up")
	s.run(t, "systemctl", "daemon-reload")
	s.run(t, "systemctl", "start", "collector.socket")
}

// change puts settings into a drop-in of the unit, in the place of any before.
func (s *service) change(t *testing.T, settings string) {
	t.Helper()
	s.install(t, strings.NewReader(settings), "644", "/etc/systemd/system/weir@.service.d/override.conf")
	s.run(t, "systemctl", "daemon-reload")
}

// What the unit refuses is refused by systemd's walls: weir's own sandbox lets it
// connect to the ports of its outputs.
func reachesCollector(t *testing.T, s *service) {
	listen(t, s)
	allowed := documented(t, "`(RestrictAddressFamilies=AF_INET AF_INET6)` and\n`(IPAddressAllow=)` with its address")
	toCollector := strings.Replace(dropIn(t, "--statistics"), "${LOGS_DIRECTORY}/flows.csv --statistics", "ndjson:tcp://127.0.0.1:9000", 1)
	for _, c := range []struct {
		settings, result, says string
		arrive                 uint64
	}{
		{"", "exit-code", "address family not supported", 0},
		{allowed[0] + "\n", "exit-code", "no connection: not connected yet", 0}, // its packets are dropped
		{allowed[0] + "\n" + allowed[1] + "127.0.0.1\n", "success", "delivered", frames},
	} {
		s.change(t, toCollector+c.settings)
		said := s.metersOnce(t, c.result)
		if !strings.Contains(said, c.says) {
			t.Errorf("with %q the journal does not tell %q:\n%s", c.settings, c.says, said)
		}
		eventually(t, "the collector has what the unit lets pass", func() string {
			arrived := s.written(t, collected)
			return failure(arrived != c.arrive, "%d of %d packets", arrived, c.arrive)
		})
	}
}

// metersOnce starts the unit, has it meter a capture and stops it. It returns what
// the journal has of that run.
func (s *service) metersOnce(t *testing.T, result string) string {
	t.Helper()
	s.run(t, "systemctl", "start", unit)
	run := s.property(t, "InvocationID")
	s.play(t)
	s.hasSeen(t, frames)
	s.run(t, "systemctl", "stop", unit)
	if got := s.property(t, "Result"); got != result {
		t.Errorf("the unit ends with result %s, want %s\n%s", got, result, s.journal())
	}
	said := s.run(t, "journalctl", "--no-pager", "--output=cat", "_SYSTEMD_INVOCATION_ID="+run)
	closes(t, said, frames)
	return said
}

// givesGroup has a fixed user write on where the unit's passing one has written before.
func givesGroup(t *testing.T, s *service) {
	for _, line := range strings.Split(documented(t, "```sh\n(groupadd .*\nuseradd .*)\n```")[0], "\n") {
		s.run(t, "sh", "-c", line)
	}
	s.change(t, "[Service]\n"+strings.Join(documented(t, "`(DynamicUser=no)`, `(User=weir)`, `(Group=flowreaders)`"), "\n")+"\n")
	s.metersOnce(t, "success")
	if packets := s.written(t, flows); packets != frames {
		t.Errorf("%d packets are sent, %d written", frames, packets)
	}
	reads := func(group string) error {
		_, err := s.try("setpriv", "--reuid=65533", "--regid=65533", "--groups="+group, "cat", flows)
		return err
	}
	if err := reads("flowreaders"); err != nil {
		t.Errorf("a member of the group cannot read %s: %v", flows, err)
	}
	if reads("nogroup") == nil {
		t.Errorf("who is in no group reads %s", flows)
	}
}
