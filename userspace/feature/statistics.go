package feature

import "github.com/weirflow/weir/bpf"

// usPerMs is the unit of inter-arrival columns against that of records.
const usPerMs = 1000

// moments is what a record keeps of a quantity over the packets of a scope.
type moments struct {
	n, sum, squares uint64
	min, max        uint32
}

func (m moments) mean(unit uint64) float64      { return mean(m.sum, m.n, unit) }
func (m moments) deviation(unit uint64) float64 { return deviation(m.sum, m.squares, m.n, unit) }

// sizes are over all packets of the scope.
func (s scope) sizes(r *bpf.Record) moments {
	if s.dir != both {
		return sizesOf(&r.Dir[s.dir])
	}
	a, b := sizesOf(&r.Dir[0]), sizesOf(&r.Dir[1])
	switch {
	case a.n == 0:
		return b
	case b.n == 0:
		return a
	}
	return moments{a.n + b.n, a.sum + b.sum, a.squares + b.squares, min(a.min, b.min), max(a.max, b.max)}
}

func sizesOf(d *bpf.Direction) moments {
	return moments{d.Packets, d.Octets, d.SizeSq, d.SizeMin, d.SizeMax}
}

// gaps are between consecutive packets of the scope: one fewer than packets.
func (s scope) gaps(r *bpf.Record) moments {
	n := s.packets(r)
	if n > 0 {
		n--
	}
	if s.dir == both {
		return moments{n, r.IatUs, r.IatSq, r.IatMinUs, r.IatMaxUs}
	}
	d := &r.Dir[s.dir]
	return moments{n, d.IatUs, d.IatSq, d.IatMinUs, d.IatMaxUs}
}

// tcpFlags are the counters in nfstream's order, with the bit of the TCP flag
// octet (RFC 9293 section 3.1) that each counts.
var tcpFlags = []struct {
	name  string
	bit   int
	ipfix string
}{
	{"syn", 1, "tcpSynTotalCount (218)"}, {"cwr", 7, ""}, {"ece", 6, ""}, {"urg", 5, "tcpUrgTotalCount (223)"},
	{"ack", 4, "tcpAckTotalCount (222)"}, {"psh", 3, "tcpPshTotalCount (221)"}, {"rst", 2, "tcpRstTotalCount (220)"}, {"fin", 0, "tcpFinTotalCount (219)"},
}

func statisticsColumns() []Column {
	var columns []Column
	for _, s := range scopes {
		columns = append(columns, sizeColumns(s)...)
	}
	for _, s := range scopes {
		columns = append(columns, gapColumns(s)...)
	}
	for _, s := range scopes {
		columns = append(columns, flagColumns(s)...)
	}
	return inGroup(GroupStatistics, sourceNFStream, columns)
}

func sizeColumns(s scope) []Column {
	of := " of the sizes of packets " + s.of
	return []Column{
		{Field: Field{Name: s.name + "_min_ps", Type: "u32", Unit: "octets", Definition: "least" + of},
			Uint: func(r *Row) uint64 { return uint64(s.sizes(&r.Record).min) }},
		{Field: Field{Name: s.name + "_mean_ps", Type: "f64", Unit: "octets", Definition: "mean" + of + ": Σx/n"},
			Float: func(r *Row) float64 { return s.sizes(&r.Record).mean(1) }},
		{Field: Field{Name: s.name + "_stddev_ps", Type: "f64", Unit: "octets", Definition: "sample deviation" + of + ": √((n·Σx² - (Σx)²) / (n·(n-1))), 0 for n < 2"},
			Float: func(r *Row) float64 { return s.sizes(&r.Record).deviation(1) }},
		{Field: Field{Name: s.name + "_max_ps", Type: "u32", Unit: "octets", Definition: "greatest" + of},
			Uint: func(r *Row) uint64 { return uint64(s.sizes(&r.Record).max) }},
	}
}

func gapColumns(s scope) []Column {
	of := " of the gaps between consecutive packets " + s.of
	return []Column{
		{Field: Field{Name: s.name + "_min_piat_ms", Type: "f64", Unit: "ms", Definition: "least" + of},
			Float: func(r *Row) float64 { return float64(s.gaps(&r.Record).min) / usPerMs }},
		{Field: Field{Name: s.name + "_mean_piat_ms", Type: "f64", Unit: "ms", Definition: "mean" + of + ": Σx/n with n = packets - 1"},
			Float: func(r *Row) float64 { return s.gaps(&r.Record).mean(usPerMs) }},
		{Field: Field{Name: s.name + "_stddev_piat_ms", Type: "f64", Unit: "ms", Definition: "sample deviation" + of + ": √((n·Σx² - (Σx)²) / (n·(n-1))), 0 for n < 2"},
			Float: func(r *Row) float64 { return s.gaps(&r.Record).deviation(usPerMs) }},
		{Field: Field{Name: s.name + "_max_piat_ms", Type: "f64", Unit: "ms", Definition: "greatest" + of},
			Float: func(r *Row) float64 { return float64(s.gaps(&r.Record).max) / usPerMs }},
	}
}

func flagColumns(s scope) []Column {
	columns := make([]Column, len(tcpFlags))
	for i, f := range tcpFlags {
		columns[i] = Column{Field: Field{Name: s.name + "_" + f.name + "_packets", Type: "u64", Unit: "packets",
			Definition: "TCP packets " + s.of + " that had the flag set", IPFIX: s.ipfix("", f.ipfix)},
			Uint: func(r *Row) uint64 { return s.flag(&r.Record, f.bit) }}
	}
	return columns
}
