package userspace_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/tools/captures"
	"github.com/weirflow/weir/userspace"
	"github.com/weirflow/weir/userspace/pcapfile"
)

const parityFolder = "../../shared/captures"

// answer is what is compared of a line of the reference.
type answer struct {
	SrcIP     string   `json:"src_ip"`
	SrcMAC    string   `json:"src_mac"`
	SrcPort   uint16   `json:"src_port"`
	DstIP     string   `json:"dst_ip"`
	DstMAC    string   `json:"dst_mac"`
	DstPort   uint16   `json:"dst_port"`
	Protocol  uint8    `json:"protocol"`
	Version   uint8    `json:"ip_version"`
	VLAN      uint16   `json:"vlan_id"`
	Tunnel    uint8    `json:"tunnel_id"`
	First     uint64   `json:"bidirectional_first_seen_ms"`
	Last      uint64   `json:"bidirectional_last_seen_ms"`
	Packets   uint64   `json:"src2dst_packets"`
	Octets    uint64   `json:"src2dst_bytes"`
	Packets2  uint64   `json:"dst2src_packets"`
	Octets2   uint64   `json:"dst2src_bytes"`
	Expiry    int      `json:"expiration_id"`
	SYN       uint64   `json:"bidirectional_syn_packets"`
	CWR       uint64   `json:"bidirectional_cwr_packets"`
	ECE       uint64   `json:"bidirectional_ece_packets"`
	URG       uint64   `json:"bidirectional_urg_packets"`
	ACK       uint64   `json:"bidirectional_ack_packets"`
	PSH       uint64   `json:"bidirectional_psh_packets"`
	RST       uint64   `json:"bidirectional_rst_packets"`
	FIN       uint64   `json:"bidirectional_fin_packets"`
	Direction [20]int8 `json:"splt_direction"`
	Sizes     [20]int  `json:"splt_ps"`
}

// deliberate names the answers from which weir differs on purpose, and why. One
// that does not differ any more fails the test, so that the list stays true.
var deliberate = map[string]string{
	"accounting.accounting_0":           "a UDP packet of 27 octets is metered: the reference wants 28 captured",
	"accounting.accounting_1":           "the same, and IPv6 counts 40 more: header included",
	"accounting.accounting_2":           "the octets behind the IP header count for every protocol",
	"accounting.accounting_3":           "the same",
	"big_frame.statistical":             "sizes do not wrap at 65,535",
	"frag4.default":                     "later fragments are metered",
	"dns_fragmented.pcap":               "later fragments are metered",
	"gtp.accounting_1":                  "tunnels nest, and IPv6 carries them too",
	"gtp.decodetunnels_1":               "tunnels nest, and IPv6 carries them too",
	"ipip.decodetunnels_1":              "GRE and VXLAN are decoded",
	"nonip.default":                     "the Ethertype decides, not the first nibble",
	"ppp.default":                       "PPP is read with and without address and control octets",
	"short.accounting_0":                "truncated packets are metered where their headers were captured",
	"short.accounting_1":                "truncated packets are metered where their headers were captured",
	"short.accounting_3":                "truncated packets are metered where their headers were captured",
	"sll2.default":                      "SLL2 is read",
	"time_backwards.statistical_splt_3": "times are not clamped to the latest of other flows",
	"dhcp_big_endian.pcapng":            "its times, of the year 152000, do not fit in nanoseconds",
	"capwap.pcap":                       "a CAPWAP frame that holds no data is not taken for IP",
}

func answerOf(f *userspace.Flow) answer {
	r := &f.Record
	a := answer{
		SrcIP: f.Source().String(), SrcMAC: mac(r.Mac[0]), SrcPort: f.SourcePort(),
		DstIP: f.Destination().String(), DstMAC: mac(r.Mac[1]), DstPort: f.DestinationPort(),
		Protocol: r.Key.Protocol, Version: r.Key.IpVersion, VLAN: r.Key.VlanId, Tunnel: r.Key.TunnelId,
		First: userspace.FirstNs(r) / 1e6, Last: userspace.LastNs(r) / 1e6,
		Packets: r.Dir[0].Packets, Octets: r.Dir[0].Octets, Packets2: r.Dir[1].Packets, Octets2: r.Dir[1].Octets,
	}
	if f.EndReason() == bpf.WeirFlowEndReasonEND_ACTIVE {
		a.Expiry = 1
	}
	for bit, count := range []*uint64{&a.FIN, &a.SYN, &a.RST, &a.PSH, &a.ACK, &a.URG, &a.ECE, &a.CWR} {
		*count = r.Dir[0].Flags[bit] + r.Dir[1].Flags[bit]
	}
	for i := range a.Sizes {
		a.Direction[i], a.Sizes[i] = -1, -1
		if uint64(i) < f.Packets() {
			a.Direction[i], a.Sizes[i] = int8(r.SpltDirection>>i&1), int(r.SpltSize[i])
		}
	}
	return a
}

func mac(m [6]byte) string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

func TestCoreColumnsAreTheReferences(t *testing.T) {
	answers, err := filepath.Glob(parityFolder + "/*/*.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(parityFolder); errors.Is(err, fs.ErrNotExist) {
		t.Skipf("the reference's captures are not beside this checkout, in %s", parityFolder)
	}
	for _, path := range answers {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".jsonl"), func(t *testing.T) {
			capture, change := question(path)
			got, want := meteredAnswers(t, capture, change), referenceAnswers(t, path)
			differing := compareAnswers(got, want)
			why, onPurpose := deliberate[strings.TrimSuffix(filepath.Base(path), ".jsonl")]
			if onPurpose != (len(differing) > 0) {
				t.Errorf("%d flows differ, on purpose %q:\n%s", len(differing), why, strings.Join(differing, "\n"))
			}
		})
	}
}

// question is the capture that an answer is about, and its options: in cases/
// they are in the answer's name.
func question(path string) (capture string, change func(*userspace.Config)) {
	capture = strings.TrimSuffix(path, ".jsonl")
	options := ""
	if filepath.Base(filepath.Dir(path)) == "cases" {
		name, rest, _ := strings.Cut(filepath.Base(capture), ".")
		capture, options = filepath.Join(filepath.Dir(path), name+".pcap"), rest
	}
	return capture, func(c *userspace.Config) {
		c.Statistics, c.SPLT = true, 20
		if mode, ok := strings.CutPrefix(options, "accounting_"); ok {
			c.Accounting = bpf.Accounting(mode[0] - '0')
		}
		c.DecodeTunnels = options != "decodetunnels_0"
	}
}

func meteredAnswers(t *testing.T, path string, change func(*userspace.Config)) (got []answer) {
	t.Helper()
	source, err := pcapfile.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	m := meterOf(t, source, change)
	for f, err := range m.Flows(t.Context()) {
		if err != nil {
			t.Logf("after %d flows: %v", len(got), err)
			break
		}
		got = append(got, answerOf(f))
	}
	closed(t, m)
	return got
}

func referenceAnswers(t *testing.T, path string) []answer {
	t.Helper()
	want, err := captures.Lines[answer](path)
	if err != nil {
		t.Fatal(err)
	}
	return want
}

// compareAnswers lists the flows that only one side has, in order.
func compareAnswers(got, want []answer) (differing []string) {
	count := map[answer]int{}
	for _, a := range got {
		count[a]++
	}
	for _, a := range want {
		count[a]--
	}
	for a, n := range count {
		switch {
		case n > 0:
			differing = append(differing, fmt.Sprintf("%+v: only weir", a))
		case n < 0:
			differing = append(differing, fmt.Sprintf("%+v: only the reference", a))
		}
	}
	slices.Sort(differing)
	return differing
}
