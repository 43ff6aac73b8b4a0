// Package feature turns flow records into columns: nfstream's, under its names
// and in its order, then weir's own.
package feature

import "github.com/weirflow/weir/userspace"

// Options chooses the groups of columns. The core group and weir's own are
// always there.
type Options struct {
	// Statistics adds size, inter-arrival and flag statistics (48 columns).
	Statistics bool
	// TCP and IP add what these headers say (16 and 8 columns).
	TCP bool
	IP  bool
	// SPLT is the number of packets in the early-packet vectors, 0 for none.
	SPLT int
	// L7 adds nfstream's columns of what classification learned (9 columns).
	L7 bool
	// L7Full adds what else it learned (40 columns).
	L7Full bool
	// Tunnels adds the tunnel's kind, key and ends.
	Tunnels bool
}

// A Row is one flow on its way to an output.
type Row struct {
	*userspace.Flow
	// ID counts the rows of one output from 0.
	ID uint64
}

// A Field describes a column to its readers.
type Field struct {
	Name string `json:"name"`
	// Type is one of u8, u16, u32, u64, i8, f64, text, or "list of" one of
	// these.
	Type string `json:"type"`
	// Unit is empty for what has none.
	Unit  string `json:"unit,omitempty"`
	Group string `json:"group"`
	// Definition says how the value is found.
	Definition string `json:"definition"`
	// Source is nfstream for columns that it has too, else weir.
	Source string `json:"source"`
	// IPFIX names the information element of the same meaning, if there is one.
	IPFIX string `json:"ipfix,omitempty"`
	// Learnt says, of the columns of classification, who fills them: the release
	// of libndpi from which it does, or weir itself.
	Learnt string `json:"learnt,omitempty"`
}

// A Column is a field and the way to its value. Exactly one of Uint, Int,
// Float, Text and List is set. None of weir's allocates. A program may add columns of
// its own to those of Columns; one whose function panics has no value in that row, and
// a Sink counts it. The functions of such a row are called a second time.
type Column struct {
	Field
	Uint func(*Row) uint64
	Int  func(*Row) int64
	// Float returns NaN where the value is not known.
	Float func(*Row) float64
	// Text appends the value as it is, without quotes or escapes.
	Text func([]byte, *Row) []byte
	// List has Length elements; element i is At(row, i).
	List *Vector
}

// A Vector is a value of fixed length.
type Vector struct {
	Length int
	At     func(*Row, int) float64
}

// The groups of columns, in their order.
const (
	GroupCore       = "core"
	GroupStatistics = "statistics"
	GroupSPLT       = "splt"
	GroupL7         = "l7"
	GroupL7Full     = "l7_full"
	GroupTCP        = "tcp"
	GroupIP         = "ip"
	GroupWeir       = "weir"
)

const (
	sourceNFStream = "nfstream"
	sourceWeir     = "weir"
)

// Columns returns the columns of the groups that o asks for, in the order in
// which every output writes them.
func Columns(o Options) []Column {
	columns := coreColumns(o.Tunnels)
	if o.Statistics {
		columns = append(columns, statisticsColumns()...)
	}
	if o.SPLT > 0 {
		columns = append(columns, spltColumns(o.SPLT)...)
	}
	if o.L7 {
		columns = append(columns, l7Columns()...)
	}
	if o.L7Full {
		columns = append(columns, l7FullColumns()...)
	}
	if o.TCP {
		columns = append(columns, tcpColumns()...)
	}
	if o.IP {
		columns = append(columns, ipColumns()...)
	}
	return append(columns, weirColumns(o.Tunnels)...)
}

// Schema describes Columns(o), one field a column.
func Schema(o Options) []Field {
	columns := Columns(o)
	fields := make([]Field, len(columns))
	for i := range columns {
		fields[i] = columns[i].Field
	}
	return fields
}
