package main

import (
	"errors"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const unitFile = "../../tools/systemd/weir@.service"

// unit is what the unit file sets: each setting's values, in order.
func unit(t *testing.T) map[string][]string {
	t.Helper()
	settings := map[string][]string{}
	for _, line := range lines(string(read(t, unitFile))) {
		if name, value, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(line, "#") {
			settings[name] = append(settings[name], value)
		}
	}
	return settings
}

var exposure = regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+) `)

func TestH9UnitFileIsAuditedAtTwoOrLess(t *testing.T) {
	const most = 2.0
	out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager", unitFile).CombinedOutput()
	found := exposure.FindSubmatch(out)
	if err != nil || found == nil {
		t.Fatalf("systemd-analyze security: %v\n%s", err, out)
	}
	level, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil || level > most {
		t.Errorf("exposure level %s, at most %v is wanted\n%s", found[1], most, out)
	}
	if strings.Contains(string(out), "ignoring") {
		t.Errorf("a setting is not known:\n%s", out)
	}
	t.Logf("measured: exposure level %v", level)
}

func TestTheUnitFileIsWellFormed(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "weir")
	text := strings.Replace(string(read(t, unitFile)), "/usr/bin/weir", program, 1)
	named := filepath.Join(dir, "weir@lo.service")
	if err := errors.Join(os.WriteFile(program, nil, 0o755), os.WriteFile(named, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("systemd-analyze", "verify", "--man=no", named).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// escapes of a terminal are what systemd 255, of Ubuntu 24.04, sets before the names of
// sets, terminal or not.
var escapes = regexp.MustCompile(`\x1b\[[0-9;]*m`)

// systemCalls are those that a line of SystemCallFilter means, sets of them
// resolved.
func systemCalls(t *testing.T, words string) map[string]bool {
	t.Helper()
	calls := map[string]bool{}
	for _, word := range strings.Fields(words) {
		if !strings.HasPrefix(word, "@") {
			calls[word] = true
			continue
		}
		out, err := exec.Command("systemd-analyze", "syscall-filter", "--no-pager", word).Output()
		if err != nil {
			t.Fatalf("systemd-analyze syscall-filter %s: %v", word, err)
		}
		for _, line := range lines(escapes.ReplaceAllString(string(out), ""))[1:] {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				maps.Copy(calls, systemCalls(t, line))
			}
		}
	}
	return calls
}

// granted are the system calls that the unit allows.
func granted(t *testing.T, filters []string) map[string]bool {
	t.Helper()
	calls := map[string]bool{}
	for _, f := range filters {
		if denied, ok := strings.CutPrefix(f, "~"); ok {
			for name := range systemCalls(t, denied) {
				delete(calls, name)
			}
		} else {
			maps.Copy(calls, systemCalls(t, f))
		}
	}
	return calls
}

var (
	tracedCall   = regexp.MustCompile(`(?m)^\d+ +([a-z0-9_]+)\(`)
	tracedSocket = regexp.MustCompile(`(?m)^\d+ +socket(?:pair)?\((AF_\w+)`)
)

// commandOf is the unit's command line for an interface.
func commandOf(t *testing.T, set map[string][]string, name, logs, run string) []string {
	t.Helper()
	if len(set["ExecStart"]) != 1 {
		t.Fatalf("the unit starts %q", set["ExecStart"])
	}
	line := strings.NewReplacer("${LOGS_DIRECTORY}", logs, "${RUNTIME_DIRECTORY}", run, "%I", name).Replace(set["ExecStart"][0])
	return strings.Fields(line)[1:]
}

// As a user without privileges but those that the unit grants, with /proc as it
// shows it: weir meters, and makes no system call that the unit does not allow.
func TestH9UnitsCommandRunsWithWhatTheUnitGrants(t *testing.T) {
	for name, c := range map[string]struct{ families, output string }{
		"as it is": {}, "to a collector": {"AF_INET AF_INET6", "ndjson:tcp://localhost:9000"},
	} {
		t.Run(name, func(t *testing.T) {
			set := unit(t)
			set["RestrictAddressFamilies"][0] += " " + c.families // of a drop-in
			runsAsUnit(t, set, c.output)
		})
	}
}

func runsAsUnit(t *testing.T, set map[string][]string, output string) {
	t.Helper()
	w := newWire(t)
	place, err := os.MkdirTemp("", "weir-h9-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(place) })
	program, logs, trace := filepath.Join(place, "weir"), filepath.Join(place, "logs"), filepath.Join(place, "logs", "trace")
	command(t, "cp", os.Args[0], program)
	if err := errors.Join(os.Mkdir(logs, 0o700), os.Chmod(place, 0o755), os.Chown(logs, 65533, 65533)); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"unshare", "--mount", "sh", "-c", `mount -t proc -o subset=pid,hidepid=invisible proc /proc && exec "$@"`, "sh"}, privileges(set)...)
	args = append(append(args, "strace", "-f", "-qq", "-o", trace, program), commandOf(t, set, "far", logs, logs)...)
	if output != "" {
		args = slices.Insert(args, slices.Index(args, "attach")+1, "--output", output)
		ip(t, "-n", w.rx, "link", "set", "lo", "up")
		go drop(accepted(listenIn(t, w.rx, "tcp", "127.0.0.1:9000")))
	}
	p := w.start(t, args...)
	w.hasCarrier(t)
	w.sender(t).send(10, 2)
	w.until(t, filepath.Join(logs, "control"), "sent", func(s *statusReport) bool { return s.Ledger.Observed.Packets == 20 })
	command(t, "pkill", "-INT", "-P", strconv.Itoa(p.Process.Pid)) // strace's child
	if code, _, said := p.end(t); code != exitComplete {
		t.Errorf("exit code %d: %s", code, said)
	}
	if packets, flows, _ := once(t, filepath.Join(logs, "flows.ndjson")); packets != 20 || flows != 10 {
		t.Errorf("%d packets in %d flows", packets, flows)
	}
	checkTrace(t, set, string(read(t, trace)))
}

// drop reads what comes and keeps nothing.
func drop(conns <-chan net.Conn) {
	for conn := range conns {
		_, _ = io.Copy(io.Discard, conn)
	}
}

// privileges is what the unit leaves a process, as arguments of setpriv.
func privileges(set map[string][]string) []string {
	var kept []string
	for _, name := range strings.Fields(set["AmbientCapabilities"][0]) {
		kept = append(kept, "+"+strings.ToLower(strings.TrimPrefix(name, "CAP_")))
	}
	all := strings.Join(kept, ",")
	return []string{"setpriv", "--reuid", "65533", "--regid", "65533", "--clear-groups", "--no-new-privs",
		"--inh-caps", "-all," + all, "--ambient-caps", "-all," + all, "--bounding-set", "-all," + all}
}

func checkTrace(t *testing.T, set map[string][]string, trace string) {
	t.Helper()
	allowed := granted(t, set["SystemCallFilter"])
	made := map[string]bool{}
	for _, m := range tracedCall.FindAllStringSubmatch(trace, -1) {
		made[m[1]] = true
	}
	if len(made) < 20 || !made["bpf"] {
		t.Errorf("the trace has %d system calls only", len(made))
	}
	for _, name := range slices.Sorted(maps.Keys(made)) {
		if !allowed[name] {
			t.Errorf("weir makes system call %s, which the unit does not allow", name)
		}
	}
	families := strings.Fields(set["RestrictAddressFamilies"][0])
	for _, m := range tracedSocket.FindAllStringSubmatch(trace, -1) {
		if !slices.Contains(families, m[1]) {
			t.Errorf("weir makes a socket of %s, which the unit does not allow", m[1])
		}
	}
	t.Logf("measured: without root, %d system calls made, each of the unit's", len(made))
}
