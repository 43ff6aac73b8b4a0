package handshake

import "encoding/binary"

const (
	dtlsRecordHeader  = 13
	dtlsMessageHeader = 12
)

// IsDTLS tells whether a datagram begins with a DTLS handshake record.
func IsDTLS(b []byte) bool {
	return len(b) > dtlsRecordHeader && b[0] == recordHandshake && b[1] == 0xfe && b[2] >= 0xfc
}

// DTLSClientHello reads a ClientHello that a datagram holds whole (RFC 6347
// section 4.2.2); nil where it does not.
func DTLSClientHello(b []byte) *ClientHello {
	if !IsDTLS(b) {
		return nil
	}
	record := b[dtlsRecordHeader:]
	if n := int(binary.BigEndian.Uint16(b[11:])); n < len(record) {
		record = record[:n]
	}
	if len(record) < dtlsMessageHeader || record[0] != KindClientHello {
		return nil
	}
	length, offset, part := uint24(record[1:]), uint24(record[6:]), uint24(record[9:])
	if offset != 0 || part != length || dtlsMessageHeader+length > len(record) {
		return nil
	}
	// TLS's header of the message, then its body.
	message := append([]byte{record[0], record[1], record[2], record[3]}, record[dtlsMessageHeader:dtlsMessageHeader+length]...)
	h, err := ParseClientHello(message, true)
	if err != nil {
		return nil
	}
	return h
}

func uint24(b []byte) int { return int(b[0])<<16 | int(b[1])<<8 | int(b[2]) }
