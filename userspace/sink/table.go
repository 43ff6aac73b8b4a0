package sink

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/userspace/feature"
)

// A tableEncoder writes a line of at most 120 columns a flow, for reading: what
// does not fit is shortened. Times of day are local.
type tableEncoder struct {
	local *time.Location // nil is the machine's
	cell  []byte
}

// tableColumns are the header and the width of each column, and how many
// characters at the end survive when it is cut: enough for a port. A negative
// width aligns to the right.
var tableColumns = []struct {
	name        string
	width, tail int
}{
	{"time", 8, 0}, {"source", 28, 9}, {"destination", 28, 9}, {"proto", 6, 0}, {"application", 15, 0},
	{"packets", -7, 0}, {"octets", -6, 0}, {"lasted", -7, 0}, {"end", 6, 0},
}

func (e *tableEncoder) appendHeader(dst []byte) []byte {
	for i, c := range tableColumns {
		dst = appendCell(dst, i, []byte(c.name))
	}
	return append(trimRight(dst), '\n')
}

func (e *tableEncoder) appendFlow(dst []byte, r *feature.Row, _ *guard) []byte {
	start, end := r.Start(), r.End()
	if e.local != nil {
		start = start.In(e.local)
	}
	for i := range tableColumns {
		cell := e.cell[:0]
		switch i {
		case 0:
			cell = start.AppendFormat(cell, time.TimeOnly)
		case 1:
			cell = appendEnd(cell, r.Source(), r.SourcePort(), hasPorts(r))
		case 2:
			cell = appendEnd(cell, r.Destination(), r.DestinationPort(), hasPorts(r))
		case 3:
			cell = appendProtocol(cell, r.Record.Key.Protocol)
		case 4:
			cell = appendApplication(cell, r)
		case 5:
			cell = appendCount(cell, r.Packets())
		case 6:
			cell = appendCount(cell, r.Octets())
		case 7:
			cell = appendDuration(cell, end.Sub(start))
		case 8:
			cell = append(cell, endWord(r.EndReason())...)
		}
		dst = appendCell(dst, i, cell)
		e.cell = cell
	}
	return append(trimRight(dst), '\n')
}

// appendCell pads text to the width of column i, or cuts it there.
func appendCell(dst []byte, i int, text []byte) []byte {
	if i > 0 {
		dst = append(dst, ' ')
	}
	width, right := tableColumns[i].width, false
	if width < 0 {
		width, right = -width, true
	}
	n := utf8.RuneCount(text)
	if n > width {
		return appendCut(dst, text, width, tableColumns[i].tail)
	}
	if !right {
		dst = append(dst, text...)
	}
	for range width - n {
		dst = append(dst, ' ')
	}
	if right {
		dst = append(dst, text...)
	}
	return dst
}

// appendCut shortens text, which is longer, to width characters by leaving out
// some before the last tail.
func appendCut(dst, text []byte, width, tail int) []byte {
	runes := utf8.RuneCount(text)
	for i := 0; len(text) > 0; i++ {
		c, n := utf8.DecodeRune(text)
		switch {
		case i < width-tail-1 || i >= runes-tail:
			dst = utf8.AppendRune(dst, c)
		case i == width-tail-1:
			dst = append(dst, "…"...)
		}
		text = text[n:]
	}
	return dst
}

func trimRight(line []byte) []byte {
	for len(line) > 0 && line[len(line)-1] == ' ' {
		line = line[:len(line)-1]
	}
	return line
}

func hasPorts(r *feature.Row) bool { return r.SourcePort()|r.DestinationPort() != 0 }

func appendEnd(dst []byte, a netip.Addr, port uint16, ports bool) []byte {
	if ports {
		return netip.AddrPortFrom(a, port).AppendTo(dst)
	}
	return a.AppendTo(dst)
}

// protocolNames are IANA's for the protocols that are common enough to be known
// by them.
var protocolNames = map[uint8]string{
	1: "ICMP", 2: "IGMP", 4: "IPv4", 6: "TCP", 17: "UDP", 33: "DCCP", 41: "IPv6", 47: "GRE", 50: "ESP", 51: "AH",
	58: "ICMPv6", 89: "OSPF", 103: "PIM", 112: "VRRP", 132: "SCTP",
}

func appendProtocol(dst []byte, protocol uint8) []byte {
	if name, ok := protocolNames[protocol]; ok {
		return append(dst, name...)
	}
	return strconv.AppendUint(dst, uint64(protocol), 10)
}

// appendApplication lets nothing through that a terminal could obey.
func appendApplication(dst []byte, r *feature.Row) []byte {
	if r.L7 == nil {
		return append(dst, '-')
	}
	for _, c := range r.L7.ApplicationName {
		if !unicode.IsPrint(c) {
			c = '?'
		}
		dst = utf8.AppendRune(dst, c)
	}
	return dst
}

// appendCount writes a count in at most 5 characters: as it is up to 99999,
// then in thousands, millions, … cut to three digits or more.
func appendCount(dst []byte, n uint64) []byte {
	if n < 100_000 {
		return strconv.AppendUint(dst, n, 10)
	}
	unit := 0
	for n >= 1_000_000 {
		n /= 1000
		unit++
	}
	if n >= 10_000 {
		return append(strconv.AppendUint(dst, n/1000, 10), "kMGTPE"[unit])
	}
	dst = strconv.AppendUint(dst, n/1000, 10)
	return append(dst, '.', byte('0'+n/100%10), "kMGTPE"[unit])
}

// appendDuration writes a duration in at most 7 characters, cut to what shows.
func appendDuration(dst []byte, d time.Duration) []byte {
	pair := func(d, whole, part time.Duration, a, b string) []byte {
		dst = append(strconv.AppendInt(dst, int64(d/whole), 10), a...)
		rest := d % whole / part
		return append(append(dst, byte('0'+rest/10), byte('0'+rest%10)), b...)
	}
	const day = 24 * time.Hour
	switch {
	case d < time.Millisecond:
		return append(strconv.AppendInt(dst, d.Microseconds(), 10), "µs"...)
	case d < time.Second:
		return append(strconv.AppendInt(dst, d.Milliseconds(), 10), "ms"...)
	case d < time.Minute:
		return pair(d, time.Second, 10*time.Millisecond, ".", "s")
	case d < time.Hour:
		return pair(d, time.Minute, time.Second, "m", "s")
	case d < day:
		return pair(d, time.Hour, time.Minute, "h", "m")
	}
	return pair(d, day, time.Hour, "d", "h")
}

// endWord is the end reason in one word.
func endWord(r bpf.EndReason) string {
	word, _, _ := strings.Cut(r.String(), " ")
	return word
}
