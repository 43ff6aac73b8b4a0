package handshake

import (
	"bytes"
	"encoding/binary"
)

const (
	dtlsRecordHeader  = 13
	dtlsMessageHeader = 12
	// dtlsRecordsMax bounds the records of a datagram, and the fragments of a record,
	// that are looked at.
	dtlsRecordsMax = 16
)

// IsDTLS tells whether a datagram begins with a DTLS handshake record.
func IsDTLS(b []byte) bool {
	return len(b) > dtlsRecordHeader && b[0] == recordHandshake && b[1] == 0xfe && b[2] >= 0xfc
}

// A DTLS reads the client's hello off the datagrams of a flow, in fragments that
// may come in any order (RFC 6347 section 4.2.3). The zero value is ready for use.
type DTLS struct {
	reading
	sequence uint16 // of the message that the fragments are of
	begun    bool
	length   int
}

// Datagram takes a UDP payload.
func (d *DTLS) Datagram(b []byte) {
	for range dtlsRecordsMax {
		// What is encrypted is of a later epoch.
		if d.ended || !IsDTLS(b) || binary.BigEndian.Uint16(b[3:]) != 0 {
			return
		}
		record := b[dtlsRecordHeader:]
		record = record[:min(len(record), int(binary.BigEndian.Uint16(b[11:])))]
		d.record(record)
		b = b[dtlsRecordHeader+len(record):]
	}
}

func (d *DTLS) record(b []byte) {
	for range dtlsRecordsMax {
		if d.ended || len(b) < dtlsMessageHeader {
			return
		}
		part := uint24(b[9:])
		if part > len(b)-dtlsMessageHeader {
			return
		}
		if b[0] == KindClientHello {
			d.fragment(binary.BigEndian.Uint16(b[4:]), uint24(b[1:]), uint24(b[6:]), b[dtlsMessageHeader:dtlsMessageHeader+part])
		}
		b = b[dtlsMessageHeader+part:]
	}
}

// fragment takes a part of the message of that sequence and length. A client that
// was told a cookie sends another hello, which takes the place of one in pieces.
func (d *DTLS) fragment(sequence uint16, length, offset int, part []byte) {
	if !d.begun || sequence != d.sequence || length != d.length {
		d.a.drop()
		d.sequence, d.length, d.begun = sequence, length, true
	}
	if length > HelloMax || offset > length-len(part) || !d.a.add(offset, part) {
		d.end()
		return
	}
	if body := d.a.prefix(); len(body) == length && length > 0 {
		// TLS's header of the message, then its body.
		header := []byte{KindClientHello, byte(length >> 16), byte(length >> 8), byte(length)}
		d.message = append(header, bytes.Clone(body)...)
		d.end()
	}
}

func uint24(b []byte) int { return int(b[0])<<16 | int(b[1])<<8 | int(b[2]) }
