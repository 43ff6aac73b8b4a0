package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/userspace"
)

// controlled is a control socket that answers, in a directory that everybody may
// enter.
func controlled(t *testing.T) (c *control, path string) {
	t.Helper()
	path = filepath.Join(reachableDir(t, 0o755), "control")
	c, err := listenControl(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.close(); err != nil {
			t.Error(err)
		}
	})
	c.serve(func() *statusReport {
		return &statusReport{Version: "test", Interfaces: []interfaceStatus{{"lan0", "eth0", []string{"native XDP"}, "observed"}},
			Ledger:  ledgerStatus{Observed: userspace.Count{Packets: 7, Octets: 700}},
			Outputs: []outputStatus{{"csv:x", "has failed", 2, userspace.Count{Packets: 5, Octets: 500}, map[string]userspace.Count{"no space": {Packets: 5}}}}}
	})
	return c, path
}

// say sends octets and returns all that comes back.
func say(t *testing.T, path string, octets []byte) string {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, _ = conn.Write(octets) // the other end may close in the middle of it
	answer, err := io.ReadAll(conn)
	if err != nil && !errors.Is(err, unix.ECONNRESET) {
		t.Fatalf("the connection is not closed: %v", err)
	}
	return string(answer)
}

func TestH7ControlSocketAnswersOneQuestionAndClosesOnGarbage(t *testing.T) {
	_, path := controlled(t)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != controlMode {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	for name, request := range map[string]string{
		"no JSON": "status\n", "another command": `{"command":"stop"}` + "\n", "no command": "{}\n", "an empty line": "\n",
		"a field besides": `{"command":"status","verbose":true}` + "\n", "two requests": `{"command":"status"}{"command":"status"}` + "\n",
		"more than 4 KiB": strings.Repeat(" ", controlOctets) + `{"command":"status"}` + "\n",
		"no end":          strings.Repeat("x", 64<<10), "NUL": "\x00\n", "an array": "[]\n", "null": "null\n",
	} {
		if answer := say(t, path, []byte(request)); answer != "" {
			t.Errorf("%s is answered: %q", name, answer)
		}
	}
	begun := time.Now()
	if answer := say(t, path, []byte(`{"command":`)); answer != "" || time.Since(begun) < controlTime/2 {
		t.Errorf("half a request is answered %q after %v", answer, time.Since(begun))
	}
	answer := say(t, path, []byte(`{"command":"status"}`+"\n"))
	var report statusReport
	if err := json.Unmarshal([]byte(answer), &report); err != nil || report.Ledger.Observed.Packets != 7 || strings.Count(answer, "\n") != 1 {
		t.Errorf("%v: %q", err, answer)
	}
}

// Those who say nothing are cut off when their time is over.
func TestH7SilentConnectionsDoNotKeepOthersOut(t *testing.T) {
	_, path := controlled(t)
	for range controlConnections {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	if answer := say(t, path, []byte(`{"command":"status"}`+"\n")); answer == "" {
		t.Error("no answer")
	}
}

func TestH7StrangersAreNotAnswered(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("asking as other users needs root")
	}
	_, path := controlled(t)
	weir := filepath.Join(filepath.Dir(path), "weir")
	command(t, "cp", os.Args[0], weir)
	const user, group, other = 65533, 65532, 65531
	if err := os.Chown(path, 0, group); err != nil {
		t.Fatal(err)
	}
	ask := func(uid, gid uint32, groups ...uint32) (code int, said string) {
		c := exec.Command(weir, "status", "--control", path)
		c.Env = append(os.Environ(), asWeir+"=1")
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid, Groups: groups}}
		text, _ := c.CombinedOutput()
		return c.ProcessState.ExitCode(), string(text)
	}
	for _, mode := range []os.FileMode{controlMode, 0o666} { // with the second, the peer's credentials decide alone
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			name     string
			uid, gid uint32
			groups   []uint32
			want     int
		}{
			{"root", 0, 0, nil, exitComplete},
			{"a stranger", user, other, nil, exitFailed},
			{"a member of root's group", user, 0, nil, exitFailed},
			{"a member of the group", user, group, nil, exitComplete},
			{"a member of the group and of many others", user, other, append(many(100), group), exitComplete},
		} {
			if code, said := ask(c.uid, c.gid, c.groups...); code != c.want || code != exitComplete && len(lines(said)) != 1 {
				t.Errorf("mode %v: %s: exit code %d, want %d: %s", mode, c.name, code, c.want, said)
			}
		}
	}
	t.Log("measured: strangers are refused by the socket's mode, and by their credentials where the mode lets them in")
}

func many(n uint32) (groups []uint32) {
	for i := range n {
		groups = append(groups, 70000+i)
	}
	return groups
}

func TestTheControlSocketReplacesNothingThatIsInUse(t *testing.T) {
	_, path := controlled(t)
	if _, err := listenControl(path); err == nil || !strings.Contains(err.Error(), "another process listens there") {
		t.Errorf("error %v", err)
	}
	file := write(t, "file", nil)
	if _, err := listenControl(file); err == nil || !strings.Contains(err.Error(), "something else is there") {
		t.Errorf("error %v", err)
	}
	if _, err := listenControl("/tmp/" + strings.Repeat("x", controlPathMax-5)); err == nil || !strings.Contains(err.Error(), "choose a shorter one") {
		t.Errorf("a path that is too long: error %v", err)
	}
	left := filepath.Join(t.TempDir(), "left")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: left, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	_ = l.Close() // as a weir that was killed leaves it
	c, err := listenControl(left)
	if err != nil {
		t.Fatal(err)
	}
	c.serve(func() *statusReport { return &statusReport{} })
	if err := c.close(); err != nil || exists(left) {
		t.Errorf("the socket is left: %v", err)
	}
}

func TestStatusOfAControlSocketIsTextOrJSON(t *testing.T) {
	_, path := controlled(t)
	code, f := weir(t, "status", "--control", path)
	for _, want := range []string{"metering     lan0 (attached as eth0): native XDP\n", "version      test\n", "observed     7 packets, 700 octets\n",
		"output       csv:x: has failed, 2 flows with 5 packets not sent (no space)\n"} {
		if code != exitComplete || !strings.Contains(f.out.String(), want) {
			t.Errorf("exit code %d: %s: no %q", code, f.out.String(), want)
		}
	}
	code, f = weir(t, "status", "--format", "json", "--control", path)
	var report statusReport
	if err := json.Unmarshal(f.out.Bytes(), &report); code != exitComplete || err != nil || report.Outputs[0].Flows != 2 {
		t.Errorf("exit code %d, %v: %s", code, err, f.out.String())
	}
	for _, args := range [][]string{{}, {"--control", path, "--pin", "/nowhere"}, {"--control", path, "more"}, {"--format", "xml", "--control", path}} {
		if code, f := weir(t, append([]string{"status"}, args...)...); code != exitUsage {
			t.Errorf("%v: exit code %d: %s", args, code, f.err.String())
		}
	}
	if code, f := weir(t, "status", "--control", path+"x"); code != exitFailed || len(lines(f.err.String())) != 1 {
		t.Errorf("exit code %d: %s", code, f.err.String())
	}
}

// The consumer answers, which has less privilege than who made the socket.
func TestH7ConsumerWithoutPrivilegeAnswersTheGroup(t *testing.T) {
	w := newWire(t)
	dir := publicDir(t)
	const user, group = 65533, 65532
	// The consumer is nobody, and may not enter the socket's directory.
	private, weir := filepath.Join(dir, "private"), filepath.Join(dir, "weir")
	path := filepath.Join(private, "control")
	command(t, "cp", os.Args[0], weir)
	if err := errors.Join(os.Mkdir(private, 0o710), os.Chown(private, 0, group)); err != nil {
		t.Fatal(err)
	}
	p := w.attach(t, "-o", filepath.Join(dir, "flows.csv"), "--control", path, "--dissections", "0")
	if err := os.Chown(path, 0, group); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name     string
		uid, gid uint32
		want     int
	}{{"root", 0, 0, exitComplete}, {"a member of the group", user, group, exitComplete}, {"a stranger", user, user, exitFailed}, {"the consumer's user", nobodyUID, nobodyUID, exitFailed}} {
		for _, mode := range []os.FileMode{controlMode, 0o666} {
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
			ask := exec.Command(weir, "status", "--control", path)
			ask.Env = append(os.Environ(), asWeir+"=1")
			ask.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: c.uid, Gid: c.gid}}
			said, _ := ask.CombinedOutput()
			if code := ask.ProcessState.ExitCode(); code != c.want {
				t.Errorf("%s, mode %v: exit code %d, want %d: %s", c.name, mode, code, c.want, said)
			}
		}
	}
	p.interrupt(t)
	if code, _, said := p.end(t); code != exitComplete || exists(path) {
		t.Errorf("exit code %d, the socket is left: %v: %s", code, exists(path), said)
	}
}

// FuzzControlRequest shows that nothing but a request is taken for one.
func FuzzControlRequest(f *testing.F) {
	for _, seed := range []string{`{"command":"status"}`, `{"command":"status"} `, `{"Command":"status","command":"stop"}`, "{}", "null", "\x00", `[{}]`, `{"command":1}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		request, err := parseRequest(line)
		if err != nil {
			return
		}
		if request.Command != commandStatus || !json.Valid(bytes.TrimSpace(line)) {
			t.Errorf("%q is taken for %+v", line, request)
		}
	})
}
