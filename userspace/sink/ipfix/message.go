package ipfix

import (
	"encoding/binary"
	"time"
)

// Version is the first field of a message; NetFlow had those before.
const Version = 10

// HeaderOctets are before what a message holds.
const HeaderOctets = 16

// SequenceAt is where in it the sequence number is, of 32 bits.
const SequenceAt = 8

const setHeader = 4

// Messages puts records into messages, on one connection after the other. It is not for
// use by several goroutines.
type Messages struct {
	domain   uint32
	most     int // octets of a message
	now      func() time.Time
	buffer   []byte
	sequence uint32 // data records on this connection

	total, octets, flows uint64 // since the beginning: messages, what they held
}

// NewMessages makes messages of at most so many octets. now is the clock of their
// export times.
func NewMessages(o *Options, octets int, now func() time.Time) *Messages {
	return &Messages{domain: o.Domain, most: octets, now: now, buffer: make([]byte, 0, octets)}
}

// Restart begins to count the data records of another connection.
func (m *Messages) Restart() { m.sequence = 0 }

// Sequence is the number that the next message will have.
func (m *Messages) Sequence() uint32 { return m.sequence }

// Next makes a message of the first of some records, and returns the others. The message
// is valid until the next call.
func (m *Messages) Next(records []byte) (message, rest []byte) {
	m.buffer = append(m.buffer[:0], make([]byte, HeaderOctets)...)
	data, set := uint32(0), -1
	for len(records) > 0 {
		id, end := record(records)
		value := records[recordHeader:end]
		opens := set < 0 || binary.BigEndian.Uint16(m.buffer[set:]) != id
		if !m.fits(len(value), opens) {
			break
		}
		if opens {
			set = len(m.buffer)
			m.buffer = append(m.buffer, records[:recordSet]...)
			m.buffer = append(m.buffer, 0, 0)
		}
		m.buffer = append(m.buffer, value...)
		binary.BigEndian.PutUint16(m.buffer[set+recordSet:], uint16(len(m.buffer)-set))
		data += m.count(id)
		records = records[end:]
	}
	m.seal(data)
	return m.buffer, records
}

// record is the set and the end of the first record.
func record(records []byte) (set uint16, end int) {
	return binary.BigEndian.Uint16(records), recordHeader + int(binary.BigEndian.Uint16(records[recordSet:]))
}

// fits tells whether a record has room in the message. The first always has.
func (m *Messages) fits(octets int, opens bool) bool {
	if opens {
		octets += setHeader
	}
	return len(m.buffer) == HeaderOctets || len(m.buffer)+octets <= m.most
}

// count is by how much a record moves the sequence number: templates do not.
func (m *Messages) count(set uint16) uint32 {
	if set < firstDataSet {
		return 0
	}
	if set < exportingSet {
		m.flows++
	}
	return 1
}

// seal fills in the message's header. Its sequence number is of the data records before.
func (m *Messages) seal(data uint32) {
	binary.BigEndian.PutUint16(m.buffer, Version)
	binary.BigEndian.PutUint16(m.buffer[2:], uint16(len(m.buffer)))
	binary.BigEndian.PutUint32(m.buffer[4:], uint32(m.now().Unix()))
	binary.BigEndian.PutUint32(m.buffer[SequenceAt:], m.sequence)
	binary.BigEndian.PutUint32(m.buffer[12:], m.domain)
	m.sequence += data
	m.total++
	m.octets += uint64(len(m.buffer))
}
