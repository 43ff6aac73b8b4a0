package decode

// What only the optional statistics want.

const (
	tcpSYN       = 0x02
	tcpOptionEnd = 0
	tcpOptionNOP = 1
	tcpOptionMSS = 2
)

// decodeTCPStatistics is for a cursor at a whole TCP header.
func (w *walk) decodeTCPStatistics() {
	tcp := w.header(0, 20)
	w.p.TcpSeq = read32(tcp[4:])
	w.p.TcpWindow = read16(tcp[14:])
	if w.p.TcpFlags&tcpSYN != 0 {
		w.p.TcpMss = w.decodeMSS(uint32(tcp[12]>>4) * 4)
	}
}

// decodeMSS walks the options in a TCP header that claims to have size octets,
// and returns the maximum segment size (RFC 9293 section 3.7.1), 0 without one.
// An option shorter than its own head ends the walk.
func (w *walk) decodeMSS(size uint32) uint16 {
	for skip := uint32(20); skip < size; {
		option := w.header(skip, 1)
		switch {
		case option == nil || option[0] == tcpOptionEnd:
			return 0
		case option[0] == tcpOptionNOP:
			skip++
			continue
		}
		option = w.header(skip, 2)
		switch {
		case option == nil || option[1] < 2:
			return 0
		case option[0] == tcpOptionMSS && option[1] == 4:
			if option = w.header(skip, 4); option != nil && skip+4 <= size {
				return read16(option[2:])
			}
			return 0
		}
		skip += uint32(option[1])
	}
	return 0
}

func (w *walk) decodeIPStatistics() {
	ip := w.data[w.p.L3Offset:]
	if w.n.version == 4 {
		w.p.Tos, w.p.Ttl = ip[1], ip[8]
		return
	}
	w.p.Tos, w.p.Ttl = uint8(read16(ip)>>4), ip[7]
}
