package main

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/weirflow/weir/bpf"
)

// TestLabelsEqualNdpiReaders runs ndpiReader 4.2 over every capture there is, and
// wants all of its labels. With another nDPI, which has other labels, it wants the
// same flows, each with a whole verdict.
func TestLabelsEqualNdpiReaders(t *testing.T) {
	needNDPI(t)
	folders := []string{projectCaptures}
	if _, err := os.Stat(referenceCaptures); err == nil {
		folders = append(folders, referenceCaptures)
	}
	for _, tunnels := range []bool{false, true} {
		r, err := runReader(t.Context(), folders, tunnels)
		if err != nil {
			t.Fatal(err)
		}
		t.Log(printed(r))
		if !r.matched() {
			t.Errorf("tunnels %v: fewer of ndpiReader's flows than wanted are there, or some without a whole verdict", tunnels)
		}
		if needOracle() != nil {
			continue
		}
		wantExceptions(t, r)
		if !r.met() {
			t.Errorf("tunnels %v: some flows have other labels than ndpiReader's", tunnels)
		}
	}
}

func TestReaderLinesAreRead(t *testing.T) {
	plain := row{"src_ip": "192.0.2.1", "src_port": 47748.0, "dst_ip": "192.0.2.2", "dst_port": 443.0, "protocol": 6.0,
		"vlan_id": 0.0, "tunnel_id": 0.0, "application_name": "TLS", "application_confidence": 4.0, "application_category_name": "Web",
		"bidirectional_packets": 50.0, "requested_server_name": "", "client_fingerprint": "", "server_fingerprint": ""}
	with := func(columns ...any) row {
		r := maps.Clone(plain)
		for i := 0; i < len(columns); i += 2 {
			r[columns[i].(string)] = columns[i+1]
		}
		return r
	}
	const ends = "\t1\tTCP 192.0.2.1:47748 <-> 192.0.2.2:443 "
	for _, c := range []struct {
		name, line string
		want       row
	}{
		{"TLS", ends + "[proto: 91/TLS][Encrypted][Confidence: DPI][cat: Web/5][16 pkts/1532 bytes <-> 34 pkts/42818 bytes][Goodput ratio: 31/95][0.00 sec]" +
			"[Hostname/SNI: www.weir.example][ALPN: http/1.1][TLSv1.2][JA3C: 87b9bfc7da97115ed2276737b09f8d74 (WEAK)][JA3S: 263c859c5391203d774bc0599793d915][Plen Bins: 2]",
			with("requested_server_name", "www.weir.example", "client_fingerprint", "87b9bfc7da97115ed2276737b09f8d74", "server_fingerprint", "263c859c5391203d774bc0599793d915")},
		{"a VLAN, a tunnel, a master", "\t4\tUDP 7.7.7.7:7 -> 8.8.8.8:8 [VLAN: 77][proto: GTP:5.126/DNS.Google][ClearText][Confidence: Match by IP][cat: Web/5][1 pkts/88 bytes -> 0 pkts/0 bytes][< 1 sec]",
			with("src_ip", "7.7.7.7", "src_port", 7.0, "dst_ip", "8.8.8.8", "dst_port", 8.0, "protocol", 17.0, "vlan_id", 77.0, "tunnel_id", 1.0,
				"application_name", "DNS.Google", "application_confidence", 2.0, "bidirectional_packets", 1.0)},
		{"no category, a numbered protocol, IPv6", "\t1\t132 [2001:db8::1]:0 -> [::]:0 [proto: 0/Unknown][ClearText][Confidence: Unknown][1 pkts/62 bytes -> 0 pkts/0 bytes]",
			with("src_ip", "2001:db8::1", "src_port", 0.0, "dst_ip", "::", "dst_port", 0.0, "protocol", 132.0, "application_name", "Unknown",
				"application_confidence", 0.0, "application_category_name", "Unspecified", "bidirectional_packets", 1.0)},
		{"a host that plays a label", ends + "[proto: 7/HTTP][ClearText][Confidence: DPI (cache)][cat: Web/5][2 pkts/184 bytes <-> 2 pkts/184 bytes][0.00 sec]" +
			"[Hostname/SNI: a][cat: Evil/1][URL: x][Plen Bins: 0]",
			with("application_name", "HTTP", "application_confidence", 3.0, "bidirectional_packets", 4.0, "requested_server_name", "a")},
		{"a host behind who logs in", ends + "[proto: 7/HTTP][ClearText][Confidence: DPI][cat: Web/5][1 pkts/9 bytes -> 0 pkts/0 bytes][0.10 sec]" +
			"[Username: a][Password: b c][Hostname/SNI: weir.example][Plen Bins: 0]",
			with("application_name", "HTTP", "bidirectional_packets", 1.0, "requested_server_name", "weir.example")},
		{"a line that is none", "Guessed flow protos:\t1", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			rows, err := parseReader([]byte("\nUnknown\t1\t99\t1\n" + c.line + "\n"))
			if err != nil || len(rows) > 1 {
				t.Fatalf("%v, %v", rows, err)
			}
			if len(rows) == 0 && c.want != nil || len(rows) == 1 && !reflect.DeepEqual(rows[0], c.want) {
				t.Errorf("got  %v\nwant %v", rows, c.want)
			}
		})
	}
	if _, err := parseReader([]byte(ends + "[proto: 91/TLS][Confidence: Guesswork][1 pkts/1 bytes -> 0 pkts/0 bytes]\n")); err == nil {
		t.Error("a confidence that is none is read")
	}
}

// A folder of captures may hold anything, and whatever its name is: each is
// compared as far as that goes, and none keeps the others from it.
func TestFilesThatAreNoCapturesKeepNoneFromBeingCompared(t *testing.T) {
	needNDPI(t)
	dir := t.TempDir()
	sound, err := os.ReadFile(projectCaptures + "/dns-udp/dns-udp.pcap")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"empty.pcap": nil, "cut-header.pcap": sound[:10], "no-packet.pcap": sound[:24], "cut.pcap": sound[:len(sound)-5],
		"text.cap": []byte("this is no capture at all"), "-i a,b [1] 'é.pcap": sound,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("nowhere", filepath.Join(dir, "dangling.pcap")); err != nil {
		t.Fatal(err)
	}
	r, err := runReader(t.Context(), []string{dir}, false)
	if err != nil {
		t.Fatal(err)
	}
	compared := map[string]bool{"cut.pcap": true, "-i a,b [1] 'é.pcap": true}
	for _, c := range r.results {
		name := filepath.Base(c.name)
		if (c.why == "") != compared[name] || (c.paired > 0) != compared[name] || c.paired != c.theirs || c.failed != 0 {
			t.Errorf("%s: %d of %d flows paired (%s)", name, c.paired, c.theirs, c.why)
		}
	}
	if len(r.results) != 7 || !r.matched() {
		t.Errorf("%d captures, enough of them paired: %v", len(r.results), r.matched())
	}
}

// A flow that weir has not got because it could not read the capture is missing.
func TestWhatOnlyNdpiReaderReadsIsMissing(t *testing.T) {
	c := &testCase{capture: filepath.Join(t.TempDir(), "none.pcap"), frames: newFrames()}
	r := &readerResult{theirs: 1}
	if rows, err := r.readerOurs(t.Context(), c); err != nil || len(rows) != 0 || r.why == "" || r.failed != 0 {
		t.Errorf("%v, %v: %+v", rows, err, r)
	}
	if (&readerReport{results: []*readerResult{r, {theirs: 1, paired: 1, equal: 1}}}).met() {
		t.Error("the mark is met without the flow")
	}
}

func TestReaderMarksAreHeld(t *testing.T) {
	for _, c := range []struct {
		name string
		sum  readerResult
		met  bool
	}{
		{"nothing", readerResult{}, false},
		{"all", readerResult{theirs: 1000, paired: 1000, equal: 1000}, true},
		{"one of a thousand not paired", readerResult{theirs: 1000, paired: 999, equal: 999}, true},
		{"two of a thousand not paired", readerResult{theirs: 1000, paired: 998, equal: 998}, false},
		{"two not paired, by a rule", readerResult{theirs: 1000, paired: 998, equal: 998, missing: 2}, true},
		{"one with another label", readerResult{theirs: 1000, paired: 1000, equal: 999}, false},
		{"one without a whole verdict", readerResult{theirs: 1000, paired: 1000, equal: 1000, broken: 1}, false},
		{"one capture without an end", readerResult{theirs: 1000, paired: 1000, equal: 1000, failed: 1}, false},
		{"one with another text, by a rule", readerResult{theirs: 1000, paired: 1000, equal: 999, excused: 1}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if r := (&readerReport{results: []*readerResult{&c.sum}}); r.met() != c.met {
				t.Errorf("met is %v", r.met())
			}
		})
	}
}

func TestWhatNdpiReaderDoesItselfHasItsRule(t *testing.T) {
	const v6 = "2001:db8:0:1::2"
	c := &testCase{frames: newFrames()}
	of := tupleOfRow(row{"src_ip": "2001:db8::1", "src_port": 40000.0, "dst_ip": v6, "dst_port": 443.0, "protocol": 6.0})
	c.frames.ours[of.key()] = nil
	label := func(name, client, server string) row {
		return row{"src_ip": "2001:db8::1", "src_port": 40000.0, "dst_ip": v6, "dst_port": 443.0, "protocol": 6.0,
			"application_name": name, "client_fingerprint": client, "server_fingerprint": server}
	}
	elsewhere, more := label("TLS", "", ""), label("TLS", "", "")
	elsewhere["dst_ip"], more["bidirectional_packets"] = "2001:db8:0:9::2", 2.0
	for _, x := range []struct {
		name, column string
		want, got    row
		rule         rule
	}{
		{"DTLS, the server's way", "server_fingerprint", label("DTLS", "", ""), label("DTLS", "", "s"), clientsJA3},
		{"DTLS, both ways", "server_fingerprint", label("DTLS", "c", ""), label("DTLS", "c", "s"), ""},
		{"TLS, the server's way", "server_fingerprint", label("TLS.Google", "", ""), label("TLS.Google", "", "s"), ""},
		{"a call over DTLS", "server_fingerprint", label("STUN", "c", "s"), label("STUN", "", ""), clientsJA3},
		{"another server of SSH", "server_fingerprint", label("SSH", "", "s"), label("SSH", "", "x"), ""},
		{"another label", "application_name", label("STUN", "c", "s"), label("DTLS", "", ""), ""},
		{"more packets, and a flow of the same halves", "application_name", more, elsewhere, halfAddresses},
		{"more packets, and no such flow", "application_name", more, label("TLS", "", ""), ""},
		{"as many packets", "application_name", label("TLS.x", "", ""), elsewhere, ""},
	} {
		if got := c.readerRule(t.Context(), x.column, x.want, x.got); got != x.rule {
			t.Errorf("%s: the rule is %q, want %q", x.name, got, x.rule)
		}
	}
}

func TestWhatBecameOfAFlowsFramesIsTold(t *testing.T) {
	f := newFrames()
	at := tupleOfRow(flow("192.0.2.2", 80, 1)).key()
	f.theirs[at] = []*frame{
		{number: 1, status: bpf.WeirDecodeStatusSTATUS_IP_MALFORMED},
		{number: 2, metered: true, ours: tupleOfRow(flow("192.0.2.9", 53, 1))},
		{number: 3}, {number: 4}, {number: 5},
	}
	if f.became(flow("192.0.2.3", 80, 1)) != "" {
		t.Error("a flow without frames became something")
	}
	want := "frame 1 is ignored as ip_malformed, frame 2 is metered as 192.0.2.1:40000 and 192.0.2.9:53/6 vlan 0, frame 3 is ignored as ok, and 2 more"
	if got := f.became(flow("192.0.2.2", 80, 1)); got != want {
		t.Errorf("%q", got)
	}
}
