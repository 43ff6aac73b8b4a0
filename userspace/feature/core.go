package feature

// nsPerMs converts times. Each time is cut to ms before anything is subtracted,
// as nfstream does it.
const nsPerMs = 1_000_000

func coreColumns(tunnels bool) []Column {
	columns := []Column{
		{Field: Field{Name: "id", Type: "u64", Definition: "rows of this output, counted from 0"},
			Uint: func(r *Row) uint64 { return r.ID }},
		{Field: Field{Name: "expiration_id", Type: "i8", Definition: "1 when the active timeout split the flow, -1 when a plug-in ended it, else 0"},
			Int: expirationID},
	}
	columns = append(columns, endColumns("src", "source", endOfSource)...)
	columns = append(columns, endColumns("dst", "destination", endOfDestination)...)
	columns = append(columns,
		Column{Field: Field{Name: "protocol", Type: "u8", Definition: "protocol of the transport header, after any IPv6 extension headers", IPFIX: "protocolIdentifier (4)"},
			Uint: func(r *Row) uint64 { return uint64(r.Record.Key.Protocol) }},
		Column{Field: Field{Name: "ip_version", Type: "u8", Definition: "4 or 6", IPFIX: "ipVersion (60)"},
			Uint: func(r *Row) uint64 { return uint64(r.Record.Key.IpVersion) }},
		Column{Field: Field{Name: "vlan_id", Type: "u16", Definition: "id of the innermost VLAN tag, 0 without one", IPFIX: "dot1qCustomerVlanId (245); of the only tag vlanId, dot1qVlanId (58, 243)"},
			Uint: func(r *Row) uint64 { return uint64(r.Record.Key.VlanId) }})
	if tunnels {
		columns = append(columns, Column{Field: Field{Name: "tunnel_id", Type: "u8",
			Definition: "kind of the outermost tunnel: 0 none, 1 GTP, 2 CAPWAP, 3 TZSP, 4 L2TP, 5 VXLAN, 6 GRE, 7 Geneve"},
			Uint: func(r *Row) uint64 { return uint64(r.Record.Key.TunnelId) }})
	}
	for _, s := range scopes {
		columns = append(columns, countColumns(s)...)
	}
	return inGroup(GroupCore, sourceNFStream, columns)
}

// An end picks which of a record's two ends a column speaks of: the index into
// the key, and into the MAC addresses, which are source first.
type end func(*Row) (key, mac uint8)

func endOfSource(r *Row) (uint8, uint8)      { return r.Record.SrcEnd & 1, 0 }
func endOfDestination(r *Row) (uint8, uint8) { return r.Record.SrcEnd&1 ^ 1, 1 }

func endColumns(prefix, name string, of end) []Column {
	return []Column{
		{Field: Field{Name: prefix + "_ip", Type: "text", Definition: "first packet's " + name + " address, as inet_ntop writes it",
			IPFIX: name + "IPv4Address, " + name + "IPv6Address " + map[string]string{"src": "(8, 27)", "dst": "(12, 28)"}[prefix]},
			Text: func(dst []byte, r *Row) []byte {
				k, _ := of(r)
				return appendAddress(dst, &r.Record.Key.Addr[k], r.Record.Key.IpVersion)
			}},
		{Field: Field{Name: prefix + "_mac", Type: "text", Definition: "first packet's " + name + " MAC address, zeros where the link type has none",
			IPFIX: name + "MacAddress " + map[string]string{"src": "(56)", "dst": "(80)"}[prefix]},
			Text: func(dst []byte, r *Row) []byte { _, m := of(r); return appendMAC(dst, r.Record.Mac[m][:]) }},
		{Field: Field{Name: prefix + "_oui", Type: "text", Definition: "first three octets of " + prefix + "_mac"},
			Text: func(dst []byte, r *Row) []byte { _, m := of(r); return appendMAC(dst, r.Record.Mac[m][:3]) }},
		{Field: Field{Name: prefix + "_port", Type: "u16", Definition: "first packet's " + name + " port, 0 where the protocol has none",
			IPFIX: name + "TransportPort " + map[string]string{"src": "(7)", "dst": "(11)"}[prefix]},
			Uint: func(r *Row) uint64 { k, _ := of(r); return uint64(r.Record.Key.Port[k]) }},
	}
}

func countColumns(s scope) []Column {
	return []Column{
		{Field: Field{Name: s.name + "_first_seen_ms", Type: "u64", Unit: "ms since 1970-01-01 UTC",
			Definition: "floor(t/1 ms) of the earliest packet " + s.of + s.none(), IPFIX: s.ipfix("flowStartMilliseconds (152)", "flowStartMilliseconds (152)")},
			Uint: func(r *Row) uint64 { return s.firstNs(&r.Record) / nsPerMs }},
		{Field: Field{Name: s.name + "_last_seen_ms", Type: "u64", Unit: "ms since 1970-01-01 UTC",
			Definition: "floor(t/1 ms) of the latest packet " + s.of + s.none(), IPFIX: s.ipfix("flowEndMilliseconds (153)", "flowEndMilliseconds (153)")},
			Uint: func(r *Row) uint64 { return s.lastNs(&r.Record) / nsPerMs }},
		{Field: Field{Name: s.name + "_duration_ms", Type: "u64", Unit: "ms",
			Definition: s.name + "_last_seen_ms - " + s.name + "_first_seen_ms", IPFIX: s.ipfix("flowDurationMilliseconds (161)", "flowDurationMilliseconds (161)")},
			Uint: func(r *Row) uint64 { return s.lastNs(&r.Record)/nsPerMs - s.firstNs(&r.Record)/nsPerMs }},
		{Field: Field{Name: s.name + "_packets", Type: "u64", Unit: "packets",
			Definition: "packets " + s.of, IPFIX: s.ipfix("", "packetDeltaCount (2)")},
			Uint: func(r *Row) uint64 { return s.packets(&r.Record) }},
		{Field: Field{Name: s.name + "_bytes", Type: "u64", Unit: "octets",
			Definition: "sum of the sizes of packets " + s.of + ", in the accounting mode", IPFIX: s.ipfix("", "octetDeltaCount (1)")},
			Uint: func(r *Row) uint64 { return s.octets(&r.Record) }},
	}
}

func inGroup(group, source string, columns []Column) []Column {
	for i := range columns {
		columns[i].Group, columns[i].Source = group, source
	}
	return columns
}
