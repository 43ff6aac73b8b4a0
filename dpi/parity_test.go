package dpi_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/weirflow/weir/dpi"
	capturefiles "github.com/weirflow/weir/tools/captures"
	"github.com/weirflow/weir/userspace"
	"github.com/weirflow/weir/userspace/pcapfile"
)

// TestMain makes the test binary the DPI process, as cmd/weir does.
func TestMain(m *testing.M) {
	// A process built with the race detector takes a second to end otherwise.
	os.Setenv("GORACE", "atexit_sleep_ms=0")
	if len(os.Args) > 1 {
		if open, ok := engines()[os.Args[1]]; ok {
			os.Exit(open())
		}
	}
	os.Exit(m.Run())
}

// An answer is what the reference says of a flow.
type answer struct {
	SrcIP      string `json:"src_ip"`
	DstIP      string `json:"dst_ip"`
	SrcPort    uint16 `json:"src_port"`
	DstPort    uint16 `json:"dst_port"`
	Protocol   uint8  `json:"protocol"`
	VLAN       uint16 `json:"vlan_id"`
	FirstMs    uint64 `json:"bidirectional_first_seen_ms"`
	Name       string `json:"application_name"`
	Category   string `json:"application_category_name"`
	Guessed    int    `json:"application_is_guessed"`
	Confidence uint8  `json:"application_confidence"`
	ServerName string `json:"requested_server_name"`
	Client     string `json:"client_fingerprint"`
	Server     string `json:"server_fingerprint"`
	UserAgent  string `json:"user_agent"`
	Content    string `json:"content_type"`
}

func (a *answer) key() string {
	return fmt.Sprintf("%s:%d>%s:%d/%d vlan %d at %d", a.SrcIP, a.SrcPort, a.DstIP, a.DstPort, a.Protocol, a.VLAN, a.FirstMs)
}

func (a *answer) labels() string {
	return fmt.Sprintf("%s (%s) guessed %d confidence %d host %q client %q server %q agent %q content %q",
		a.Name, a.Category, a.Guessed, a.Confidence, a.ServerName, a.Client, a.Server, a.UserAgent, a.Content)
}

func answerOf(f *userspace.Flow) answer {
	a := answer{
		SrcIP: f.Source().String(), DstIP: f.Destination().String(), SrcPort: f.SourcePort(), DstPort: f.DestinationPort(),
		Protocol: f.Record.Key.Protocol, VLAN: f.Record.Key.VlanId, FirstMs: userspace.FirstNs(&f.Record) / 1e6,
		Name: f.L7.ApplicationName, Category: f.L7.ApplicationCategoryName, Confidence: f.L7.ApplicationConfidence,
		ServerName: f.L7.RequestedServerName, Client: f.L7.ClientFingerprint, Server: f.L7.ServerFingerprint,
		UserAgent: f.L7.UserAgent, Content: f.L7.ContentType,
	}
	if f.L7.ApplicationIsGuessed {
		a.Guessed = 1
	}
	return a
}

func readAnswers(t *testing.T, path string) []answer {
	t.Helper()
	answers, err := capturefiles.Lines[answer](path)
	if err != nil {
		t.Fatal(err)
	}
	return answers
}

// isReferences tells whether the library is the release of which the answers are.
func isReferences() bool { return strings.HasPrefix(dpi.Version(), "4.2.") }

// TestLabelsEqualTheReference holds the verdicts against those of the reference
// on nDPI 4.2, flow by flow. Of another release, which knows other protocols, it
// wants every flow to have a whole verdict, and the same one a second time.
func TestLabelsEqualTheReference(t *testing.T) {
	needNDPI(t)
	paths, _ := filepath.Glob("../../shared/captures/*/*.jsonl")
	if len(paths) == 0 {
		t.Skip("no captures with the reference's answers at ../../shared/captures")
	}
	var paired, same int
	for _, path := range paths {
		p, s := compare(t, path)
		paired += p
		same += s
	}
	t.Logf("measured: nDPI %s against answers of 4.2", dpi.Version())
	t.Logf("%d flows paired, %d equal in all nine columns: %.3f %%", paired, same, 100*float64(same)/float64(paired))
	if paired < 3000 {
		t.Errorf("%d flows have a partner in the answers, want 3000", paired)
	}
}

// wantWhole wants of a verdict what holds for every release.
func wantWhole(t *testing.T, a *answer, l7 *userspace.L7) {
	t.Helper()
	if a.Name == "" || a.Category == "" || l7.Reason != "" {
		t.Errorf("%s: %s, reason %q", a.key(), a.labels(), l7.Reason)
	}
}

// captureOf is the capture that the answers in a file are about: "x.pcap.jsonl"
// is beside "x.pcap", and so is "x.option.jsonl".
func captureOf(answers string) string {
	path := strings.TrimSuffix(answers, ".jsonl")
	if _, err := os.Stat(path); err == nil {
		return path
	}
	return strings.TrimSuffix(path, filepath.Ext(path)) + ".pcap"
}

// openMeter is a meter over a capture, with nfstream's dissections.
func openMeter(t testing.TB, path string, w *dpi.Worker, tunnels bool) *userspace.Meter {
	t.Helper()
	packets, err := pcapfile.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { packets.Close() })
	c := userspace.DefaultConfig()
	c.Samples, c.SampleOctets, c.DecodeTunnels = dpi.DefaultDissections, userspace.SampleOctetsMax, tunnels
	m, err := userspace.NewMeter(packets, userspace.WithConfig(c), userspace.WithSamples(w.Sample))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if l := m.Ledger(); l.Check() != nil {
			t.Errorf("%s: %v", path, l.Check())
		}
	})
	return m
}

func compare(t *testing.T, path string) (paired, same int) {
	want := make(map[string][]answer)
	for _, a := range readAnswers(t, path) {
		want[a.key()] = append(want[a.key()], a)
	}
	w := start(t, dpi.Options{})
	defer w.Close()
	m := openMeter(t, captureOf(path), w, !strings.Contains(path, "decodetunnels_0"))
	for f, err := range w.Wrap(m, m).Flows(context.Background()) {
		if err != nil {
			t.Logf("%s: %v", filepath.Base(path), err)
			continue
		}
		a := answerOf(f)
		left := want[a.key()]
		if len(left) == 0 {
			continue
		}
		want[a.key()] = left[1:]
		paired++
		wantWhole(t, &a, f.L7)
		if a.labels() == left[0].labels() {
			same++
			continue
		}
		if !isReferences() {
			continue
		}
		t.Errorf("%s: %s\n\twant %s\n\tgot  %s", filepath.Base(path), a.key(), left[0].labels(), a.labels())
	}
	for key, left := range want {
		if len(left) > 0 {
			t.Logf("%s: %s: no such flow (%s)", filepath.Base(path), key, left[0].Name)
		}
	}
	if !isReferences() {
		again, first := verdicts(t, captureOf(path), dpi.Options{}), verdicts(t, captureOf(path), dpi.Options{})
		if !reflect.DeepEqual(again, first) {
			t.Errorf("%s: two runs differ in their labels", filepath.Base(path))
		}
	}
	if s := w.Stats(); s.Crashes+s.Hangs > 0 || s.Flows != m.Ledger().Flows {
		t.Errorf("%s: %+v over %d flows", filepath.Base(path), s, m.Ledger().Flows)
	}
	return paired, same
}
