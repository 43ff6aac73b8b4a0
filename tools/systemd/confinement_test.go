package systemd

import (
	"slices"
	"strconv"
	"strings"
	"testing"
)

// walls are lines that /proc has of each of the unit's processes.
var walls = map[string]string{
	"NoNewPrivs": "1",
	"Seccomp":    "2",
	"CapInh":     "0000000000000000",
	"CapAmb":     "0000000000000000",
}

// confined sees that what the unit asks for is in force: who its processes are, what they
// may do, and where they may write beside the places of each unit.
func confined(t *testing.T, s *service, root bool, writable ...string) {
	t.Helper()
	all := s.processes(t)
	if len(all) != 3 {
		t.Errorf("the unit has processes %v", all)
	}
	for name, pid := range all {
		fields := statusOf(s.run(t, "cat", "/proc/"+pid+"/status"))
		for field, want := range walls {
			if fields[field] != want {
				t.Errorf("%s has %s %s, want %s", name, field, fields[field], want)
			}
		}
		if uid := strings.Fields(fields["Uid"]); slices.Contains(uid, "0") != root || len(uid) != 4 {
			t.Errorf("%s has user ids %q", name, uid)
		}
		if may, none := capabilities(t, fields["CapBnd"]), ^uint64(capNetAdmin|capPerfmon|capBPF); may&none != 0 {
			t.Errorf("%s may have capabilities %x", name, may)
		}
		if has := capabilities(t, fields["CapEff"]); name != "attach" && has != 0 {
			t.Errorf("%s has capabilities %x", name, has)
		}
	}
	mounted(t, s, all["attach"], writable)
	said := s.run(t, "journalctl", "--no-pager", "--output=cat", "--priority=warning", "_PID=1")
	if !root && strings.Contains(said, unit) {
		t.Errorf("systemd cannot do what the unit asks for:\n%s", said)
	}
}

const (
	capNetAdmin = 1 << 12
	capPerfmon  = 1 << 38
	capBPF      = 1 << 39
)

func capabilities(t *testing.T, hex string) uint64 {
	t.Helper()
	set, err := strconv.ParseUint(hex, 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func statusOf(text string) map[string]string {
	fields := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(line, ":")
		fields[name] = strings.TrimSpace(value)
	}
	return fields
}

// private is what of a unit is there for itself only, and /proc, which has its own rules.
func private() []string {
	return []string{"/tmp", "/var/tmp", "/dev/pts", "/dev/shm", "/dev/mqueue", "/dev/hugepages", "/proc"}
}

// mounted sees that the unit can write to its own two places, what is private to it, and
// nowhere else, and sees no process but its own.
func mounted(t *testing.T, s *service, pid string, writable []string) {
	t.Helper()
	places := 0
	for line := range strings.Lines(s.run(t, "cat", "/proc/"+pid+"/mountinfo")) {
		f := strings.Fields(line)
		place, options, of := f[4], strings.Split(f[5], ","), strings.Split(f[len(f)-1], ",")
		switch {
		case place == "/proc" && (!slices.Contains(of, "subset=pid") || !slices.Contains(of, "hidepid=invisible")):
			t.Errorf("/proc is mounted with %q", of)
		case slices.Contains(writable, place):
			places++
			if !slices.Contains(options, "rw") {
				t.Errorf("%s cannot be written to", place)
			}
		case slices.Contains(options, "rw") && !slices.Contains(private(), place):
			t.Errorf("%s can be written to", place)
		}
	}
	if places != len(writable) {
		t.Errorf("of %q, %d are mounted", writable, places)
	}
}
