package feature

import "math"

// tcpColumns are what the TCP headers say.
func tcpColumns() []Column {
	columns := []Column{
		{Field: Field{Name: "tcp_handshake_rtt_ms", Type: "f64", Unit: "ms",
			Definition: "time from the SYN to the ACK that ends the handshake: the round trip through both ends; unknown where the handshake was not seen"},
			Float: func(r *Row) float64 { return between(r, handshakeSYN, handshakeACK) }},
		{Field: Field{Name: "tcp_server_rtt_ms", Type: "f64", Unit: "ms",
			Definition: "time from the last SYN to the SYN-ACK: the round trip from here to the server"},
			Float: func(r *Row) float64 { return between(r, handshakeSYN, handshakeSYNACK) }},
		{Field: Field{Name: "tcp_client_rtt_ms", Type: "f64", Unit: "ms",
			Definition: "time from the last SYN-ACK to the ACK that answers it: the round trip from here to the client"},
			Float: func(r *Row) float64 { return between(r, handshakeSYNACK, handshakeACK) }},
	}
	for _, s := range scopes {
		columns = append(columns, tcpCounters(s)...)
	}
	for _, s := range scopes[1:] {
		columns = append(columns, tcpOffers(s)...)
	}
	return inGroup(GroupTCP, sourceWeir, columns)
}

// The steps of the handshake, by their bit in Record.Handshake.
const (
	handshakeSYN = iota
	handshakeSYNACK
	handshakeACK
)

// between is the time from one step of the handshake to another, in ms; NaN
// where one of them was not seen, or they came out of order.
func between(r *Row, from, to int) float64 {
	times := [...]uint64{r.Record.SynNs, r.Record.SynAckNs, r.Record.AckNs}
	if r.Record.Handshake>>from&1 == 0 || r.Record.Handshake>>to&1 == 0 || times[to] < times[from] {
		return math.NaN()
	}
	return float64(times[to]-times[from]) / nsPerMs
}

func tcpCounters(s scope) []Column {
	return []Column{
		{Field: Field{Name: s.name + "_retransmitted_packets", Type: "u64", Unit: "packets",
			Definition: "TCP packets " + s.of + " all of whose sequence numbers had been seen, as far as the latest gap tells; keep-alive probes are not counted"},
			Uint: func(r *Row) uint64 { return s.sum(r.Record.Tcp[0].Retransmitted, r.Record.Tcp[1].Retransmitted) }},
		{Field: Field{Name: s.name + "_out_of_order_packets", Type: "u64", Unit: "packets",
			Definition: "TCP packets " + s.of + " that came late: into the latest gap below the highest sequence number"},
			Uint: func(r *Row) uint64 { return s.sum(r.Record.Tcp[0].OutOfOrder, r.Record.Tcp[1].OutOfOrder) }},
		{Field: Field{Name: s.name + "_zero_window_packets", Type: "u64", Unit: "packets",
			Definition: "TCP packets " + s.of + " with a window of 0, SYN, FIN and RST not counted"},
			Uint: func(r *Row) uint64 { return s.sum(r.Record.Tcp[0].ZeroWindow, r.Record.Tcp[1].ZeroWindow) }},
	}
}

func tcpOffers(s scope) []Column {
	return []Column{
		{Field: Field{Name: s.name + "_initial_window", Type: "u16", Unit: "octets",
			Definition: "window in the first TCP packet " + s.of + " of the flow, as the header has it, RST left out", IPFIX: s.ipfix("", "tcpWindowSize (186)")},
			Uint: func(r *Row) uint64 { return uint64(r.Record.Tcp[s.dir].InitialWindow) }},
		{Field: Field{Name: s.name + "_mss", Type: "u16", Unit: "octets",
			Definition: "maximum segment size in the latest SYN " + s.of + ", 0 without one"},
			Uint: func(r *Row) uint64 { return uint64(r.Record.Tcp[s.dir].Mss) }},
	}
}
