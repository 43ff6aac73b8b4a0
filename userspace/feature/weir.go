package feature

import "github.com/weirflow/weir/bpf"

func weirColumns(tunnels bool) []Column {
	var columns []Column
	for _, s := range scopes {
		columns = append(columns, timeColumns(s)...)
	}
	columns = append(columns, Column{Field: Field{Name: "vlan_outer_id", Type: "u16",
		Definition: "id of the outermost VLAN tag, 0 with fewer than two tags", IPFIX: "vlanId, dot1qVlanId (58, 243)"},
		Uint: func(r *Row) uint64 { return uint64(r.Record.Key.VlanOuterId) }})
	if tunnels {
		columns = append(columns, Column{Field: Field{Name: "tunnel_key", Type: "u32",
			Definition: "what tells tunnels of a kind apart: GTP TEID, L2TP tunnel << 16 | session, VXLAN or Geneve VNI, GRE key, ERSPAN session, PPTP call; of the first packet's outermost tunnel"},
			Uint: func(r *Row) uint64 { return uint64(r.Record.TunnelKey) }},
			outerColumn("tunnel_src_ip", "source", 0), outerColumn("tunnel_dst_ip", "destination", 1))
	}
	columns = append(columns,
		Column{Field: Field{Name: "fragments", Type: "u64", Unit: "packets", Definition: "later IP fragments among the packets; they are metered under ports 0"},
			Uint: func(r *Row) uint64 { return r.Record.Fragments }},
		Column{Field: Field{Name: "icmp_type", Type: "u8", Definition: "ICMP or ICMPv6 type of the first packet, else 0", IPFIX: "icmpTypeIPv4, icmpTypeIPv6 (176, 178); with the code icmpTypeCodeIPv4, icmpTypeCodeIPv6 (32, 139)"},
			Uint: func(r *Row) uint64 { return uint64(r.Record.IcmpType) }},
		Column{Field: Field{Name: "icmp_code", Type: "u8", Definition: "ICMP or ICMPv6 code of the first packet, else 0", IPFIX: "icmpCodeIPv4, icmpCodeIPv6 (177, 179)"},
			Uint: func(r *Row) uint64 { return uint64(r.Record.IcmpCode) }},
		Column{Field: Field{Name: "flow_end_reason", Type: "u8", Definition: "1 idle timeout, 2 active timeout, 3 end of flow, 4 forced end, 5 lack of resources", IPFIX: "flowEndReason (136)"},
			Uint: func(r *Row) uint64 { return uint64(r.Record.EndReason) }},
		Column{Field: Field{Name: "flow_uid", Type: "u64", Definition: "number of the flow in this run of the meter; the parts of a flow that the active timeout split share it", IPFIX: "flowId (148)"},
			Uint: func(r *Row) uint64 { return r.Record.FlowId }},
		Column{Field: Field{Name: "flow_part", Type: "u32", Definition: "parts of the same flow before this one"},
			Uint: func(r *Row) uint64 { return uint64(r.Record.Part) }},
		Column{Field: Field{Name: "interface", Type: "text", Definition: "interface that the packets were seen on, by the name that it was attached under; empty for a file that names none", IPFIX: "interfaceName (82)"},
			Text: func(dst []byte, r *Row) []byte { return append(dst, r.Interface...) }},
		Column{Field: Field{Name: "community_id", Type: "text", Definition: "Community ID version 1, seed 0, of the flow's addresses, protocol and ports, for ICMP of the first packet's type and code; of later fragments with ports 0"},
			Text: appendCommunityID},
	)
	return inGroup(GroupWeir, sourceWeir, columns)
}

func outerColumn(name, end string, i int) Column {
	return Column{Field: Field{Name: name, Type: "text",
		Definition: end + " address in the outermost IP header around the first packet, IP in IP included; empty without a tunnel"},
		Text: func(dst []byte, r *Row) []byte {
			if r.Record.OuterIpVersion == 0 {
				return dst
			}
			return appendAddress(dst, &r.Record.OuterAddr[i], r.Record.OuterIpVersion)
		}}
}

func timeColumns(s scope) []Column {
	return []Column{
		{Field: Field{Name: s.name + "_first_seen_ns", Type: "u64", Unit: "ns since 1970-01-01 UTC",
			Definition: "time of the earliest packet " + s.of + s.none(), IPFIX: s.ipfix("flowStartNanoseconds (156)", "flowStartNanoseconds (156)")},
			Uint: func(r *Row) uint64 { return s.firstNs(&r.Record) }},
		{Field: Field{Name: s.name + "_last_seen_ns", Type: "u64", Unit: "ns since 1970-01-01 UTC",
			Definition: "time of the latest packet " + s.of + s.none(), IPFIX: s.ipfix("flowEndNanoseconds (157)", "flowEndNanoseconds (157)")},
			Uint: func(r *Row) uint64 { return s.lastNs(&r.Record) }},
	}
}

func expirationID(r *Row) int64 {
	if r.EndReason() == bpf.WeirFlowEndReasonEND_ACTIVE {
		return 1
	}
	return 0
}
