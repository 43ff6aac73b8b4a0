package feature

// ipColumns are what the IP headers say, of each direction.
func ipColumns() []Column {
	var columns []Column
	for _, s := range scopes[1:] {
		columns = append(columns,
			Column{Field: Field{Name: s.name + "_min_ttl", Type: "u8",
				Definition: "least TTL or hop limit in the innermost IP header of packets " + s.of + ", 0 without a packet", IPFIX: s.ipfix("", "minimumTTL (52)")},
				Uint: func(r *Row) uint64 { return uint64(r.Record.Ip[s.dir].TtlMin) }},
			Column{Field: Field{Name: s.name + "_max_ttl", Type: "u8",
				Definition: "greatest TTL or hop limit in the innermost IP header of packets " + s.of + ", 0 without a packet", IPFIX: s.ipfix("", "maximumTTL (53)")},
				Uint: func(r *Row) uint64 { return uint64(r.Record.Ip[s.dir].TtlMax) }},
			Column{Field: Field{Name: s.name + "_min_tos", Type: "u8",
				Definition: "least type of service (IPv4) or traffic class (IPv6) octet in the innermost IP header of packets " + s.of + ", 0 without a packet"},
				Uint: func(r *Row) uint64 { return uint64(r.Record.Ip[s.dir].TosMin) }},
			Column{Field: Field{Name: s.name + "_max_tos", Type: "u8",
				Definition: "greatest type of service or traffic class octet in the innermost IP header of packets " + s.of + ", 0 without a packet"},
				Uint: func(r *Row) uint64 { return uint64(r.Record.Ip[s.dir].TosMax) }},
		)
	}
	return inGroup(GroupIP, sourceWeir, columns)
}
