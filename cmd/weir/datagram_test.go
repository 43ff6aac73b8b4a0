package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/netsampler/goflow2/v2/decoders/netflow"
	"golang.org/x/sys/unix"
)

// A flowTally knows the flows that came in datagrams, however often each did.
type flowTally struct {
	mu        sync.Mutex
	flows     map[string]bool
	templates netflow.NetFlowTemplateSystem
}

// tallyFlows listens in a namespace.
func tallyFlows(t *testing.T, namespace, address string) *flowTally {
	t.Helper()
	c := &flowTally{flows: map[string]bool{}, templates: netflow.CreateTemplateSystem()}
	inNamespace(t, namespace, func() error {
		roomy := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
			failed := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20) })
			return errors.Join(failed, err)
		}}
		conn, err := roomy.ListenPacket(t.Context(), "udp", address)
		if err == nil {
			t.Cleanup(func() { _ = conn.Close() })
			go c.read(conn)
		}
		return err
	})
	return c
}

func (c *flowTally) read(conn net.PacketConn) {
	for buffer := make([]byte, 1<<16); ; {
		n, _, err := conn.ReadFrom(buffer)
		if err != nil {
			return
		}
		var p netflow.IPFIXPacket
		if netflow.DecodeMessageVersion(bytes.NewBuffer(buffer[:n]), c.templates, nil, &p) != nil {
			continue // before templates
		}
		for _, set := range p.FlowSets {
			d, _ := set.(netflow.DataFlowSet)
			for _, r := range d.Records {
				c.add(r)
			}
		}
	}
}

// add remembers a flow by its number and its times.
func (c *flowTally) add(r netflow.DataRecord) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := ""
	for _, v := range r.Values {
		if identifies(v) {
			name += fmt.Sprintf("%x ", v.Value)
		}
	}
	c.flows[name] = true
}

// await waits until so many flows have come, and says how many did.
func (c *flowTally) await(flows int) (got int) {
	for start := time.Now(); time.Since(start) < 10*time.Second; time.Sleep(10 * time.Millisecond) {
		c.mu.Lock()
		got = len(c.flows)
		c.mu.Unlock()
		if got >= flows {
			break
		}
	}
	return got
}

// replayFrom has weir replay every capture in a namespace, and says how many flows its
// summary has.
func replayFrom(t *testing.T, namespace, output string) (flows int) {
	t.Helper()
	args := append([]string{"netns", "exec", namespace, os.Args[0], "replay", "-o", output, "--drain", "60s"}, wholeCaptures(t)...)
	weir := exec.Command("ip", args...)
	weir.Env = append(os.Environ(), asWeir+"=1")
	said, err := weir.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != exitDamaged) {
		t.Fatalf("weir replay: %v\n%s", err, said)
	}
	all := regexp.MustCompile(`(?m)^ +all +(\d+) +\d+ +\d+$`).FindSubmatch(said)
	if all == nil || strings.Contains(string(said), "not sent:") {
		t.Fatalf("weir replay says\n%s", said)
	}
	_, _ = fmt.Sscan(string(all[1]), &flows)
	return flows
}

// The interface's queue has room for a few messages at a time. What finds none is tried
// again; the kernel says so only to whoever asks.
func TestG3FullQueueOfAnInterfaceCostsNoFlows(t *testing.T) {
	w := newWire(t)
	command(t, "tc", "-n", w.rx, "qdisc", "add", "dev", "far", "root", "tbf", "rate", "8mbit", "burst", "3100", "limit", "6000")
	c := tallyFlows(t, w.tx, "198.51.100.1:4739")
	want := replayFrom(t, w.rx, "ipfix:udp://198.51.100.1:4739?rate=0")
	if got := c.await(want); got != want || want < 100 {
		t.Errorf("%d flows came, weir delivered %d", got, want)
	}
	dropped, err := exec.Command("tc", "-n", w.rx, "-s", "qdisc", "show", "dev", "far").Output()
	if err != nil || strings.Contains(string(dropped), "dropped 0,") {
		t.Errorf("the queue was never full: %v\n%s", err, dropped)
	}
}

// beyond makes a namespace behind the sender's, which routes. The way there is narrower.
func (w *wire) beyond(t *testing.T, octets string) (namespace string) {
	t.Helper()
	namespace = strings.TrimSuffix(w.tx, "tx") + "beyond"
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", namespace).Run() })
	ip(t, "netns", "add", namespace)
	ip(t, "link", "add", "on", "netns", w.tx, "mtu", octets, "type", "veth", "peer", "name", "end", "netns", namespace, "mtu", octets)
	ip(t, "-n", w.tx, "addr", "add", "203.0.113.1/24", "dev", "on")
	ip(t, "-n", namespace, "addr", "add", "203.0.113.2/24", "dev", "end")
	ip(t, "-n", w.tx, "link", "set", "on", "up")
	ip(t, "-n", namespace, "link", "set", "end", "up")
	ip(t, "-n", namespace, "route", "add", "default", "via", "203.0.113.1")
	ip(t, "-n", w.rx, "route", "add", "default", "via", "198.51.100.1")
	ip(t, "-n", w.tx, "link", "set", "lo", "up") // or it sends no ICMP messages
	command(t, "ip", "netns", "exec", w.tx, "sysctl", "-qw", "net.ipv4.ip_forward=1")
	return namespace
}

// A router says that messages are longer than its next link takes (EMSGSIZE): they go out
// again, in fragments.
func TestG3MessagesLongerThanThePathAreSentAgain(t *testing.T) {
	w := newWire(t)
	namespace := w.beyond(t, "1280")
	c := tallyFlows(t, namespace, "203.0.113.2:4739")
	want := replayFrom(t, w.rx, "ipfix:udp://203.0.113.2:4739?message=2000")
	if got := c.await(want); got != want || want < 100 {
		t.Errorf("%d flows came, weir delivered %d", got, want)
	}
	route, err := exec.Command("ip", "-n", w.rx, "route", "get", "203.0.113.2").Output()
	if err != nil || !strings.Contains(string(route), "mtu 1280") {
		t.Errorf("the router never said so: %v\n%s", err, route)
	}
}

// A router that knows no way says so, and the flows are not taken for delivered.
func TestG3RouterThatKnowsNoWayCostsWhatIsCounted(t *testing.T) {
	w := newWire(t)
	w.beyond(t, "1500")
	ip(t, "-n", w.tx, "route", "add", "unreachable", "192.0.2.0/24")
	weir := exec.Command("ip", "netns", "exec", w.rx, os.Args[0], "replay", "-o", "ipfix:udp://192.0.2.1:4739", "--drain", "1s", wholeCaptures(t)[0])
	weir.Env = append(os.Environ(), asWeir+"=1")
	said, err := weir.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitLoss || !strings.Contains(string(said), "(no connection)") {
		t.Errorf("weir replay: %v\n%s", err, said)
	}
}

// identifies tells whether a value is one of those by which flows differ: the parts of one
// share a number.
func identifies(v netflow.DataField) bool {
	switch v.Type {
	case netflow.IPFIX_FIELD_flowId, netflow.IPFIX_FIELD_flowStartNanoseconds, netflow.IPFIX_FIELD_flowEndNanoseconds:
		return !v.PenProvided
	}
	return false
}
