// Package systemd holds the unit that runs weir as a service, and what shows it under systemd.
package systemd

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	unit    = "weir@far"
	flows   = "/var/log/weir/far/flows.ndjson"
	capture = "../../testdata/ssh/ssh.pcap"
	frames  = 55 // of it, each with a packet
)

// A service is the unit in a container, with a wire whose other end is called near.
type service struct {
	*container
	sent uint64
}

// installed is a service as the documentation says it is installed, enabled and started.
func installed(t *testing.T) *service {
	t.Helper()
	weir := filepath.Join(t.TempDir(), "weir")
	if out, err := exec.Command("go", "build", "-o", weir, "../../cmd/weir").CombinedOutput(); err != nil {
		t.Fatalf("build weir: %v\n%s", err, out)
	}
	s := &service{container: boot(t)}
	files := [][3]string{{weir, "755", "/usr/bin/weir"}, {"weir@.service", "644", "/etc/systemd/system/weir@.service"}}
	for _, path := range foreign(t, weir) {
		files = append(files, [3]string{path, "644", filepath.Join("/usr/lib", filepath.Base(path))})
	}
	for _, f := range files {
		file, err := os.Open(f[0])
		if err != nil {
			t.Fatal(err)
		}
		s.install(t, file, f[1], f[2])
		_ = file.Close()
	}
	s.net(t, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1") // no packets but the test's
	s.wire(t)
	s.run(t, "systemctl", "daemon-reload")
	s.run(t, "systemctl", "enable", "--now", unit)
	return s
}

// foreign are the libraries of a program that are not of this machine's /usr.
func foreign(t *testing.T, program string) (paths []string) {
	t.Helper()
	out, err := exec.Command("ldd", program).CombinedOutput()
	if err != nil && !strings.Contains(string(out), "not a dynamic executable") {
		t.Fatalf("ldd: %v\n%s", err, out)
	}
	for _, m := range library.FindAllStringSubmatch(string(out), -1) {
		if !strings.HasPrefix(m[1], "/usr/") && !strings.HasPrefix(m[1], "/lib") {
			paths = append(paths, m[1])
		}
	}
	return paths
}

var library = regexp.MustCompile(`=> (/\S+)`)

func (s *service) wire(t *testing.T) {
	t.Helper()
	s.net(t, "ip", "link", "add", "near", "type", "veth", "peer", "name", "far")
	s.net(t, "ip", "link", "set", "near", "up")
	s.net(t, "ip", "link", "set", "far", "up")
}

// play sends a capture's packets over the wire.
func (s *service) play(t *testing.T) {
	t.Helper()
	s.net(t, "tcpreplay", "-q", "--mbps=20", "-i", "near", capture)
	s.sent += frames
}

// property is what systemd knows of the unit.
func (s *service) property(t *testing.T, name string) string {
	t.Helper()
	return s.run(t, "systemctl", "show", "--value", "--property="+name, unit)
}

// isActive waits until the unit is active, with another main process than before if
// there was one.
func (s *service) isActive(t *testing.T, before string) {
	t.Helper()
	eventually(t, "the unit is active", func() string {
		state, pid := s.property(t, "ActiveState"), s.property(t, "MainPID")
		return failure(state != "active" || pid == before, "it is %s, main process %s", state, pid)
	})
}

// processes are those of the unit, by the command that each has: attach, consumer, dpi-worker.
func (s *service) processes(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, pid := range strings.Fields(s.run(t, "cat", "/sys/fs/cgroup"+s.property(t, "ControlGroup")+"/cgroup.procs")) {
		words := strings.Split(s.run(t, "cat", "/proc/"+pid+"/cmdline"), "\x00")
		found[words[min(1, len(words)-1)]] = pid
	}
	return found
}

// A status is what weir status says.
type status struct {
	Interfaces []struct{ State string }
	Ledger     map[string]json.RawMessage
}

func (s *service) status(t *testing.T) (st status) {
	t.Helper()
	said, err := s.try("weir", "status", "--control", "/run/weir/far/control", "--format", "json")
	if err != nil || json.Unmarshal([]byte(said), &st) != nil {
		return status{} // not there yet, or no more
	}
	return st
}

func (st status) packets(line string) uint64 {
	var count struct{ Packets uint64 }
	_ = json.Unmarshal(st.Ledger[line], &count)
	return count.Packets
}

// hasSeen waits until the meter has seen so many packets since it began.
func (s *service) hasSeen(t *testing.T, packets uint64) {
	t.Helper()
	eventually(t, "all packets are observed", func() string {
		seen := s.status(t).packets("observed")
		return failure(seen != packets, "%d of %d", seen, packets)
	})
}

// written are the packets in the flows of files, each part of a flow counted as it
// was written last.
func (s *service) written(t *testing.T, files ...string) uint64 {
	t.Helper()
	parts := map[[2]uint64]uint64{}
	for line := range strings.Lines(s.run(t, append([]string{"cat"}, files...)...)) {
		var f struct {
			UID     uint64 `json:"flow_uid"`
			Part    uint64 `json:"flow_part"`
			Packets uint64 `json:"bidirectional_packets"`
		}
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		parts[[2]uint64{f.UID, f.Part}] = f.Packets
	}
	var sum uint64
	for _, packets := range parts {
		sum += packets
	}
	return sum
}

var (
	observed = regexp.MustCompile(`L2 observed = metered \+ ignored +(\d+)`)
	residual = regexp.MustCompile(`residual +(\d+)(?: +(\d+))?`)
)

// closes sees that a ledger closes, with the packets that were sent.
func closes(t *testing.T, ledger string, sent uint64) {
	t.Helper()
	if m := observed.FindStringSubmatch(ledger); m == nil || m[1] != strconv.FormatUint(sent, 10) {
		t.Errorf("%d packets are sent, the ledger says %q\n%s", sent, m, ledger)
	}
	lines := residual.FindAllStringSubmatch(ledger, -1)
	if len(lines) < 3 {
		t.Errorf("the ledger has %d lines with a residual\n%s", len(lines), ledger)
	}
	for _, m := range lines {
		if strings.Trim(m[1]+m[2], "0") != "" {
			t.Errorf("the ledger does not close: %q\n%s", m, ledger)
		}
	}
}

func TestH9UnitMetersUnderSystemd(t *testing.T) {
	s := installed(t)
	s.play(t) // at once: active means that frames are metered
	s.hasSeen(t, s.sent)
	if text := s.property(t, "StatusText"); !strings.HasPrefix(text, "metering far: ") {
		t.Errorf("systemctl status shows %q", text)
	}
	confined(t, s, false, "/run/weir/far", "/var/log/private/weir/far")

	s.net(t, "ip", "link", "del", "near")
	eventually(t, "flows of the interface that is gone are written", func() string {
		packets := s.written(t, flows)
		return failure(packets != s.sent, "%d of %d packets", packets, s.sent)
	})
	rotates(t, s)
	s.wire(t)
	eventually(t, "the interface that returned is metered", func() string {
		st := s.status(t)
		return failure(len(st.Interfaces) != 1 || st.Interfaces[0].State != "observed", "%+v", st.Interfaces)
	})
	s.play(t)
	s.hasSeen(t, s.sent)
	stops(t, s)
	if packets := s.written(t, flows, flows+".1"); packets != s.sent {
		t.Errorf("%d packets are sent, %d in both files", s.sent, packets)
	}
	if packets := s.written(t, flows); packets != frames {
		t.Errorf("%d packets in the file that was begun at the reload, %d are sent since", packets, frames)
	}
	t.Logf("measured: under systemd, %d packets sent to two interfaces of a name are in two files, residual 0", s.sent)
}

// rotates does as logrotate does.
func rotates(t *testing.T, s *service) {
	t.Helper()
	before := s.property(t, "MainPID")
	s.run(t, "mv", flows, flows+".1")
	s.run(t, "systemctl", "reload", unit)
	eventually(t, "the file is begun anew", func() string {
		_, err := s.try("test", "-e", flows)
		return failure(err != nil, "no %s", flows)
	})
	if after := s.property(t, "MainPID"); after != before {
		t.Errorf("the main process was %s, and is %s after a reload", before, after)
	}
}

// stops stops the unit: it drains, and says so in its journal.
func stops(t *testing.T, s *service) {
	t.Helper()
	s.run(t, "systemctl", "stop", unit)
	if state, result := s.property(t, "ActiveState"), s.property(t, "Result"); state != "inactive" || result != "success" {
		t.Errorf("after systemctl stop the unit is %s, with result %s\n%s", state, result, s.journal())
	}
	closes(t, s.run(t, "journalctl", "--no-pager", "--output=cat", "--unit="+unit), s.sent)
}

// Where there is nothing to meter a unit is not active. It is tried again, so that an
// interface may come late.
func TestH9UnitIsNotActiveBeforeItMeters(t *testing.T) {
	s := installed(t)
	if said, err := s.try("systemctl", "start", "weir@late"); err == nil {
		t.Errorf("a unit for no interface is started\n%s", said)
	}
	if state, _ := s.try("systemctl", "is-active", "weir@late"); state != "activating" {
		t.Errorf("a unit for no interface is %s", state)
	}
	if said := s.run(t, "journalctl", "--no-pager", "--output=cat", "--unit=weir@late"); !strings.Contains(said, `"late"`) {
		t.Errorf("the journal does not tell which interface is missing:\n%s", said)
	}
	s.net(t, "ip", "link", "add", "late", "up", "type", "veth", "peer", "name", "other")
	eventually(t, "the unit of the interface that came late is active", func() string {
		state, _ := s.try("systemctl", "is-active", "weir@late")
		return failure(state != "active", "it is %s", state)
	})
}

// A death is how a process of the unit ends, and what systemd calls that.
type death struct{ process, signal, result string }

// The unit is changed as the documentation changes it: for a meter that is pinned.
func TestH9PinnedUnitIsRestartedWithoutLoss(t *testing.T) {
	s := installed(t)
	s.run(t, "systemctl", "stop", unit)
	s.install(t, strings.NewReader(dropIn(t, "--pin")+"WatchdogSec=5\n"), "644", "/etc/systemd/system/weir@.service.d/pin.conf")
	s.run(t, "systemctl", "daemon-reload")
	s.run(t, "systemctl", "start", unit)
	confined(t, s, true, "/run/weir/far", "/var/log/weir/far", "/sys/fs/bpf")
	for _, d := range []death{
		{"attach", "KILL", "signal"}, {"consumer", "KILL", "exit-code"}, {"consumer", "STOP", "watchdog"},
	} {
		s.dies(t, d)
	}
	s.run(t, "systemctl", "stop", unit)
	s.play(t) // a pinned meter meters while nobody reads
	ledger := s.run(t, "weir", "detach", "--pin", "/sys/fs/bpf/weir-far", "-o", flows)
	closes(t, ledger, s.sent)
	if packets := s.written(t, flows); packets != s.sent {
		t.Errorf("%d packets are sent, %d written", s.sent, packets)
	}
	t.Logf("measured: killed, killed below and hung under systemd, with %d packets before, while and after, all written, residual 0", s.sent)
}

// dies has a process die, and packets come before, meanwhile and after.
func (s *service) dies(t *testing.T, d death) {
	t.Helper()
	s.play(t)
	before := s.processes(t)
	start := time.Now()
	s.run(t, "kill", "-"+d.signal, before[d.process])
	eventually(t, fmt.Sprintf("%s of %s ends the unit", d.signal, d.process), func() string {
		said := s.run(t, "journalctl", "--no-pager", "--output=cat", "--unit="+unit)
		return failure(!strings.Contains(said, "Failed with result '"+d.result+"'"), "the journal has no result %s", d.result)
	})
	s.play(t)
	s.isActive(t, before["attach"])
	t.Logf("%s of %s: active again after %v", d.signal, d.process, time.Since(start).Round(time.Millisecond))
	s.play(t)
	s.hasSeen(t, s.sent)
}

var fenced = regexp.MustCompile("(?s)```ini\n(.*?)```")

// dropIn is the change to the unit that the documentation shows, of those that it shows
// the one with a word.
func dropIn(t *testing.T, word string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/how-to/service.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range fenced.FindAllStringSubmatch(string(text), -1) {
		if strings.Contains(m[1], word) {
			return m[1]
		}
	}
	t.Fatalf("the documentation shows no change to the unit with %s", word)
	return ""
}
