package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/bpf/bpftest"
	"github.com/weirflow/weir/dpi"
	"github.com/weirflow/weir/tools/flowgen"
	"github.com/weirflow/weir/tools/soak"
)

// A sender sends frames of UDP flows from the near end of a wire.
type sender struct {
	t         *testing.T
	namespace string
	socket    int
	floods    *flowgen.Generator // from the first flood on
	sent      atomic.Uint64
	stop      chan struct{}
	done      chan struct{}
}

func (w *wire) sender(t *testing.T) *sender {
	t.Helper()
	s := &sender{t: t, namespace: w.tx}
	opened := make(chan error)
	go func() { // its thread is spoilt, and ends with it
		runtime.LockOSThread()
		opened <- s.inNamespace(s.open)
	}()
	if err := <-opened; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(s.socket) })
	return s
}

// inNamespace brings the calling thread into the sender's namespace.
func (s *sender) inNamespace(f func(near netlink.Link) error) error {
	ns, err := netns.GetFromName(s.namespace)
	if err != nil {
		return err
	}
	defer ns.Close()
	if err := netns.Set(ns); err != nil {
		return err
	}
	near, err := netlink.LinkByName("near")
	if err != nil {
		return err
	}
	return f(near)
}

func (s *sender) open(near netlink.Link) (err error) {
	if s.socket, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
		return err
	}
	return unix.Bind(s.socket, &unix.SockaddrLinklayer{Ifindex: near.Attrs().Index})
}

// senderPort is the source port of all its flows but those of floods, whose ports are
// lower.
const senderPort = 40_000

// frame is one of flow n.
func (s *sender) frame(n int) []byte {
	b := append(make([]byte, 0, 142), 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0,
		0x45, 0, 0, 128, 0, 0, 0x40, 0, 64, unix.IPPROTO_UDP, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2)
	b = binary.BigEndian.AppendUint16(b, senderPort)
	b = binary.BigEndian.AppendUint16(b, uint16(1+n))
	return append(b, append([]byte{0, 108, 0, 0}, make([]byte, 100)...)...)
}

// send sends packets frames of each of flows flows.
func (s *sender) send(flows, packets int) {
	s.t.Helper()
	for range packets {
		for n := range flows {
			if _, err := unix.Write(s.socket, s.frame(n)); err != nil {
				s.t.Fatal(err)
			}
			s.sent.Add(1)
		}
	}
}

// start sends bursts of flows until halt, ever others.
func (s *sender) start() {
	s.stop, s.done = make(chan struct{}), make(chan struct{})
	go func() {
		defer close(s.done)
		for n := 0; ; n++ {
			select {
			case <-s.stop:
				return
			default:
			}
			frame := s.frame(n / 3 % 20000)
			if _, err := unix.Write(s.socket, frame); err == nil {
				s.sent.Add(1)
			}
			if n%20 == 0 { // a ring full of records is some seconds of these
				time.Sleep(time.Millisecond)
			}
		}
	}()
}

func (s *sender) halt() {
	close(s.stop)
	<-s.done
	time.Sleep(50 * time.Millisecond)
}

// kill ends a process as nothing can be done about.
func (p *process) kill() {
	_ = p.Process.Kill()
	<-p.done
	_ = p.Wait()
}

// runIn runs weir to its end, in the metered namespace.
func (w *wire) runIn(t *testing.T, args ...string) (code int, out, said string) {
	t.Helper()
	return w.run(t, append([]string{os.Args[0]}, args...))
}

// run is runIn by a command line that ends in weir's.
func (w *wire) run(t *testing.T, args []string) (code int, out, said string) {
	t.Helper()
	c := exec.Command("ip", append([]string{"netns", "exec", w.rx}, args...)...)
	c.Env = append(os.Environ(), asWeir+"=1")
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	err := c.Run()
	if c.ProcessState == nil {
		t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), stdout.String(), stderr.String()
}

// once adds up the packets of the sender's flows in a file, each flow once: of
// those that came again the last.
func once(t *testing.T, path string) (packets uint64, flows, again int) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	type flow struct {
		UID     uint64 `json:"flow_uid"`
		Part    uint64 `json:"flow_part"`
		Port    uint16 `json:"src_port"`
		Packets uint64 `json:"bidirectional_packets"`
	}
	seen := map[[2]uint64]uint64{}
	for line := range strings.Lines(string(text)) {
		var f flow
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if f.Port != senderPort {
			continue
		}
		if _, known := seen[[2]uint64{f.UID, f.Part}]; known {
			again++
		}
		seen[[2]uint64{f.UID, f.Part}] = f.Packets
	}
	for _, n := range seen {
		packets += n
	}
	return packets, len(seen), again
}

var lostLine = regexp.MustCompile(`(?m)^ +lost +\d`)
var diedLine = regexp.MustCompile(`(?m)^ +lost with a process that was killed +(\d+)`)

// detached ends the pinned meter, whose ledger must close. It returns the packets
// that were in parts of flows metered in user space when a process was killed; that
// there are any takes a packet that met its flow's record while it was deleted.
func (w *wire) detached(t *testing.T, pin, output string) (died uint64) {
	t.Helper()
	return w.detachedIn(t, pin, output, 4)
}

// detachedIn is for a ledger of which only so many lines can be checked.
func (w *wire) detachedIn(t *testing.T, pin, output string, lines int) (died uint64) {
	t.Helper()
	code, _, said := w.runIn(t, "detach", "--pin", pin, "-o", output, "--max-loss", "0.1")
	if code != exitComplete {
		t.Fatalf("weir detach: exit code %d: %s", code, said)
	}
	closesIn(t, said, lines)
	if lostLine.MatchString(said) {
		t.Errorf("packets were lost:\n%s", said)
	}
	if m := diedLine.FindStringSubmatch(said); m != nil {
		died, _ = strconv.ParseUint(m[1], 10, 64)
	}
	entries, err := os.ReadDir(filepath.Dir(pin))
	if err != nil {
		t.Error(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			t.Errorf("%s is left", e.Name())
		}
	}
	return died
}

func TestB2KilledPinnedMeterGoesOnAndIsAdopted(t *testing.T) {
	w := newWire(t)
	s, pin, out := w.sender(t), bpftest.PinPlace(t), filepath.Join(t.TempDir(), "flows.ndjson")
	args := []string{"--pin", pin, "-o", out, "--dissections", "0", "--idle-timeout", "100ms"}
	p := w.attach(t, args...)
	s.send(100, 3)
	time.Sleep(500 * time.Millisecond)
	s.send(100, 2)
	kernel := objects(t, p.Process.Pid)
	p.kill()
	s.send(100, 4) // nobody is there
	p = w.attach(t, args...)
	s.send(100, 2)
	p.interrupt(t)
	code, _, said := p.end(t)
	if code != exitComplete || !strings.Contains(said, "adopted the meter") || !strings.Contains(said, "metering goes on") {
		t.Errorf("exit code %d: %s", code, said)
	}
	s.send(100, 1)
	died := w.detached(t, pin, out)
	if packets, _, _ := once(t, out); packets != s.sent.Load() || died != 0 {
		t.Errorf("%d packets in flows, %d died, %d were sent", packets, died, s.sent.Load())
	}
	left := alive(t, kernel)
	for deadline := time.Now().Add(2 * time.Second); len(left) > 0 && time.Now().Before(deadline); left = alive(t, kernel) {
		time.Sleep(20 * time.Millisecond) // the kernel frees a little later
	}
	if len(left) > 0 {
		t.Errorf("left in the kernel: %v", left)
	}
	t.Logf("measured: %d packets sent before a kill, after it and beside the next process: residual 0, nothing left", s.sent.Load())
}

// rounds is how often something is killed: WEIR_KILLS, or what there is time for.
func rounds(t *testing.T, short, full int) int {
	t.Helper()
	text := os.Getenv("WEIR_KILLS")
	if text == "" {
		return soak.Of(short, full)
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestB2KillsUnderLoadLoseNothing(t *testing.T) {
	w := newWire(t)
	s, pin, out := w.sender(t), bpftest.PinPlace(t), filepath.Join(t.TempDir(), "flows.ndjson")
	kills := rounds(t, 10, 50)
	for round := range kills {
		p := w.attach(t, "--pin", pin, "-o", out, "--dissections", "0", "--idle-timeout", "50ms")
		if round == 0 {
			s.start() // what comes before is nobody's
		}
		time.Sleep(rand.N(600 * time.Millisecond))
		p.kill()
		time.Sleep(rand.N(100 * time.Millisecond))
	}
	s.halt()
	died := w.detached(t, pin, out)
	packets, flows, again := once(t, out)
	t.Logf("measured: %d kills at random moments under load: %d packets sent, residual 0; %d flows, of which %d came again; %d packets died with a process, and are counted",
		kills, s.sent.Load(), flows, again, died)
	if packets+died != s.sent.Load() {
		t.Errorf("%d packets in flows, %d died, %d were sent", packets, died, s.sent.Load())
	}
}

// startAndKill kills weir attach at a random moment of its start, if it has not
// ended by then.
func (w *wire) startAndKill(t *testing.T, within time.Duration, args ...string) {
	t.Helper()
	c := exec.Command("ip", append([]string{"netns", "exec", w.rx, os.Args[0], "attach", "far"}, args...)...)
	c.Env = append(os.Environ(), asWeir+"=1")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(rand.N(within))
	_ = c.Process.Kill()
	_ = c.Wait()
}

func TestB3StartThatIsKilledNeverSpoilsTheNext(t *testing.T) {
	w := newWire(t)
	s, pin, out := w.sender(t), bpftest.PinPlace(t), filepath.Join(t.TempDir(), "flows.ndjson")
	args := []string{"--pin", pin, "-o", out, "--dissections", "0"}
	begun := time.Now()
	w.attach(t, args...).kill()
	took := time.Since(begun)
	adopted := 0
	kills := rounds(t, 20, 200)
	for range kills {
		if code, _, said := w.runIn(t, "detach", "--discard", "--pin", pin); code != exitComplete {
			t.Fatalf("weir detach --discard: exit code %d: %s", code, said)
		}
		w.startAndKill(t, took, args...)
		p := w.attach(t, args...) // fails the test unless it meters
		p.kill()
		if strings.Contains(p.said.String(), "adopted") {
			adopted++
		}
	}
	t.Logf("measured: %d kills within the %v of a start, %d of them after the meter was in its place: the next start meters each time",
		kills, took.Round(time.Millisecond), adopted)
	s.send(10, 1)
	time.Sleep(20 * time.Millisecond)
	before := w.statusOf(t, pin)
	if before["observed"] == "0 packets, 0 octets" {
		t.Error("the last start does not meter")
	}
	w.detached(t, pin, out)
	if packets, _, _ := once(t, out); packets != 10 {
		t.Errorf("%d packets, want 10", packets)
	}
}

// statusOf is what weir status says, by the names of its lines.
func (w *wire) statusOf(t *testing.T, pin string) map[string]string {
	t.Helper()
	code, out, said := w.runIn(t, "status", "--pin", pin)
	if code != exitComplete {
		t.Fatalf("weir status: exit code %d: %s", code, said)
	}
	rows := map[string]string{}
	for line := range strings.Lines(out) {
		name, value, _ := strings.Cut(line, " ")
		rows[name] = strings.TrimSpace(value)
	}
	return rows
}

func TestB5SecondReaderIsRefusedAndTheNextGoesOn(t *testing.T) {
	w := newWire(t)
	s, pin, out := w.sender(t), bpftest.PinPlace(t), filepath.Join(t.TempDir(), "flows.ndjson")
	p := w.attach(t, "--pin", pin, "-o", out, "--dissections", "0", "--idle-timeout", "100ms")
	want := "in use by pid " + strconv.Itoa(p.Process.Pid)
	for _, args := range [][]string{
		{"attach", "far", "--pin", pin, "--dissections", "0", "--idle-timeout", "100ms"},
		{"consume", "--pin", pin}, {"detach", "--pin", pin}, {"detach", "--discard", "--pin", pin},
	} {
		if code, _, said := w.runIn(t, args...); code != exitFailed || !strings.Contains(said, want) || len(lines(said)) != 1 {
			t.Errorf("weir %s: exit code %d: %s", args[0], code, said)
		}
	}
	s.send(10, 5)
	time.Sleep(time.Second)
	status := w.statusOf(t, pin)
	if !strings.HasSuffix(status["read"], " pid "+strconv.Itoa(p.Process.Pid)) || status["delivered"] != "50 packets, 7100 octets" {
		t.Errorf("status says %q", status)
	}
	p.kill()
	s.send(10, 5)
	time.Sleep(200 * time.Millisecond)
	code, _, said := w.runIn(t, "consume", "--pin", pin, "-o", out, "--duration", "1s")
	if code != exitComplete || !strings.Contains(said, "metering goes on: 0 packets") {
		t.Errorf("weir consume: exit code %d: %s", code, said)
	}
	if packets, _, _ := once(t, out); packets != 100 {
		t.Errorf("%d packets of 100 in flows", packets)
	}
	if died := w.detached(t, pin, out); died != 0 {
		t.Errorf("%d packets died", died)
	}
	t.Logf("measured: 4 commands are refused in a line with the pid; the next reader has all of %d packets", s.sent.Load())
}

func TestAnAdoptionWithOtherOptionsIsOneLineAndExitCode1(t *testing.T) {
	w := newWire(t)
	pin, out := bpftest.PinPlace(t), filepath.Join(t.TempDir(), "flows.ndjson")
	w.attach(t, "--pin", pin, "-o", out, "--dissections", "0").kill()
	code, _, said := w.runIn(t, "attach", "far", "--pin", pin, "-o", out, "--dissections", "0", "--splt", "5")
	if code != exitFailed || len(lines(said)) != 1 || !strings.Contains(said, "splt 0, not 5") || !strings.Contains(said, "weir detach --pin") {
		t.Errorf("exit code %d: %s", code, said)
	}
	w.detached(t, pin, out)
}

// A member of the group that the directory was given reads flows, without any
// capability, and can neither end the meter nor take flows out of its table.
func TestH6MemberOfTheGroupReadsAndNobodyElse(t *testing.T) {
	w := newWire(t)
	place := reachableDir(t, 0o755)
	pin := filepath.Join(place, "bpf", "meter")
	command(t, "cp", os.Args[0], filepath.Join(place, "weir"))
	if err := os.Mkdir(filepath.Dir(pin), 0o755); err != nil {
		t.Fatal(err)
	}
	bpftest.MountFileSystem(t, filepath.Dir(pin), "mode=0755")
	const user, group, other = 65533, 65532, 65531
	s := w.sender(t)
	w.attach(t, "--pin", pin, "--pin-group", strconv.Itoa(group), "-o", "ndjson:"+os.DevNull, "--dissections", "0", "--idle-timeout", "100ms").kill()
	s.send(10, 2)
	time.Sleep(200 * time.Millisecond)
	as := func(gid uint32, args ...string) (code int, out, said string) {
		c := exec.Command(filepath.Join(place, "weir"), args...)
		c.Env = append(os.Environ(), asWeir+"=1")
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: gid}}
		var stdout, stderr bytes.Buffer
		c.Stdout, c.Stderr = &stdout, &stderr
		_ = c.Run()
		return c.ProcessState.ExitCode(), stdout.String(), stderr.String()
	}
	for _, args := range [][]string{{"consume"}, {"status"}, {"detach"}, {"detach", "--discard"}} {
		if code, _, said := as(other, append(args, "--pin", pin)...); code != exitFailed || !strings.Contains(said, "permission denied") {
			t.Errorf("weir %s of another group: exit code %d: %s", args, code, said)
		}
	}
	for _, args := range [][]string{{"detach"}, {"detach", "--discard"}} {
		if code, _, said := as(group, append(args, "--pin", pin)...); code != exitFailed {
			t.Errorf("weir %s of the group: exit code %d: %s", args, code, said)
		}
	}
	code, out, said := as(group, "consume", "--pin", pin, "--duration", "1s", "-o", "ndjson:-")
	flows := filepath.Join(t.TempDir(), "flows.ndjson")
	if err := os.WriteFile(flows, []byte(out), 0o600); err != nil {
		t.Fatal(err)
	}
	if packets, _, _ := once(t, flows); code != exitComplete || packets != 20 {
		t.Errorf("exit code %d, %d packets of 20: %s", code, packets, said)
	}
	w.detached(t, pin, flows)
}

// A consumer cannot look groups up.
func TestH6GroupMayBeNamedInTheSandbox(t *testing.T) {
	w := newWire(t)
	const name = "daemon"
	group, err := user.LookupGroup(name)
	if err != nil {
		t.Fatal(err)
	}
	pin, out := bpftest.PinPlace(t), filepath.Join(t.TempDir(), "flows.ndjson")
	p := w.attach(t, "--pin", pin, "--pin-group", name, "-o", out, "--dissections", "0")
	if err := unix.Kill(child(t, p.Process.Pid, consumerCommand), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if code, _, said := p.end(t); code != exitFailed || !strings.Contains(said, "had not confirmed comes again") {
		t.Errorf("a consumer is killed: exit code %d: %s", code, said)
	}
	info, err := os.Stat(pin)
	if err != nil {
		t.Fatal(err)
	}
	if gid := info.Sys().(*syscall.Stat_t).Gid; fmt.Sprint(gid) != group.Gid {
		t.Errorf("the meter is of group %d, want %s", gid, group.Gid)
	}
	w.detached(t, pin, out)
}

// With labels, flows leave in another goroutine, and later.
func TestB2LabelledFlowsSurviveKillsToo(t *testing.T) {
	if !dpi.Available() {
		t.Log("this build holds no nDPI")
		return
	}
	w := newWire(t)
	s, pin, out := w.sender(t), bpftest.PinPlace(t), filepath.Join(t.TempDir(), "flows.ndjson")
	args := []string{"--pin", pin, "-o", out, "--idle-timeout", "100ms"}
	for round := range 3 {
		p := w.attach(t, args...)
		if round == 0 {
			s.start()
		}
		time.Sleep(time.Duration(300+100*round) * time.Millisecond)
		p.kill()
	}
	p := w.attach(t, args...)
	time.Sleep(300 * time.Millisecond)
	p.interrupt(t)
	if code, _, said := p.end(t); code != exitComplete {
		t.Errorf("exit code %d: %s", code, said)
	}
	s.halt()
	died := w.detached(t, pin, out)
	if packets, _, _ := once(t, out); packets+died != s.sent.Load() {
		t.Errorf("%d packets in flows, %d died, %d were sent", packets, died, s.sent.Load())
	}
	t.Logf("measured: 3 kills of a meter that labels: %d packets sent, residual 0, %d died with a process and are counted", s.sent.Load(), died)
}

// Killed while it ends the meter: the next detachment has what that one had not.
func TestB2KilledDetachIsTakenUpByTheNext(t *testing.T) {
	w := newWire(t)
	s := w.sender(t)
	kills := rounds(t, 5, 50)
	for range kills {
		pin, out := bpftest.PinPlace(t), filepath.Join(t.TempDir(), "flows.ndjson")
		sent := s.sent.Load()
		w.attach(t, "--pin", pin, "-o", out, "--dissections", "0").kill()
		s.send(5000, 1)
		time.Sleep(20 * time.Millisecond)
		c := exec.Command("ip", "netns", "exec", w.rx, os.Args[0], "detach", "--pin", pin, "-o", out)
		c.Env = append(os.Environ(), asWeir+"=1")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50*time.Millisecond + rand.N(150*time.Millisecond))
		_ = c.Process.Kill()
		_ = c.Wait()
		if exists(pin) {
			if died := w.detached(t, pin, out); died != 0 {
				t.Errorf("%d packets died", died)
			}
		}
		packets, _, again := once(t, out)
		if sent = s.sent.Load() - sent; packets != sent {
			t.Errorf("%d packets in flows, %d were sent; %d flows came again", packets, sent, again)
		}
	}
	t.Logf("measured: %d kills of a detachment: %d packets sent, residual 0", kills, s.sent.Load())
}

// Who only reads attaches nothing, and says so: who may open the links for certain, the
// others as far as they can see.
func TestConsumeTellsOfAnInterfaceThatIsGone(t *testing.T) {
	w := newWire(t)
	pin, out := bpftest.PinPlace(t), filepath.Join(publicDir(t), "flows.ndjson")
	w.attach(t, "--pin", pin, "--pin-group", "4343", "-o", out, "--dissections", "0").kill()
	for p := filepath.Dir(pin); len(p) > len(os.TempDir()); p = filepath.Dir(p) {
		if err := os.Chmod(p, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	member := []string{"setpriv", "--reuid", "4242", "--regid", "4343", "--clear-groups", os.Args[0]}
	if _, said, _ := w.run(t, []string{os.Args[0], "status", "--pin", pin}); !strings.Contains(said, "metering     far: native XDP") {
		t.Errorf("weir status, before: %s", said)
	}
	ip(t, "-n", w.tx, "link", "del", "near")
	for name, c := range map[string]struct {
		program      []string
		consume, row string
	}{
		"root":                  {[]string{os.Args[0]}, "far is gone: weir consume attaches nothing", "gone         far\n"},
		"a member of the group": {member, "far is gone, or in another network namespace: weir consume attaches nothing", "not seen     far: gone, or in another network namespace\n"},
	} {
		code, _, said := w.run(t, append(slices.Clone(c.program), "consume", "--pin", pin, "--duration", "100ms", "-o", "csv:-"))
		if code != exitComplete || !strings.Contains(said, c.consume) || !strings.Contains(said, "weir attach --pin "+pin) {
			t.Errorf("%s: weir consume: exit code %d: %s", name, code, said)
		}
		if code, shown, said := w.run(t, append(slices.Clone(c.program), "status", "--pin", pin)); code != exitComplete || !strings.Contains(shown, c.row) {
			t.Errorf("%s: weir status: exit code %d: %s%s", name, code, shown, said)
		}
	}
}
