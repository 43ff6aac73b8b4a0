package feature

// spltColumns are vectors over the flow's first n packets: sequence of packet
// lengths and times.
func spltColumns(n int) []Column {
	const tail = "; -1 past the last packet"
	return inGroup(GroupSPLT, sourceNFStream, []Column{
		{Field: Field{Name: "splt_direction", Type: "list of i8", Definition: "0 src to dst, 1 dst to src, of each of the first packets" + tail},
			List: &Vector{n, orTail(func(r *Row, i int) float64 { return float64(r.Record.SpltDirection >> i & 1) })}},
		{Field: Field{Name: "splt_ps", Type: "list of i64", Unit: "octets", Definition: "size of each of the first packets, in the accounting mode" + tail},
			List: &Vector{n, orTail(func(r *Row, i int) float64 { return float64(r.Record.SpltSize[i]) })}},
		{Field: Field{Name: "splt_piat_ms", Type: "list of f64", Unit: "ms", Definition: "gap between each of the first packets and the one before, in either direction; 0 for the first" + tail},
			List: &Vector{n, orTail(func(r *Row, i int) float64 { return float64(r.Record.SpltIatUs[i]) / usPerMs })}},
	})
}

// orTail answers -1 for packets that the flow, or a record, does not have.
func orTail(at func(*Row, int) float64) func(*Row, int) float64 {
	return func(r *Row, i int) float64 {
		if i >= len(r.Record.SpltSize) || uint64(i) >= r.Packets() {
			return -1
		}
		return at(r, i)
	}
}
