package dpi_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/dpi"
	"github.com/weirflow/weir/userspace"
)

// TestEveryCaptureGoesThroughOneProcess wants no crash of ordinary traffic,
// whatever came before it.
func TestEveryCaptureGoesThroughOneProcess(t *testing.T) {
	w := start(t, dpi.Options{})
	flows := uint64(0)
	for _, path := range captures(t) {
		o := endure(t, w, &feed{flows: slices.Values(flowSamples(t, path)), first: flows})
		flows += o.flows
	}
	if s := w.Stats(); s.Crashes+s.Hangs > 0 || s.Flows != flows || flows == 0 {
		t.Errorf("%d flows, %+v", flows, s)
	}
	t.Logf("%d flows", flows)
}

// truncated are captures of TLS, QUIC, DNS and HTTP.
var truncated = [][]string{
	{"dns-tcp/dns-tcp.pcap", "dns-udp/dns-udp.pcap", "http1/http1.pcap", "http2-tls13/http2-tls13.pcap", "mdns/mdns.pcap",
		"quic/quic.pcap", "tls12/tls12.pcap"},
	{"nfstream/dns_fragmented.pcap", "nfstream/dns_long_domainname.pcap", "nfstream/dnscrypt-v2-doh.pcap", "nfstream/dtls2.pcap",
		"nfstream/encrypted_sni.pcap", "nfstream/facebook.pcap", "nfstream/google_ssl.pcap", "nfstream/http_auth.pcap",
		"nfstream/http_ipv6.pcap", "nfstream/imaps.pcap", "nfstream/quic-29.pcap", "nfstream/quic046.pcap", "nfstream/quic_0RTT.pcap",
		"nfstream/tls_certificate_too_long.pcap"},
}

// WEIR_TRUNCATE=all cuts at every length, which takes minutes; otherwise it is
// every length up to where transport headers end, and every 61st behind.
func everyLength() bool { return os.Getenv("WEIR_TRUNCATE") == "all" }

const (
	headersEnd = 80
	lengthStep = 61
)

// TestEveryTruncation cuts each sample of captures short, and shows nDPI the flow
// with it: once as a short snapshot would have cut it, once with the IP header
// saying that there is no more.
func TestEveryTruncation(t *testing.T) {
	for i, folder := range captureFolders {
		if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) && i > 0 {
			t.Logf("%d captures are not beside this checkout, at %s", len(truncated[i]), folder)
			continue
		}
		for _, name := range truncated[i] {
			t.Run(filepath.Base(name), func(t *testing.T) { truncate(t, filepath.Join(folder, name)) })
		}
	}
}

func truncate(t *testing.T, path string) {
	w := start(t, dpi.Options{Timeout: 5 * time.Second, Details: true})
	flows := flowSamples(t, path)
	o := endure(t, w, &feed{flows: truncations(flows)})
	s := w.Stats()
	if s.Flows != o.flows || s.FlowsCrashed != o.crashed || o.flows == 0 {
		t.Errorf("%d flows, %d crashed, %+v", o.flows, o.crashed, s)
	}
	if s.Crashes+s.Hangs == 0 && o.crashed > 0 {
		t.Errorf("%d flows have crashed a process that has not", o.crashed)
	}
	t.Logf("%d flows made of %d, %d samples shown, %d rejected; %d crashes, %d hangs, %d flows without a label for them",
		o.flows, len(flows), s.Shown, s.Rejected, s.Crashes, s.Hangs, o.crashed)
	if s.LastCrash != "" {
		t.Logf("last: %s", s.LastCrash)
	}
}

// truncations are the flows with one sample cut at one length.
func truncations(flows [][]userspace.Sample) iter.Seq[[]userspace.Sample] {
	return func(yield func([]userspace.Sample) bool) {
		for _, flow := range flows {
			for i := range flow {
				for n := range len(flow[i].Packet) {
					if n >= headersEnd && (n+i)%lengthStep != 0 && !everyLength() {
						continue
					}
					for _, told := range []bool{false, true} {
						if !yield(cutSample(flow, i, n, told)) {
							return
						}
					}
				}
			}
		}
	}
}

// cutSample is the flow with n octets of sample i; told, the IP header says so.
func cutSample(flow []userspace.Sample, i, n int, told bool) []userspace.Sample {
	flow = slices.Clone(flow)
	s := &flow[i]
	s.Packet = slices.Clone(s.Packet[:n])
	if told {
		s.WireLength = uint32(n)
		tell(s.Packet)
	}
	return flow
}

// tell writes a packet's length into its IP header.
func tell(packet []byte) {
	switch {
	case len(packet) >= 20 && packet[0]>>4 == 4:
		binary.BigEndian.PutUint16(packet[2:], uint16(len(packet)))
	case len(packet) >= 40 && packet[0]>>4 == 6:
		binary.BigEndian.PutUint16(packet[4:], uint16(len(packet)-40))
	}
}

// TestForeignPacketsInAFlow lets every kind of flow go on with the packets of every
// other, of another transport protocol most of them, which kills nDPI where it is
// shown them.
func TestForeignPacketsInAFlow(t *testing.T) {
	var kinds [][]userspace.Sample
	for _, path := range captures(t) {
		if flows := flowSamples(t, path); len(flows) > 0 {
			kinds = append(kinds, flows[0])
		}
	}
	const own, foreign = 3, 3
	w := start(t, dpi.Options{})
	o := endure(t, w, &feed{flows: func(yield func([]userspace.Sample) bool) {
		for _, a := range kinds {
			for _, b := range kinds {
				if !yield(slices.Concat(a[:min(own, len(a))], b[:min(foreign, len(b))])) {
					return
				}
			}
		}
	}})
	s := w.Stats()
	if s.Crashes+s.Hangs > 0 || s.Rejected == 0 || o.flows != uint64(len(kinds)*len(kinds)) {
		t.Errorf("%d flows, %+v", o.flows, s)
	}
	t.Logf("%d flows of %d kinds, %d samples shown, %d rejected", o.flows, len(kinds), s.Shown, s.Rejected)
}

// A flood is a Source of flows that are all open before the first of them ends.
type flood struct {
	feed
	list [][]userspace.Sample
}

// Flows implements userspace.Source.
func (s *flood) Flows(ctx context.Context) iter.Seq2[*userspace.Flow, error] {
	for i, flow := range s.list {
		sample := flow[0]
		sample.FlowID = s.first + uint64(i) + 1
		s.samples(&sample)
	}
	s.flows = func(yield func([]userspace.Sample) bool) {
		for range s.list {
			if !yield(nil) {
				return
			}
		}
	}
	return s.feed.Flows(ctx)
}

// TestH13FloodOfFlowsCostsLabelsNotFlows has more flows at once than may be under
// inspection, by the default, and many times more, than verdicts are kept for.
func TestH13FloodOfFlowsCostsLabelsNotFlows(t *testing.T) {
	for name, c := range map[string]struct{ flows, inspected, labelled int }{
		"more than the default":          {100_000, dpi.DefaultMaxFlows, 100_000},
		"more than verdicts are kept of": {60_000, 1000, 16 * 1000},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, dpi.Options{MaxFlows: c.inspected, Details: true})
			s := &flood{list: slices.Repeat(flowSamples(t, "../testdata/dns-udp/dns-udp.pcap")[:1], c.flows)}
			o := endureFlood(t, w, s)
			stats := w.Stats()
			t.Logf("measured: labels %v, nDPI holds %d octets", o, stats.Memory)
			if o["DNS"] < c.labelled || o["DNS"]+o["not_sampled"] != c.flows {
				t.Errorf("of %d flows the labels are %v", c.flows, o)
			}
			bound := uint64(64<<20 + c.inspected*4<<10)
			if stats.Evicted < uint64(c.flows-c.inspected) || stats.Memory == 0 || stats.Memory > bound || stats.Crashes+stats.Hangs > 0 {
				t.Errorf("%+v", stats)
			}
		})
	}
}

// endureFlood wants every flow, in order, and counts labels or the reasons that there
// are none.
func endureFlood(t *testing.T, w *dpi.Worker, s *flood) map[string]int {
	t.Helper()
	s.samples = w.Sample
	labels, n := map[string]int{}, 0
	for f, err := range w.Wrap(s, nil).Flows(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; f.Record.FlowId != uint64(n) {
			t.Fatalf("flow %d came in the place of %d", f.Record.FlowId, n)
		}
		if f.L7.Reason != "" {
			labels[f.L7.Reason]++
		} else {
			labels[f.L7.ApplicationName]++
		}
	}
	return labels
}

// TestH4DeathOfNDPICostsLabelsNotFlows kills the process with the real library in
// it, in the middle of its work.
func TestH4DeathOfNDPICostsLabelsNotFlows(t *testing.T) {
	w := start(t, dpi.Options{Queue: 64})
	flow := flowSamples(t, "../testdata/tls12/tls12.pcap")[0]
	const flows, fatal = 4000, 2000
	killed := 0
	o := endure(t, w, &feed{
		flows: func(yield func([]userspace.Sample) bool) {
			for range flows {
				if !yield(flow) {
					return
				}
			}
		},
		before: func(n uint64) {
			if n != fatal {
				return
			}
			for _, pid := range children(t, os.Getpid()) {
				killed++
				if err := unix.Kill(pid, unix.SIGKILL); err != nil {
					t.Error(err)
				}
			}
		},
	})
	s := w.Stats()
	if killed != 1 || o.flows != flows || o.crashed == 0 || s.Crashes != 1 || s.FlowsCrashed != o.crashed {
		t.Errorf("%d processes killed, %d flows, %d of them crashed, %+v", killed, o.flows, o.crashed, s)
	}
	if o.labels["TLS"]+int(o.crashed) != flows || o.labels["TLS"] < flows/4 {
		t.Errorf("labels: %v, and %d crashed", o.labels, o.crashed)
	}
}
