package feature

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/userspace"
)

var everything = Options{Statistics: true, TCP: true, IP: true, SPLT: 20, L7: true, L7Full: true, Tunnels: true}

// request is a flow of three packets: out at 1.000000999 s with 60 octets, back
// after 34.127 ms with 1500, out again after another 0.9 ms with 40.
func request() *userspace.Flow {
	return &userspace.Flow{
		Interface: "veth0",
		Record: bpf.Record{
			Key: bpf.Key{
				Addr:   [2][16]byte{{192, 0, 2, 80}, {198, 51, 100, 7}},
				Port:   [2]uint16{443, 50000},
				VlanId: 12, VlanOuterId: 100, Protocol: 6, IpVersion: 4, TunnelId: 5,
			},
			FlowId: 9, Part: 2, SrcEnd: 1, EndReason: uint8(bpf.WeirFlowEndReasonEND_ACTIVE),
			IcmpType: 3, IcmpCode: 1, Fragments: 4,
			IatUs: 34127 + 900, IatSq: 34127*34127 + 900*900, IatMinUs: 900, IatMaxUs: 34127,
			Dir: [2]bpf.Direction{
				{Packets: 2, Octets: 100, FirstNs: 1_000_000_999, LastNs: 1_035_027_999, SizeSq: 60*60 + 40*40,
					IatUs: 35027, IatSq: 35027 * 35027, SizeMin: 40, SizeMax: 60, IatMinUs: 35027, IatMaxUs: 35027,
					Flags: [8]uint64{0, 1, 0, 0, 1}},
				{Packets: 1, Octets: 1500, FirstNs: 1_034_127_999, LastNs: 1_034_127_999, SizeSq: 1500 * 1500,
					SizeMin: 1500, SizeMax: 1500, Flags: [8]uint64{1, 1, 0, 0, 1, 0, 2, 3}},
			},
			Mac:       [2][6]byte{{2, 0, 0, 0, 0xab, 1}, {2, 0, 0, 0, 0, 2}},
			OuterAddr: [2][16]byte{{203, 0, 113, 1}, {203, 0, 113, 2}}, OuterIpVersion: 4, TunnelKey: 77,
			Handshake: 7, SynNs: 1_000_000_999, SynAckNs: 1_034_127_999, AckNs: 1_035_027_999,
			Tcp: [2]bpf.TCPDirection{
				{Retransmitted: 3, OutOfOrder: 1, ZeroWindow: 4, InitialWindow: 64240, Mss: 1460},
				{Retransmitted: 1, OutOfOrder: 5, ZeroWindow: 9, InitialWindow: 65160, Mss: 1440},
			},
			Ip:            [2]bpf.IPDirection{{TtlMin: 63, TtlMax: 64, TosMin: 0, TosMax: 16}, {TtlMin: 250, TtlMax: 250, TosMin: 2, TosMax: 184}},
			SpltDirection: 0b010, SpltSize: [20]uint32{60, 1500, 40}, SpltIatUs: [20]uint32{0, 34127, 900},
		},
	}
}

// values is the row as a map, with everything that is a number a float64.
func values(columns []Column, r *Row) map[string]any {
	all := make(map[string]any)
	for _, c := range columns {
		switch {
		case c.Uint != nil:
			all[c.Name] = float64(c.Uint(r))
		case c.Int != nil:
			all[c.Name] = float64(c.Int(r))
		case c.Float != nil:
			all[c.Name] = c.Float(r)
		case c.Text != nil:
			all[c.Name] = string(c.Text(nil, r))
		default:
			list := make([]float64, c.List.Length)
			for i := range list {
				list[i] = c.List.At(r, i)
			}
			all[c.Name] = fmt.Sprint(list)
		}
	}
	return all
}

func TestColumnsOfAFlow(t *testing.T) {
	o := everything
	o.SPLT = 5
	got := values(Columns(o), &Row{request(), 41})
	for name, want := range map[string]any{
		"id": 41., "expiration_id": 1., "flow_end_reason": 2., "flow_uid": 9., "flow_part": 2., "interface": "veth0",
		"tunnel_src_ip": "203.0.113.1", "tunnel_dst_ip": "203.0.113.2",
		"tcp_handshake_rtt_ms": 35.027, "tcp_server_rtt_ms": 34.127, "tcp_client_rtt_ms": 0.9,
		"bidirectional_retransmitted_packets": 4., "src2dst_retransmitted_packets": 3., "dst2src_retransmitted_packets": 1.,
		"bidirectional_out_of_order_packets": 6., "src2dst_out_of_order_packets": 1., "dst2src_out_of_order_packets": 5.,
		"bidirectional_zero_window_packets": 13., "src2dst_zero_window_packets": 4., "dst2src_zero_window_packets": 9.,
		"src2dst_initial_window": 64240., "dst2src_initial_window": 65160., "src2dst_mss": 1460., "dst2src_mss": 1440.,
		"src2dst_min_ttl": 63., "src2dst_max_ttl": 64., "dst2src_min_ttl": 250., "dst2src_max_ttl": 250.,
		"src2dst_min_tos": 0., "src2dst_max_tos": 16., "dst2src_min_tos": 2., "dst2src_max_tos": 184.,
		"src_ip": "198.51.100.7", "src_port": 50000., "src_mac": "02:00:00:00:ab:01", "src_oui": "02:00:00",
		"dst_ip": "192.0.2.80", "dst_port": 443., "dst_mac": "02:00:00:00:00:02", "dst_oui": "02:00:00",
		"protocol": 6., "ip_version": 4., "vlan_id": 12., "vlan_outer_id": 100., "tunnel_id": 5., "tunnel_key": 77.,
		"bidirectional_first_seen_ms": 1000., "bidirectional_last_seen_ms": 1035., "bidirectional_duration_ms": 35.,
		"bidirectional_packets": 3., "bidirectional_bytes": 1600.,
		"src2dst_first_seen_ms": 1000., "src2dst_last_seen_ms": 1035., "src2dst_duration_ms": 35., "src2dst_packets": 2., "src2dst_bytes": 100.,
		"dst2src_first_seen_ms": 1034., "dst2src_last_seen_ms": 1034., "dst2src_duration_ms": 0., "dst2src_packets": 1., "dst2src_bytes": 1500.,
		"bidirectional_min_ps": 40., "bidirectional_max_ps": 1500., "bidirectional_mean_ps": 1600. / 3,
		"bidirectional_stddev_ps": math.Sqrt((3*(60*60+40*40+1500*1500) - 1600*1600) / 6.),
		"src2dst_min_ps":          40., "src2dst_max_ps": 60., "src2dst_mean_ps": 50., "src2dst_stddev_ps": math.Sqrt(200),
		"dst2src_min_ps": 1500., "dst2src_max_ps": 1500., "dst2src_mean_ps": 1500., "dst2src_stddev_ps": 0.,
		"bidirectional_min_piat_ms": 0.9, "bidirectional_max_piat_ms": 34.127, "bidirectional_mean_piat_ms": 17.5135,
		"src2dst_min_piat_ms": 35.027, "src2dst_max_piat_ms": 35.027, "src2dst_mean_piat_ms": 35.027, "src2dst_stddev_piat_ms": 0.,
		"dst2src_min_piat_ms": 0., "dst2src_max_piat_ms": 0., "dst2src_mean_piat_ms": 0., "dst2src_stddev_piat_ms": 0.,
		"bidirectional_syn_packets": 2., "src2dst_syn_packets": 1., "dst2src_fin_packets": 1., "src2dst_fin_packets": 0.,
		"bidirectional_ack_packets": 2., "dst2src_ece_packets": 2., "dst2src_cwr_packets": 3., "bidirectional_urg_packets": 0.,
		"splt_direction": "[0 1 0 -1 -1]", "splt_ps": "[60 1500 40 -1 -1]", "splt_piat_ms": "[0 34.127 0.9 -1 -1]",
		"application_name": "Unknown", "application_category_name": "Unspecified", "application_is_guessed": 0., "application_confidence": 0., "user_agent": "",
		"bidirectional_first_seen_ns": 1000000999., "dst2src_last_seen_ns": 1034127999.,
		"fragments": 4., "icmp_type": 3., "icmp_code": 1.,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s = %v, want %v", name, v, want)
		}
	}
}

func TestReverseColumnsAreZeroWhenNothingCameBack(t *testing.T) {
	f := request()
	f.Record.Dir[1], f.Record.Tcp[1], f.Record.Ip[1] = bpf.Direction{}, bpf.TCPDirection{}, bpf.IPDirection{}
	for name, v := range values(Columns(everything), &Row{f, 0}) {
		if strings.HasPrefix(name, "dst2src_") && v != 0. {
			t.Errorf("%s = %v, want 0", name, v)
		}
	}
	got := values(Columns(everything), &Row{f, 0})
	if got["bidirectional_min_ps"] != 40. || got["bidirectional_first_seen_ns"] != 1000000999. {
		t.Errorf("both directions: least size %v, first seen %v; the empty direction must not count", got["bidirectional_min_ps"], got["bidirectional_first_seen_ns"])
	}
}

// A step at the time 0 was seen; one that was not seen has no time.
func TestTimesOfAHandshakeThatWasNotSeenAreUnknown(t *testing.T) {
	f := &userspace.Flow{Record: bpf.Record{Handshake: 0b011, SynNs: 0, SynAckNs: 2_500_000}}
	got := values(tcpColumns(), &Row{f, 0})
	if got["tcp_server_rtt_ms"] != 2.5 || !math.IsNaN(got["tcp_client_rtt_ms"].(float64)) || !math.IsNaN(got["tcp_handshake_rtt_ms"].(float64)) {
		t.Errorf("%v", got)
	}
}

func TestVerdictFillsTheL7Columns(t *testing.T) {
	f := request()
	f.L7 = &userspace.L7{ApplicationName: "TLS.Example", ApplicationCategoryName: "Web", ApplicationIsGuessed: true, ApplicationConfidence: 6,
		RequestedServerName: "example.org", ClientFingerprint: "c", ServerFingerprint: "s", UserAgent: "u", ContentType: "t"}
	got := values(l7Columns(), &Row{f, 0})
	want := map[string]any{"application_name": "TLS.Example", "application_category_name": "Web", "application_is_guessed": 1., "application_confidence": 6.,
		"requested_server_name": "example.org", "client_fingerprint": "c", "server_fingerprint": "s", "user_agent": "u", "content_type": "t"}
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("%s = %v, want %v", name, got[name], want[name])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d L7 columns, want %d", len(got), len(want))
	}
}

func TestDetailsFillTheirColumns(t *testing.T) {
	f := request()
	f.L7 = &userspace.L7{Reason: "evicted", Details: &userspace.L7Details{
		Samples: 3, Risks: []string{"One", "Two; three"}, RiskScore: 110, JA4: "t13d", HTTPStatus: 404, CertificateNotAfter: 1700000000,
		DNSAnswers: []string{"192.0.2.1", "b.example"}, STUNMapped: "192.0.2.1:5",
	}}
	for name, want := range map[string]any{
		"l7_status": "evicted", "l7_samples": 3., "risks": "One;Two, three", "risk_score": 110., "ja4": "t13d", "http_status": 404.,
		"tls_certificate_not_after": 1.7e9, "dns_answers": "192.0.2.1;b.example", "stun_mapped_address": "192.0.2.1:5", "http_url": "",
	} {
		if got := values(l7FullColumns(), &Row{f, 0})[name]; got != want {
			t.Errorf("%s = %v, want %v", name, got, want)
		}
	}
	f.L7 = nil
	for name, got := range values(l7FullColumns(), &Row{f, 0}) {
		if got != "" && got != 0. {
			t.Errorf("of a flow that was not classified, %s = %v", name, got)
		}
	}
}

func TestEveryColumnOfClassificationSaysWhoFillsIt(t *testing.T) {
	for _, c := range Columns(everything) {
		if of := c.Group == GroupL7 || c.Group == GroupL7Full; of != (c.Learnt != "") {
			t.Errorf("column %s of group %s is learnt by %q", c.Name, c.Group, c.Learnt)
		}
	}
}

func TestGroupsThatAreOffAreAbsent(t *testing.T) {
	for _, c := range []struct {
		name    string
		options Options
		columns int
	}{
		{"core and weir's own", Options{}, 28 + 15},
		{"tunnels", Options{Tunnels: true}, 29 + 18},
		{"statistics", Options{Statistics: true}, 28 + 48 + 15},
		{"tcp", Options{TCP: true}, 28 + 16 + 15},
		{"ip", Options{IP: true}, 28 + 8 + 15},
		{"splt", Options{SPLT: 1}, 28 + 3 + 15},
		{"l7", Options{L7: true}, 28 + 9 + 15},
		{"l7_full", Options{L7: true, L7Full: true}, 28 + 9 + 40 + 15},
	} {
		if got := len(Columns(c.options)); got != c.columns {
			t.Errorf("%s: %d columns, want %d", c.name, got, c.columns)
		}
	}
}

func TestEveryColumnIsDescribedAndHasOneValue(t *testing.T) {
	seen := make(map[string]bool)
	for _, c := range Columns(everything) {
		if c.Type == "" || c.Group == "" || c.Definition == "" || c.Source == "" || seen[c.Name] {
			t.Errorf("column %q lacks a description, or comes twice: %+v", c.Name, c.Field)
		}
		seen[c.Name] = true
		set := 0
		for _, has := range []bool{c.Uint != nil, c.Int != nil, c.Float != nil, c.Text != nil, c.List != nil} {
			if has {
				set++
			}
		}
		if set != 1 {
			t.Errorf("column %s has %d values, want 1", c.Name, set)
		}
	}
}

func TestOrderOfColumnsIsTheReferences(t *testing.T) {
	for _, c := range []struct {
		path    string
		options Options
	}{
		{"testdata/reference_columns.json", everything},
		{"../../../shared/captures/nfstream/6in6tunnel.pcap.jsonl", everything},
		{"../../../shared/captures/cases/gtp.decodetunnels_0.jsonl", Options{Statistics: true, SPLT: 20, L7: true}},
	} {
		t.Run(filepath.Base(c.path), func(t *testing.T) {
			line, err := os.ReadFile(c.path)
			if os.IsNotExist(err) && !strings.HasPrefix(c.path, "testdata") {
				t.Skip("the reference's captures are not beside the repository; testdata/ holds its order too")
			} else if err != nil {
				t.Fatal(err)
			}
			want := keysOf(t, line)
			var got []string
			for _, f := range Schema(c.options) {
				if f.Source == sourceNFStream {
					got = append(got, f.Name)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("columns\n%v\nwant\n%v", got, want)
			}
		})
	}
}

// keysOf lists the keys of the first JSON object in their order.
func keysOf(t *testing.T, object []byte) (keys []string) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(object))
	if _, err := d.Token(); err != nil {
		t.Fatal(err)
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key.(string))
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			t.Fatal(err)
		}
	}
	return keys
}

func TestValuesDoNotAllocate(t *testing.T) {
	columns, row, text := Columns(everything), &Row{request(), 0}, make([]byte, 0, 256)
	allocations := testing.AllocsPerRun(100, func() {
		for i := range columns {
			switch c := &columns[i]; {
			case c.Uint != nil:
				c.Uint(row)
			case c.Float != nil:
				c.Float(row)
			case c.Text != nil:
				c.Text(text, row)
			case c.List != nil:
				c.List.At(row, 1)
			}
		}
	})
	if allocations != 0 {
		t.Errorf("%v allocations a flow, want 0", allocations)
	}
}
