package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/dpi"
	"github.com/weirflow/weir/dpi/worker"
)

// A wire is a veth pair between two network namespaces: the sender's end is
// "near" in namespace tx, the metered one "far" in namespace rx.
type wire struct{ tx, rx string }

func newWire(t *testing.T) *wire {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("making network namespaces and attaching programs needs root")
	}
	w := &wire{fmt.Sprintf("weir-t%d-tx", os.Getpid()), fmt.Sprintf("weir-t%d-rx", os.Getpid())}
	t.Cleanup(func() {
		for _, ns := range []string{w.tx, w.rx} {
			_ = exec.Command("ip", "netns", "del", ns).Run()
		}
	})
	for _, ns := range []string{w.tx, w.rx} {
		ip(t, "netns", "add", ns)
		// No packets but those of the test.
		for _, key := range []string{"all", "default"} {
			command(t, "ip", "netns", "exec", ns, "sysctl", "-qw", "net.ipv6.conf."+key+".disable_ipv6=1")
		}
	}
	ip(t, "link", "add", "near", "netns", w.tx, "mtu", "3000", "type", "veth", "peer", "name", "far", "netns", w.rx, "mtu", "3000")
	ip(t, "-n", w.tx, "addr", "add", "198.51.100.1/24", "dev", "near")
	ip(t, "-n", w.rx, "addr", "add", "198.51.100.2/24", "dev", "far")
	ip(t, "-n", w.tx, "link", "set", "near", "up")
	ip(t, "-n", w.rx, "link", "set", "far", "up")
	return w
}

func ip(t *testing.T, args ...string) { t.Helper(); command(t, "ip", args...) }

func command(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// play sends a capture's packets.
func (w *wire) play(t *testing.T, capture string) {
	t.Helper()
	command(t, "ip", "netns", "exec", w.tx, "tcpreplay", "-q", "--mbps=20", "-i", "near", capture)
}

func (w *wire) ping(t *testing.T, count int) {
	t.Helper()
	command(t, "ip", "netns", "exec", w.tx, "ping", "-q", "-c", strconv.Itoa(count), "-i", "0.01", "198.51.100.2")
}

// A process is weir, running.
type process struct {
	*exec.Cmd
	out   io.ReadCloser
	said  bytes.Buffer
	ready chan struct{}
	done  chan struct{} // stderr has ended
}

// attach starts weir in the receiver's namespace and waits until it meters.
func (w *wire) attach(t *testing.T, args ...string) *process {
	t.Helper()
	return w.start(t, append([]string{os.Args[0], "attach", "far"}, args...)...)
}

// start is attach by a command line that ends in weir's.
func (w *wire) start(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{ready: make(chan struct{}), done: make(chan struct{})}
	p.Cmd = exec.Command("ip", append([]string{"netns", "exec", w.rx}, args...)...)
	p.Env = append(os.Environ(), asWeir+"=1")
	var err error
	if p.out, err = p.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	stderr, err := p.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Process.Kill() })
	go p.listen(stderr)
	select {
	case <-p.ready:
	case <-p.done:
		t.Fatalf("weir ends before it meters: %s", p.said.String())
	case <-time.After(20 * time.Second):
		t.Fatal("weir does not say that it meters")
	}
	return p
}

func (p *process) listen(stderr io.Reader) {
	defer close(p.done)
	ready := p.ready
	for s := bufio.NewScanner(stderr); s.Scan(); {
		fmt.Fprintln(&p.said, s.Text())
		if ready != nil && strings.HasPrefix(s.Text(), "weir: metering ") {
			close(ready)
			ready = nil
		}
	}
}

// end waits for weir to end, and returns its exit code, what was left of its
// stdout, and its stderr.
func (p *process) end(t *testing.T) (code int, out []byte, said string) {
	t.Helper()
	timer := time.AfterFunc(20*time.Second, func() { _ = p.Process.Kill() })
	defer timer.Stop()
	out, _ = io.ReadAll(p.out)
	<-p.done
	err := p.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return p.ProcessState.ExitCode(), out, p.said.String()
}

func (p *process) interrupt(t *testing.T) {
	t.Helper()
	if err := p.Process.Signal(unix.SIGINT); err != nil {
		t.Fatal(err)
	}
}

var residuals = regexp.MustCompile(`(?m)^ +residual +(\S+)(?: +(\S+))?$`)

// closes fails the test unless the summary has all four lines of the ledger,
// each with residual 0.
func closes(t *testing.T, summary string) {
	t.Helper()
	closesIn(t, summary, 4)
}

// closesIn is for a summary in which only so many lines can be checked.
func closesIn(t *testing.T, summary string, lines int) {
	t.Helper()
	found := residuals.FindAllStringSubmatch(summary, -1)
	if len(found) != lines {
		t.Errorf("%d lines of the ledger, want %d", len(found), lines)
	}
	for i, f := range found {
		if f[1] != "0" || f[2] != "0" && f[2] != "" {
			t.Errorf("line L%d leaves %s packets, %s octets", i+5-lines, f[1], f[2])
		}
	}
	if t.Failed() {
		t.Log(summary)
	}
}

// flowColumns are those that do not depend on when a packet was sent.
var flowColumns = []string{
	"src_ip", "src_port", "dst_ip", "dst_port", "protocol", "ip_version", "vlan_id", "src_mac", "dst_mac",
	"bidirectional_packets", "bidirectional_bytes", "src2dst_packets", "src2dst_bytes", "dst2src_packets", "dst2src_bytes",
	"bidirectional_syn_packets", "bidirectional_fin_packets", "src2dst_min_ps", "src2dst_max_ps", "dst2src_min_ps", "dst2src_max_ps",
	"splt_direction", "splt_ps", "community_id",
	"src2dst_retransmitted_packets", "dst2src_retransmitted_packets", "src2dst_out_of_order_packets", "dst2src_out_of_order_packets",
	"src2dst_zero_window_packets", "dst2src_zero_window_packets", "src2dst_initial_window", "dst2src_initial_window", "src2dst_mss", "dst2src_mss",
	"src2dst_min_ttl", "src2dst_max_ttl", "dst2src_min_ttl", "dst2src_max_ttl", "src2dst_min_tos", "src2dst_max_tos", "dst2src_min_tos", "dst2src_max_tos",
}

// timeless returns the flows in an order, with columns that do not depend on
// the clock.
func timeless(t *testing.T, content []byte) (flows []string) {
	t.Helper()
	for _, row := range table(t, content) {
		var values []string
		for _, name := range flowColumns {
			value, ok := row[name]
			if !ok {
				t.Fatalf("no column %s", name)
			}
			values = append(values, value)
		}
		flows = append(flows, strings.Join(values, " "))
	}
	slices.Sort(flows)
	return flows
}

// unplayable are captures whose frames tcpreplay cannot send as they were.
var unplayable = map[string]string{
	"active-timeout.pcap": "its hours pass in milliseconds",
	"arp-and-runts.pcap":  "a frame of no octets",
	"big-frames.pcap":     "frames longer than the interface's MTU",
	"snap-cut.pcap":       "frames that were not captured whole",
}

// playable are the captures that can be sent over a veth.
func playable(t *testing.T) (captures []string) {
	t.Helper()
	all, err := filepath.Glob("../../testdata/*/*.pcap")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range all {
		if unplayable[filepath.Base(path)] == "" && isEthernet(t, path) {
			captures = append(captures, path)
		}
	}
	if len(captures) < 10 {
		t.Fatalf("%d of the %d captures in testdata can be sent; want 10 or more", len(captures), len(all))
	}
	return captures
}

func TestLiveFlowsEqualThoseOfTheFile(t *testing.T) {
	columns := []string{"-o", "csv:-", "--statistics", "--tcp-statistics", "--ip-statistics", "--tcp-end", "--splt", "20", "--dissections", "0", "--idle-timeout", "71m", "--active-timeout", "71m"}
	for _, capture := range playable(t) {
		t.Run(filepath.Base(capture), func(t *testing.T) {
			code, offline := weir(t, append([]string{"replay", capture}, columns...)...)
			if code != exitComplete {
				t.Fatalf("replay: exit code %d: %s", code, offline.err.String())
			}
			w := newWire(t)
			p := w.attach(t, columns...)
			w.play(t, capture)
			p.interrupt(t)
			code, out, said := p.end(t)
			if code != exitComplete {
				t.Errorf("exit code %d", code)
			}
			closes(t, said)
			live, file := timeless(t, out), timeless(t, offline.out.Bytes())
			if !slices.Equal(live, file) {
				t.Errorf("live %d flows, of the file %d:\n%s\n---\n%s", len(live), len(file), strings.Join(live, "\n"), strings.Join(file, "\n"))
			}
		})
	}
}

// isEthernet tells of a little-endian pcap file that its frames are Ethernet's.
func isEthernet(t *testing.T, path string) bool {
	b := read(t, path)
	return len(b) >= 24 && (b[0] == 0xd4 || b[0] == 0x4d) && b[20] == 1
}

func TestBothDirectionsMakeOneFlowAtEveryHook(t *testing.T) {
	for name, args := range map[string][]string{
		"native XDP":  {"--xdp-mode", "native"},
		"generic XDP": {"--xdp-mode", "generic"},
		"TCX":         {"--hook", "tcx"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWire(t)
			p := w.attach(t, append(args, "--direction", "both", "-o", "csv:-")...)
			w.ping(t, 20)
			p.interrupt(t)
			code, out, said := p.end(t)
			rows := table(t, out)
			if code != exitComplete || len(rows) != 1 || !strings.Contains(said, name) {
				t.Fatalf("exit code %d, %d flows; want 0 and 1 by %s: %s", code, len(rows), name, said)
			}
			if rows[0]["src2dst_packets"] != "20" || rows[0]["dst2src_packets"] != "20" {
				t.Errorf("%s packets there, %s back; want 20 each", rows[0]["src2dst_packets"], rows[0]["dst2src_packets"])
			}
			closes(t, said)
		})
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func TestOneDirectionOnly(t *testing.T) {
	for direction, source := range map[string]string{"in": "198.51.100.1", "out": "198.51.100.2"} {
		t.Run(direction, func(t *testing.T) {
			w := newWire(t)
			p := w.attach(t, "--direction", direction, "-o", "csv:-")
			w.ping(t, 5)
			p.interrupt(t)
			code, out, said := p.end(t)
			rows := table(t, out)
			if code != exitComplete || len(rows) != 1 || rows[0]["src_ip"] != source || rows[0]["bidirectional_packets"] != "5" {
				t.Errorf("exit code %d, flows %v; want 0 and one of 5 packets from %s", code, rows, source)
			}
			closes(t, said)
		})
	}
}

// labelsOf counts flows in CSV by their label.
func labelsOf(t *testing.T, out []byte) map[string]int {
	t.Helper()
	labels := map[string]int{}
	for _, row := range table(t, out) {
		labels[row["application_name"]]++
	}
	return labels
}

func TestLiveFlowsCarryLabels(t *testing.T) {
	if !dpi.Available() {
		t.Log("this build holds no nDPI")
		return
	}
	w := newWire(t)
	p := w.attach(t, "-o", "csv:-")
	w.play(t, http1)
	p.interrupt(t)
	code, out, said := p.end(t)
	labels := labelsOf(t, out)
	if code != exitComplete || labels["HTTP"] != 3 {
		t.Errorf("exit code %d, labels %v; want 0 and 3 flows of HTTP: %s", code, labels, said)
	}
}

func TestALiveLabelComesWhileTheFlowLasts(t *testing.T) {
	if !dpi.Available() {
		t.Log("this build holds no nDPI")
		return
	}
	w := newWire(t)
	p := w.attach(t, "-o", "ndjson:-?events=label")
	w.play(t, http1)
	// No flow ends before the interrupt: what is read now is a label.
	line, err := bufio.NewReader(p.out).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, `{"event": "label"`) || !strings.Contains(line, `"application_name": "`) {
		t.Errorf("the first line is %q, %v; want a label", line, err)
	}
	p.interrupt(t)
	if code, _, said := p.end(t); code != exitComplete {
		t.Errorf("exit code %d, want 0: %s", code, said)
	}
}

// The process that a label was known in dies with it; outputs say so.
func TestALabelThatDiedIsToldByItsReason(t *testing.T) {
	if !dpi.Available() {
		t.Log("this build holds no nDPI")
		return
	}
	w, dir := newWire(t), t.TempDir()
	csv, ndjson := filepath.Join(dir, "flows.csv"), filepath.Join(dir, "flows.ndjson")
	p := w.attach(t, "--no-sandbox", "--l7", "full", "-o", "ndjson:-?events=label", "-o", "csv:"+csv, "-o", "ndjson:"+ndjson)
	w.play(t, http1)
	if line, err := bufio.NewReader(p.out).ReadString('\n'); err != nil {
		t.Errorf("the first label is %q, %v", line, err)
	}
	if err := unix.Kill(child(t, p.Process.Pid, worker.Command), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.interrupt(t)
	if code, _, said := p.end(t); code != exitComplete || !strings.Contains(said, "nDPI crashed 1 times") {
		t.Errorf("exit code %d, want 0 and a crash: %s", code, said)
	}
	told := 0
	for _, row := range table(t, read(t, csv)) {
		if row["l7_status"] == "engine_crashed" && row["application_name"] == "Unknown" {
			told++
		}
	}
	again := strings.Count(string(read(t, ndjson)), `"l7_status": "engine_crashed"`)
	if told == 0 || again != told {
		t.Errorf("%d flows in CSV and %d in NDJSON say that the process died, want as many and some", told, again)
	}
}

func TestASecondMeterIsToldOfTheFirst(t *testing.T) {
	w := newWire(t)
	first := w.attach(t, "-o", "csv:-")
	second := exec.Command("ip", "netns", "exec", w.rx, os.Args[0], "attach", "far")
	second.Env = append(os.Environ(), asWeir+"=1")
	out, _ := second.CombinedOutput()
	if code := second.ProcessState.ExitCode(); code != exitFailed || len(lines(string(out))) != 1 || !strings.Contains(string(out), "--hook tcx") {
		t.Errorf("exit code %d, said %q; want 1 and one line with --hook tcx", code, out)
	}
	beside := w.attach(t, "-o", "csv:-", "--hook", "tcx")
	w.ping(t, 5)
	for _, p := range []*process{beside, first} {
		p.interrupt(t)
		code, out, said := p.end(t)
		if rows := table(t, out); code != exitComplete || len(rows) != 1 || rows[0]["bidirectional_packets"] != "5" {
			t.Errorf("exit code %d, flows %v; want 0 and one of 5 packets: %s", code, rows, said)
		}
	}
}

func TestC3LiveReaderThatLeavesEndsTheRunInOrder(t *testing.T) {
	w := newWire(t)
	p := w.attach(t, "-o", "ndjson:-", "--idle-timeout", "50ms", "--dissections", "0")
	w.play(t, http1)
	if _, err := bufio.NewReader(p.out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	p.out.Close()
	w.ping(t, 2)
	code, _, said := p.end(t)
	if code != exitComplete {
		t.Errorf("exit code %d, want 0: %s", code, said)
	}
	closes(t, said)
	t.Logf("measured: exit code %d once the reader has left, and the ledger closes", code)
}

func TestTheDurationEndsALiveRun(t *testing.T) {
	w := newWire(t)
	dir := t.TempDir()
	p := w.attach(t, "--duration", "1s", "-o", dir+"/a.csv", "-o", dir+"/b.ndjson")
	w.play(t, http1)
	code, out, said := p.end(t)
	if code != exitComplete || len(out) > 0 {
		t.Errorf("exit code %d, stdout %q; want 0 and nothing", code, out)
	}
	closes(t, said)
	csv, ndjson := len(table(t, read(t, dir+"/a.csv"))), len(lines(string(read(t, dir+"/b.ndjson"))))
	if csv == 0 || csv != ndjson {
		t.Errorf("%d flows in one output, %d in the other; want as many", csv, ndjson)
	}
}

func TestB1KilledMeterLeavesNothing(t *testing.T) {
	w := newWire(t)
	p := w.attach(t, "--direction", "both", "-o", "csv:"+os.DevNull)
	kernel := objects(t, p.Process.Pid)
	if len(kernel["prog_id"]) < 3 || len(kernel["map_id"]) < 3 || len(kernel["link_id"]) != 3 {
		t.Fatalf("the running meter has %v", kernel)
	}
	stop := make(chan struct{})
	go func() {
		defer close(stop)
		_ = exec.Command("ip", "netns", "exec", w.tx, "ping", "-q", "-f", "-c", "20000", "-w", "1", "198.51.100.2").Run()
	}()
	time.Sleep(300 * time.Millisecond)
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_, _, _ = p.end(t)
	<-stop
	deadline := time.Now().Add(5 * time.Second)
	for left := alive(t, kernel); len(left) > 0; left = alive(t, kernel) {
		if time.Now().After(deadline) {
			t.Fatalf("5 s after the kill there are still %v", left)
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Logf("measured: weir killed under load: of %d programs, %d maps and %d links none is left", len(kernel["prog_id"]), len(kernel["map_id"]), len(kernel["link_id"]))
}

// objects are the ids of the BPF objects that a process has descriptors of, as
// the kernel shows them.
func objects(t *testing.T, pid int) map[string][]uint32 {
	t.Helper()
	found := map[string][]uint32{}
	infos, err := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range infos {
		content, _ := os.ReadFile(path) // it may have been closed
		for _, line := range lines(string(content)) {
			name, value, _ := strings.Cut(line, ":")
			if name != "prog_id" && name != "map_id" && name != "link_id" {
				continue
			}
			id, err := strconv.ParseUint(strings.TrimSpace(value), 10, 32)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(found[name], uint32(id)) {
				found[name] = append(found[name], uint32(id))
			}
		}
	}
	return found
}

// alive are those of the objects that are still there.
func alive(t *testing.T, kernel map[string][]uint32) (left []string) {
	t.Helper()
	for kind, ids := range kernel {
		for _, id := range ids {
			var object io.Closer
			var err error
			switch kind {
			case "prog_id":
				object, err = ebpf.NewProgramFromID(ebpf.ProgramID(id))
			case "map_id":
				object, err = ebpf.NewMapFromID(ebpf.MapID(id))
			default:
				object, err = link.NewFromID(link.ID(id))
			}
			switch {
			case err == nil:
				object.Close()
				left = append(left, fmt.Sprint(kind, " ", id))
			case !errors.Is(err, fs.ErrNotExist):
				t.Fatal(err)
			}
		}
	}
	return left
}

func TestWhatCannotBeAttachedIsOneLineAndExitCode1(t *testing.T) {
	w := newWire(t)
	kept := write(t, "kept.csv", []byte("from before\n"))
	for name, c := range map[string]struct {
		command []string
		want    string
	}{
		"no such interface": {[]string{os.Args[0], "attach", "eth77", "-o", kept}, "no such interface"},
		"no privilege":      {[]string{"setpriv", "--bounding-set", "-all", "--inh-caps", "-all", os.Args[0], "attach", "far", "-o", kept}, "CAP_NET_ADMIN"},
		"named twice":       {[]string{os.Args[0], "attach", "far", "far", "-o", kept}, "named twice"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command("ip", append([]string{"netns", "exec", w.rx}, c.command...)...)
			cmd.Env = append(os.Environ(), asWeir+"=1")
			var said bytes.Buffer
			cmd.Stderr = &said
			_ = cmd.Run()
			if code := cmd.ProcessState.ExitCode(); code != exitFailed || len(lines(said.String())) != 1 || !strings.Contains(said.String(), c.want) {
				t.Errorf("exit code %d, stderr %q; want 1 and one line with %q", code, said.String(), c.want)
			}
			if got := string(read(t, kept)); got != "from before\n" {
				t.Errorf("the output was emptied although nothing was metered: %q", got)
			}
		})
	}
}
