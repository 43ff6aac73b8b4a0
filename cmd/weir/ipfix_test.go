package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
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

	"github.com/netsampler/goflow2/v2/decoders/netflow"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// wholeCaptures are those of testdata whose files are whole.
func wholeCaptures(t *testing.T) []string {
	t.Helper()
	all, err := filepath.Glob("../../testdata/*/*.pcap")
	if err != nil || len(all) < 20 {
		t.Fatalf("%d captures: %v", len(all), err)
	}
	return all
}

// tsharkFields are fields of Wireshark's and the columns that they have, or their forward and
// reverse columns.
var tsharkFields = []struct {
	field   string
	columns []string
}{
	{"cflow.srcport", []string{"src_port"}}, {"cflow.dstport", []string{"dst_port"}}, {"cflow.protocol", []string{"protocol"}},
	{"cflow.ip_version", []string{"ip_version"}}, {"cflow.srcmac", []string{"src_mac"}}, {"cflow.dstmac", []string{"dst_mac"}},
	{"cflow.packets", []string{"src2dst_packets", "dst2src_packets"}}, {"cflow.octets", []string{"src2dst_bytes", "dst2src_bytes"}},
	{"cflow.flow_end_reason", []string{"flow_end_reason"}}, {"cflow.flow_id", []string{"flow_uid"}},
	{"cflow.icmp_ipv4_type", []string{"icmp_type"}}, {"cflow.icmp_ipv4_code", []string{"icmp_code"}},
	// From icmpTypeCodeIPv6, too.
	{"cflow.icmp_ipv6_type", []string{"icmp_type", "icmp_type"}}, {"cflow.icmp_ipv6_code", []string{"icmp_code", "icmp_code"}},
	{"cflow.total_tcp_syn", []string{"src2dst_syn_packets", "dst2src_syn_packets"}}, {"cflow.total_tcp_fin", []string{"src2dst_fin_packets", "dst2src_fin_packets"}},
	{"cflow.total_tcp_rst", []string{"src2dst_rst_packets", "dst2src_rst_packets"}}, {"cflow.total_tcp_psh", []string{"src2dst_psh_packets", "dst2src_psh_packets"}},
	{"cflow.total_tcp_ack", []string{"src2dst_ack_packets", "dst2src_ack_packets"}}, {"cflow.total_tcp_urg", []string{"src2dst_urg_packets", "dst2src_urg_packets"}},
	{"cflow.tcp_windows_size", []string{"src2dst_initial_window", "dst2src_initial_window"}},
	{"cflow.ttl_min", []string{"src2dst_min_ttl", "dst2src_min_ttl"}}, {"cflow.ttl_max", []string{"src2dst_max_ttl", "dst2src_max_ttl"}},
	{"cflow.appl_name", []string{"application_name"}}, {"cflow.application_category_name", []string{"application_category_name"}},
	{"cflow.http_user_agent", []string{"user_agent"}}, {"cflow.http_content_type", []string{"content_type"}},
	{"cflow.srcaddr", []string{"src_ip"}}, {"cflow.dstaddr", []string{"dst_ip"}}, {"cflow.srcaddrv6", []string{"src_ip"}}, {"cflow.dstaddrv6", []string{"dst_ip"}},
}

// Wireshark reads a file of messages to the same values as the CSV of the same run has.
func TestWiresharkReadsWhatTheCSVHas(t *testing.T) {
	dir := t.TempDir()
	messages, rows := filepath.Join(dir, "flows.ipfix"), filepath.Join(dir, "flows.csv")
	code, f := weir(t, append([]string{"replay", "-q", "--statistics", "--tcp-statistics", "--ip-statistics", "-o", messages, "-o", rows}, wholeCaptures(t)...)...)
	if code != exitComplete && code != exitDamaged {
		t.Fatalf("exit code %d: %s", code, f.err.String())
	}
	args := []string{"-n", "-r", messages, "-Y", "cflow.flow_id", "-T", "fields", "-E", "separator=|", "-E", "aggregator=;"}
	for _, c := range tsharkFields {
		args = append(args, "-e", c.field)
	}
	out, err := exec.Command("tshark", args...).Output()
	if err != nil {
		t.Fatalf("tshark: %v", err)
	}
	got, want := lines(string(out)), table(t, read(t, rows))
	if len(got) != len(want) || len(want) < 100 {
		t.Fatalf("tshark has %d flows, the CSV %d", len(got), len(want))
	}
	compared := 0
	for i, line := range got {
		for n, value := range strings.Split(line, "|") {
			if value == "" { // of another template
				continue
			}
			var columns []string
			for _, column := range tsharkFields[n].columns {
				columns = append(columns, want[i][column])
			}
			if text := strings.Join(columns, ";"); value != text {
				t.Errorf("flow %d: %s is %q, want %q", i, tsharkFields[n].field, value, text)
			}
			compared++
		}
	}
	if compared < 20*len(got) {
		t.Errorf("only %d values of %d flows were compared", compared, len(got))
	}
	t.Logf("measured: %d values of %d flows equal", compared, len(got))
}

// An nfcapd is a collector that operators use.
type nfcapd struct {
	*exec.Cmd
	port int
	dir  string
}

func startNfcapd(t *testing.T) *nfcapd {
	t.Helper()
	free, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	n := &nfcapd{port: free.LocalAddr().(*net.UDPAddr).Port, dir: t.TempDir()}
	_ = free.Close()
	n.Cmd = exec.Command("nfcapd", "-b", "127.0.0.1", "-p", strconv.Itoa(n.port), "-w", n.dir, "-B", "4000000")
	if err := n.Start(); err != nil {
		t.Fatalf("start nfcapd: %v", err)
	}
	t.Cleanup(func() { _ = n.Process.Kill() })
	return n
}

// waiting is how many octets the kernel has that nfcapd has not read.
func (n *nfcapd) waiting(t *testing.T) (octets uint64) {
	t.Helper()
	for _, line := range lines(string(read(t, "/proc/net/udp"))) {
		fields := strings.Fields(line)
		if len(fields) < 5 || !strings.HasSuffix(fields[1], fmt.Sprintf(":%04X", n.port)) {
			continue
		}
		_, queue, _ := strings.Cut(fields[4], ":")
		o, _ := strconv.ParseUint(queue, 16, 64)
		octets += o
	}
	return octets
}

// end has nfcapd write what it has read, and says what nfdump counts in it.
func (n *nfcapd) end(t *testing.T) (flows, packets, octets string) {
	t.Helper()
	for start := time.Now(); n.waiting(t) > 0 && time.Since(start) < 10*time.Second; {
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(200 * time.Millisecond) // for what it has just read
	_ = n.Process.Signal(unix.SIGTERM)
	_ = n.Wait()
	out, err := exec.Command("nfdump", "-R", n.dir, "-N", "-o", "line").CombinedOutput()
	if err != nil {
		t.Fatalf("nfdump: %v: %s", err, out)
	}
	m := regexp.MustCompile(`total flows: (\d+), total bytes: (\d+), total packets: (\d+)`).FindSubmatch(out)
	if m == nil {
		t.Fatalf("nfdump says %s", out)
	}
	return string(m[1]), string(m[3]), string(m[2])
}

// nfcapd counts the flows, packets and octets that the ledger says were delivered.
func TestNfdumpCountsWhatTheLedgerSays(t *testing.T) {
	n := startNfcapd(t)
	code, f := weir(t, append([]string{"replay", "-o", fmt.Sprintf("ipfix:udp://127.0.0.1:%d", n.port), "--drain", "30s"}, wholeCaptures(t)...)...)
	if code != exitComplete && code != exitDamaged {
		t.Fatalf("exit code %d: %s", code, f.err.String())
	}
	said := f.err.String()
	closesIn(t, said, 3)
	all := regexp.MustCompile(`(?m)^ +all +(\d+) +(\d+) +(\d+)$`).FindStringSubmatch(said)
	delivered := regexp.MustCompile(`(?m)^ +delivered +(\d+) +(\d+)$`).FindStringSubmatch(said)
	if all == nil || delivered == nil {
		t.Fatalf("the summary is %s", said)
	}
	flows, packets, octets := n.end(t)
	if flows != all[1] || packets != delivered[1] || octets != delivered[2] {
		t.Errorf("nfdump has %s flows, %s packets, %s octets; the ledger delivered %s flows, %s packets, %s octets",
			flows, packets, octets, all[1], delivered[1], delivered[2])
	}
	t.Logf("measured: %s flows, %s packets, %s octets in both", flows, packets, octets)
}

// A collector that knows no reverse elements gets each direction as a flow.
func TestNfdumpCountsTheSameOfOneWayFlows(t *testing.T) {
	n := startNfcapd(t)
	rows := filepath.Join(t.TempDir(), "flows.csv")
	code, f := weir(t, append([]string{"replay", "-q", "-o", fmt.Sprintf("ipfix:udp://127.0.0.1:%d?biflow=off&domain=7", n.port), "-o", rows, "--drain", "30s"}, wholeCaptures(t)...)...)
	if code != exitComplete && code != exitDamaged {
		t.Fatalf("exit code %d: %s", code, f.err.String())
	}
	var flows, packets, octets uint64
	for _, row := range table(t, read(t, rows)) {
		for _, direction := range []string{"src2dst", "dst2src"} {
			p, _ := strconv.ParseUint(row[direction+"_packets"], 10, 64)
			o, _ := strconv.ParseUint(row[direction+"_bytes"], 10, 64)
			packets, octets = packets+p, octets+o
			flows += min(p, 1)
		}
	}
	gotFlows, gotPackets, gotOctets := n.end(t)
	got, want := []string{gotFlows, gotPackets, gotOctets}, strings.Fields(fmt.Sprintln(flows, packets, octets))
	if !slices.Equal(got, want) {
		t.Errorf("nfdump has flows, packets, octets %v; want %v", got, want)
	}
}

// inNamespace calls open on a thread that is in a namespace.
func inNamespace(t *testing.T, namespace string, open func() error) {
	t.Helper()
	opened := make(chan error)
	go func() { // its thread is spoilt, and ends with it
		runtime.LockOSThread()
		ns, err := netns.GetFromName(namespace)
		if err == nil {
			err = netns.Set(ns)
			_ = ns.Close()
		}
		if err == nil {
			err = open()
		}
		opened <- err
	}()
	if err := <-opened; err != nil {
		t.Fatal(err)
	}
}

// A messageTally adds up the packets of the flows in messages, one connection's at a time.
type messageTally struct {
	packets   atomic.Uint64
	templates netflow.NetFlowTemplateSystem
}

func (c *messageTally) add(message []byte) error {
	var p netflow.IPFIXPacket
	if err := netflow.DecodeMessageVersion(bytes.NewBuffer(message), c.templates, nil, &p); err != nil {
		return err
	}
	for _, set := range p.FlowSets {
		d, _ := set.(netflow.DataFlowSet)
		for _, r := range d.Records {
			for _, v := range r.Values {
				if v.Type == netflow.IPFIX_FIELD_packetDeltaCount {
					c.packets.Add(binary.BigEndian.Uint64(v.Value.([]byte)))
				}
			}
		}
	}
	return nil
}

// datagrams adds up what comes over UDP.
func (c *messageTally) datagrams(conn net.PacketConn) {
	buffer := make([]byte, 1<<16)
	for {
		n, _, err := conn.ReadFrom(buffer)
		if err != nil || c.add(buffer[:n]) != nil {
			return
		}
	}
}

// stream adds up what comes over a connection.
func (c *messageTally) stream(conn io.Reader) {
	for {
		message := make([]byte, 16)
		if _, err := io.ReadFull(conn, message); err != nil {
			return
		}
		message = append(message, make([]byte, int(binary.BigEndian.Uint16(message[2:]))-16)...)
		if _, err := io.ReadFull(conn, message[16:]); err != nil || c.add(message) != nil {
			return
		}
	}
}

// The consumer, which may do next to nothing, sends messages over UDP and TCP alike.
func TestLiveFlowsGoOutAsIPFIXFromTheSandbox(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			w := newWire(t)
			ip(t, "-n", w.rx, "link", "set", "lo", "up")
			c := &messageTally{templates: netflow.CreateTemplateSystem()}
			inNamespace(t, w.rx, func() error {
				if network == "udp" {
					// Whoever reads may have to wait for a CPU.
					roomy := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
						failed := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20) })
						return errors.Join(failed, err)
					}}
					conn, err := roomy.ListenPacket(t.Context(), "udp", "127.0.0.1:4739")
					if err == nil {
						t.Cleanup(func() { _ = conn.Close() })
						go c.datagrams(conn)
					}
					return err
				}
				l, err := net.Listen("tcp", "127.0.0.1:4739")
				if err == nil {
					t.Cleanup(func() { _ = l.Close() })
					go func() {
						if conn, err := l.Accept(); err == nil {
							c.stream(conn)
						}
					}()
				}
				return err
			})
			s := w.sender(t)
			p := w.attach(t, "-o", "ipfix:"+network+"://localhost:4739", "--dissections", "0", "--idle-timeout", "50ms")
			for range 10 {
				s.send(300, 1)
				time.Sleep(50 * time.Millisecond)
			}
			p.interrupt(t)
			code, _, said := p.end(t)
			if code != exitComplete {
				t.Errorf("exit code %d: %s", code, said)
			}
			closes(t, said)
			for start := time.Now(); c.packets.Load() < s.sent.Load() && time.Since(start) < 10*time.Second; {
				time.Sleep(10 * time.Millisecond)
			}
			if got := c.packets.Load(); got != s.sent.Load() {
				t.Errorf("the collector has flows of %d packets, %d were sent", got, s.sent.Load())
			}
		})
	}
}
