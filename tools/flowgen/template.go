package flowgen

import "encoding/binary"

// Kinds of template frame.
const (
	TCP4 = "tcp4"
	UDP4 = "udp4"
	TCP6 = "tcp6"
	UDP6 = "udp6"
)

// Template makes an Ethernet frame of size octets, without FCS, for the
// generator to write tuples into. It is made at least as long as its headers;
// TCP carries the ACK flag. mac are destination and source.
func Template(kind string, size int, mac [2][6]byte) []byte {
	version, transport := 4, 6
	if kind == TCP6 || kind == UDP6 {
		version = 6
	}
	if kind == UDP4 || kind == UDP6 {
		transport = 17
	}
	network := map[int]int{4: 20, 6: 40}[version]
	header := map[int]int{6: 20, 17: 8}[transport]
	b := make([]byte, max(size, 14+network+header))
	copy(b, mac[0][:])
	copy(b[6:], mac[1][:])
	if version == 4 {
		putIPv4(b, byte(transport))
	} else {
		putIPv6(b, byte(transport))
	}
	l4 := b[14+network:]
	if transport == 6 {
		l4[12], l4[13] = 5<<4, 1<<4
	} else {
		binary.BigEndian.PutUint16(l4[4:], uint16(len(l4)))
	}
	return b
}

func putIPv4(b []byte, protocol byte) {
	binary.BigEndian.PutUint16(b[12:], 0x0800)
	ip := b[14:]
	ip[0], ip[8], ip[9] = 0x45, 64, protocol
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
}

func putIPv6(b []byte, protocol byte) {
	binary.BigEndian.PutUint16(b[12:], 0x86dd)
	ip := b[14:]
	ip[0], ip[6], ip[7] = 0x60, protocol, 64
	binary.BigEndian.PutUint16(ip[4:], uint16(len(ip)-40))
	copy(ip[8:], []byte{0x20, 0x01, 0x0d, 0xb8})
	copy(ip[24:], ip[8:12]) // as the generator swaps only the low 32 bits of the addresses
}
