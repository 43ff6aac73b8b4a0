package ipfix

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/netsampler/goflow2/v2/decoders/netflow"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/userspace"
	"github.com/weirflow/weir/userspace/feature"
)

var everything = feature.Columns(feature.Options{Statistics: true, TCP: true, IP: true, SPLT: 4, L7: true, L7Full: true, Tunnels: true})

var start = uint64(time.Date(2024, 2, 29, 23, 59, 58, 123456789, time.UTC).UnixNano())

// web is a TCP flow over IPv4 in two tags with packets both ways and a verdict.
func web() *userspace.Flow {
	return &userspace.Flow{
		Interface: "eth1",
		L7: &userspace.L7{ApplicationName: "HTTP.Wikipedia", ApplicationCategoryName: "Web", UserAgent: "curl/8.5.0", ContentType: "text/html",
			Details: &userspace.L7Details{HTTPMethod: "GET", HTTPURL: "de.wikipedia.org/", HTTPStatus: 200}},
		Record: bpf.Record{
			Key: bpf.Key{Addr: [2][16]byte{{192, 0, 2, 1}, {198, 51, 100, 7}}, Port: [2]uint16{49152, 80}, Protocol: 6, IpVersion: 4,
				VlanId: 7, VlanOuterId: 100},
			FlowId: 7, EndReason: uint8(bpf.WeirFlowEndReasonEND_IDLE),
			Dir: [2]bpf.Direction{
				{Packets: 2, Octets: 100, FirstNs: start, LastNs: start + 35_027_001, Flags: [8]uint64{1: 1, 4: 1}},
				{Packets: 1, Octets: 1500, FirstNs: start + 34_127_999, LastNs: start + 34_127_999, Flags: [8]uint64{0: 1, 4: 1}},
			},
			Mac: [2][6]byte{{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}},
			Tcp: [2]bpf.TCPDirection{{InitialWindow: 64240}, {InitialWindow: 65160}},
			Ip:  [2]bpf.IPDirection{{TtlMin: 63, TtlMax: 64}, {TtlMin: 57, TtlMax: 58}},
		},
	}
}

// ping is an ICMPv6 flow whose first packet came from the key's second end.
func ping() *userspace.Flow {
	f := web()
	f.L7, f.Interface = nil, ""
	f.Record.Key = bpf.Key{Addr: [2][16]byte{{0x20, 1, 0xd, 0xb8, 15: 1}, {0x20, 1, 0xd, 0xb8, 15: 2}}, Protocol: 58, IpVersion: 6, VlanId: 4094}
	f.Record.SrcEnd, f.Record.IcmpType, f.Record.IcmpCode = 1, 128, 3
	return f
}

// unanswered is a flow of one packet.
func unanswered() *userspace.Flow {
	f := web()
	f.Record.Key.Protocol, f.Record.Dir[1] = 17, bpf.Direction{}
	return f
}

// encode makes messages of the templates and flows.
func encode(e *Encoder, m *Messages, flows ...*userspace.Flow) (messages [][]byte) {
	records := e.AppendTemplates(nil)
	for _, f := range flows {
		records = e.AppendFlow(records, &feature.Row{Flow: f}, nil)
	}
	for len(records) > 0 {
		var message []byte
		message, records = m.Next(records)
		messages = append(messages, bytes.Clone(message))
	}
	return messages
}

// decode reads messages with a library that knows nothing of ours: for each record, its
// values by the names of elements, the reverse ones behind "reverse ".
func decode(t testing.TB, templates netflow.NetFlowTemplateSystem, messages ...[]byte) (records []map[string][]byte) {
	t.Helper()
	for i, message := range messages {
		var p netflow.IPFIXPacket
		if err := netflow.DecodeMessageVersion(bytes.NewBuffer(bytes.Clone(message)), templates, nil, &p); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
		for _, set := range p.FlowSets {
			switch set := set.(type) {
			case netflow.DataFlowSet:
				for _, r := range set.Records {
					records = append(records, named(r.Values))
				}
			case netflow.OptionsDataFlowSet:
				for _, r := range set.Records {
					records = append(records, named(append(r.ScopesValues, r.OptionsValues...)))
				}
			case netflow.TemplateFlowSet, netflow.IPFIXOptionsTemplateFlowSet:
			default:
				t.Fatalf("message %d holds a %T", i, set)
			}
		}
	}
	return records
}

func named(values []netflow.DataField) map[string][]byte {
	record := map[string][]byte{}
	for _, v := range values {
		name := nameOf(v.Type)
		if v.PenProvided {
			if v.Pen != 29305 {
				name = fmt.Sprintf("%d of ", v.Pen) + name
			}
			name = "reverse " + name
		}
		record[name] = v.Value.([]byte)
	}
	return record
}

// textOf is a value as the column of that name writes it.
func textOf(element string, value []byte) string {
	switch element = strings.TrimPrefix(element, "reverse "); {
	case strings.HasSuffix(element, "Address") && len(value) == 6:
		return net.HardwareAddr(value).String()
	case strings.HasSuffix(element, "Address"):
		a, _ := netip.AddrFromSlice(value)
		return a.String()
	case strings.HasSuffix(element, "Nanoseconds"):
		seconds, fraction := binary.BigEndian.Uint32(value), binary.BigEndian.Uint32(value[4:])
		if seconds == 0 {
			return "0"
		}
		cut, rounded := uint64(fraction)*1e9>>32, (uint64(fraction)*1e9+1<<31)>>32
		if cut != rounded {
			return fmt.Sprintf("%d or %d ns", cut, rounded)
		}
		return fmt.Sprintf("%d%09d", seconds-2208988800, cut)
	case strings.HasPrefix(element, "application"), strings.HasPrefix(element, "http") && element != "httpStatusCode", element == "interfaceName":
		return string(value)
	}
	n, _ := strconv.ParseUint(hex.EncodeToString(value), 16, 64)
	return strconv.FormatUint(n, 10)
}

// columnText is what a column says of a flow.
func columnText(f *userspace.Flow, name string) string {
	c, r := columnsByName()[name], &feature.Row{Flow: f}
	switch {
	case c.Name == "":
		return "no column " + name
	case c.Text != nil:
		return string([]rune(string(c.Text(nil, r)))) // U+FFFD for each octet that is not UTF-8
	}
	return strconv.FormatUint(c.Uint(r), 10)
}

var columnsByName = sync.OnceValue(func() map[string]feature.Column {
	all := map[string]feature.Column{}
	for _, c := range everything {
		all[c.Name] = c
	}
	return all
})

// alike are elements that have a column's value as it is, in each record.
var alike = map[string]string{
	"protocolIdentifier": "protocol", "ipVersion": "ip_version", "flowEndReason": "flow_end_reason", "flowId": "flow_uid",
	"interfaceName": "interface", "applicationName": "application_name", "applicationCategoryName": "application_category_name",
}

// expected is what the record of a flow has to say; of one of its directions, unless that is
// "both".
func expected(f *userspace.Flow, direction string) map[string]string {
	want := map[string]string{}
	for element, column := range alike {
		want[element] = columnText(f, column)
	}
	src, dst, forward := "src", "dst", "src2dst"
	if direction == "reverse" {
		src, dst, forward = "dst", "src", "dst2src"
	}
	version := "v" + columnText(f, "ip_version")
	want["sourceIP"+version+"Address"], want["destinationIP"+version+"Address"] = columnText(f, src+"_ip"), columnText(f, dst+"_ip")
	want["sourceMacAddress"], want["destinationMacAddress"] = columnText(f, src+"_mac"), columnText(f, dst+"_mac")
	outer, inner := columnText(f, "vlan_outer_id"), columnText(f, "vlan_id")
	if outer == "0" {
		outer, inner = inner, outer
	}
	want["vlanId"], want["dot1qVlanId"], want["dot1qCustomerVlanId"] = outer, outer, inner
	icmp := f.Record.Key.Protocol == 1 || f.Record.Key.Protocol == 58
	if icmp {
		want["icmpTypeIP"+version], want["icmpCodeIP"+version] = columnText(f, "icmp_type"), columnText(f, "icmp_code")
		want["icmpTypeCodeIP"+version] = strconv.Itoa(int(f.Record.IcmpType)<<8 | int(f.Record.IcmpCode))
	} else {
		want["sourceTransportPort"], want["destinationTransportPort"] = columnText(f, src+"_port"), columnText(f, dst+"_port")
		for element, column := range map[string]string{"httpUserAgent": "user_agent", "httpContentType": "content_type",
			"httpRequestMethod": "http_method", "httpRequestTarget": "http_url", "httpStatusCode": "http_status"} {
			want[element] = columnText(f, column)
		}
	}
	if direction == "both" {
		want["biflowDirection"] = "1"
		addTimes(want, f, "", "bidirectional", "ms", "Milliseconds")
		addTimes(want, f, "", "bidirectional", "ns", "Nanoseconds")
		addTimes(want, f, "reverse ", "dst2src", "ns", "Nanoseconds")
		addDirection(want, f, "", "src2dst", icmp)
		addDirection(want, f, "reverse ", "dst2src", icmp)
	} else {
		addTimes(want, f, "", forward, "ms", "Milliseconds")
		addTimes(want, f, "", forward, "ns", "Nanoseconds")
		addDirection(want, f, "", forward, icmp)
	}
	return want
}

func addTimes(want map[string]string, f *userspace.Flow, prefix, scope, unit, element string) {
	want[prefix+"flowStart"+element] = columnText(f, scope+"_first_seen_"+unit)
	want[prefix+"flowEnd"+element] = columnText(f, scope+"_last_seen_"+unit)
}

func addDirection(want map[string]string, f *userspace.Flow, prefix, scope string, icmp bool) {
	for element, column := range map[string]string{"packetDeltaCount": "packets", "octetDeltaCount": "bytes", "minimumTTL": "min_ttl", "maximumTTL": "max_ttl"} {
		want[prefix+element] = columnText(f, scope+"_"+column)
	}
	if icmp {
		return
	}
	bits := 0
	for bit, flag := range []string{"Fin", "Syn", "Rst", "Psh", "Ack", "Urg", "Ece", "Cwr"} {
		n := columnText(f, scope+"_"+strings.ToLower(flag)+"_packets")
		if n != "0" {
			bits |= 1 << bit
		}
		if bit < 6 {
			want[prefix+"tcp"+flag+"TotalCount"] = n
		}
	}
	want[prefix+"tcpControlBits"] = strconv.Itoa(bits)
	want[prefix+"tcpWindowSize"] = columnText(f, scope+"_initial_window")
}

// compare holds a record to what it has to say. Of a text that is too long it has the
// beginning.
func compare(t testing.TB, got map[string][]byte, want map[string]string) {
	t.Helper()
	for element, value := range got {
		text := textOf(element, value)
		w, known := want[element]
		if known && len(w) > textOctets && len(text) > textOctets-4 && strings.HasPrefix(w, text) {
			continue
		}
		if !known || text != w {
			t.Errorf("%s is %q, want %q", element, text, w)
		}
	}
	for element := range want {
		if _, sent := got[element]; !sent {
			t.Errorf("%s is missing", element)
		}
	}
}

// directions are the records of a flow that goes one way at a time.
func directions(f *userspace.Flow) (all []string) {
	if f.Record.Dir[0].Packets > 0 || f.Record.Dir[1].Packets == 0 {
		all = append(all, "forward")
	}
	if f.Record.Dir[1].Packets > 0 {
		all = append(all, "reverse")
	}
	return all
}

func check(t testing.TB, f *userspace.Flow, o *Options) {
	t.Helper()
	want := []string{"both"}
	if o.OneWay {
		want = directions(f)
	}
	e := NewEncoder(everything, o, DatagramOctets)
	records := decode(t, netflow.CreateTemplateSystem(), encode(e, NewMessages(o, DatagramOctets, time.Now), f)...)
	if len(records) != len(want) {
		t.Fatalf("%d records, want %d", len(records), len(want))
	}
	for i, direction := range want {
		compare(t, records[i], expected(f, direction))
	}
}

func TestRecordsSayWhatTheColumnsSay(t *testing.T) {
	onlyBack := web()
	onlyBack.Record.Dir[0] = bpf.Direction{}
	hostile := web()
	hostile.L7 = &userspace.L7{ApplicationName: "a\xffb", ApplicationCategoryName: strings.Repeat("ä", 127), UserAgent: strings.Repeat("x", 255),
		ContentType: strings.Repeat("\xff", 255), Details: &userspace.L7Details{HTTPURL: "x" + strings.Repeat("ä", 400)}}
	for name, f := range map[string]*userspace.Flow{
		"TCP over IPv4 in two tags": web(), "ICMPv6 from the second end": ping(), "one packet": unanswered(),
		"a part without packets forward": onlyBack, "no packets": {Record: bpf.Record{Key: bpf.Key{IpVersion: 4}}}, "hostile texts": hostile,
	} {
		for _, oneWay := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, one way %v", name, oneWay), func(t *testing.T) { check(t, f, &Options{OneWay: oneWay}) })
		}
	}
}

// FuzzRecordsSayWhatTheColumnsSay makes flows of any octets.
func FuzzRecordsSayWhatTheColumnsSay(f *testing.F) {
	f.Add([]byte{}, "", "", false)
	f.Add(bytes.Repeat([]byte{6, 4, 200, 1, 0, 80}, 50), "TLS", "a\xff\xfe", true)
	f.Add(bytes.Repeat([]byte{58, 6, 1}, 90), "ICMPV6", strings.Repeat("ä", 300), false)
	f.Fuzz(func(t *testing.T, octets []byte, label, long string, oneWay bool) {
		check(t, flowOf(octets, label, long), &Options{OneWay: oneWay})
	})
}

// flowOf fills a flow with octets, as far as they go.
func flowOf(octets []byte, label, long string) *userspace.Flow {
	take := func(n int) []byte {
		v := make([]byte, n)
		octets = octets[copy(v, octets):]
		return v
	}
	number := func(n int) (v uint64) {
		for _, b := range take(n) {
			v = v<<8 | uint64(b)
		}
		return v
	}
	f := &userspace.Flow{Interface: label, L7: &userspace.L7{ApplicationName: label, UserAgent: long, ContentType: label,
		Details: &userspace.L7Details{HTTPMethod: label, HTTPURL: long, HTTPStatus: uint32(number(2))}}}
	r := &f.Record
	r.Key.Protocol, r.Key.IpVersion = uint8(number(1)), 4+2*uint8(number(1)&1)
	for end := range 2 {
		copy(r.Key.Addr[end][:], take(16))
		if r.Key.IpVersion == 4 {
			clear(r.Key.Addr[end][4:])
		}
		copy(r.Mac[end][:], take(6))
		r.Key.Port[end] = uint16(number(2))
		r.Dir[end] = bpf.Direction{Packets: number(2), Octets: number(8), FirstNs: number(8) >> 1, LastNs: number(8) >> 1}
		for bit := range r.Dir[end].Flags {
			r.Dir[end].Flags[bit] = number(1)
		}
		r.Ip[end] = bpf.IPDirection{TtlMin: uint8(number(1)), TtlMax: uint8(number(1))}
		r.Tcp[end].InitialWindow = uint16(number(2))
		// A second of 32 bits, in NTP's first era.
		r.Dir[end].FirstNs %= (1<<32 - 2208988800) * 1_000_000_000
		r.Dir[end].LastNs %= (1<<32 - 2208988800) * 1_000_000_000
	}
	r.Key.VlanId, r.Key.VlanOuterId = uint16(number(2)&4095), uint16(number(2)&4095)
	r.SrcEnd, r.IcmpType, r.IcmpCode = uint8(number(1)&1), uint8(number(1)), uint8(number(1))
	r.EndReason, r.FlowId = uint8(number(1)), number(8)
	return f
}

// What is off is not in the templates.
func TestGroupsThatAreOffHaveNoElements(t *testing.T) {
	o := &Options{}
	e := NewEncoder(feature.Columns(feature.Options{}), o, DatagramOctets)
	records := decode(t, netflow.CreateTemplateSystem(), encode(e, NewMessages(o, DatagramOctets, time.Now), web())...)
	for _, element := range []string{"tcpControlBits", "tcpWindowSize", "minimumTTL", "applicationName", "httpStatusCode"} {
		if _, sent := records[0][element]; sent {
			t.Errorf("%s is sent", element)
		}
	}
	if got := textOf("packetDeltaCount", records[0]["packetDeltaCount"]); got != "2" {
		t.Errorf("packetDeltaCount is %s, want 2", got)
	}
}

// A column whose function panics costs its value only.
func TestValuesThatAreMissingAreZero(t *testing.T) {
	o := &Options{}
	e := NewEncoder(everything, o, DatagramOctets)
	missing := func(dst []byte, c *feature.Column, missing string, value func([]byte) []byte) []byte {
		if c.Name == "application_name" || c.Name == "src2dst_packets" {
			return append(dst, missing...)
		}
		return value(dst)
	}
	records := e.AppendFlow(e.AppendTemplates(nil), &feature.Row{Flow: web()}, missing)
	var messages [][]byte
	for m := NewMessages(o, DatagramOctets, time.Now); len(records) > 0; {
		var message []byte
		message, records = m.Next(records)
		messages = append(messages, bytes.Clone(message))
	}
	want := expected(web(), "both")
	want["applicationName"], want["packetDeltaCount"] = "", "0"
	compare(t, decode(t, netflow.CreateTemplateSystem(), messages...)[0], want)
}

func TestEncodingAllocatesNothing(t *testing.T) {
	for _, oneWay := range []bool{false, true} {
		o := &Options{OneWay: oneWay}
		e, m := NewEncoder(everything, o, DatagramOctets), NewMessages(o, DatagramOctets, time.Now)
		row, buffer := &feature.Row{Flow: web()}, make([]byte, 0, 4096)
		if n := testing.AllocsPerRun(100, func() {
			for records := e.AppendFlow(buffer, row, nil); len(records) > 0; {
				_, records = m.Next(records)
			}
		}); n != 0 {
			t.Errorf("a flow, one way %v, takes %v allocations", oneWay, n)
		}
	}
}

func BenchmarkFlow(b *testing.B) {
	for name, columns := range map[string][]feature.Column{"default": feature.Columns(feature.Options{L7: true, Tunnels: true}), "everything": everything} {
		b.Run(name, func(b *testing.B) {
			o := &Options{}
			e, m := NewEncoder(columns, o, DatagramOctets), NewMessages(o, DatagramOctets, time.Now)
			row, buffer := &feature.Row{Flow: web()}, make([]byte, 0, 4096)
			b.ReportAllocs()
			for b.Loop() {
				for records := e.AppendFlow(buffer, row, nil); len(records) > 0; {
					_, records = m.Next(records)
				}
			}
		})
	}
}
