package handshake

import (
	"bytes"
	"encoding/binary"
)

const (
	// connectionIDMax is the longest connection id of versions 1 and 2.
	connectionIDMax = 20
	// packetsMax bounds the packets of one datagram, and packetsTried those of a
	// flow on which keys are tried.
	packetsMax   = 8
	packetsTried = 32
)

// A longPacket is a QUIC packet with a long header, protected.
type longPacket struct {
	version    uint32
	kind       longKind
	dcid, scid []byte
	packet     []byte // up to its end
	number     int    // offset of the packet number
	rest       []byte // of the datagram
}

// A longKind is what long headers are told apart by here.
type longKind uint8

const (
	otherKind longKind = iota
	initialKind
	retryKind // which takes all of its datagram, and has no number
)

// QUICVersion is the version of a datagram that begins with a long header (RFC
// 8999 section 5.1); 0 where it does not, or negotiates versions.
func QUICVersion(b []byte) uint32 {
	if len(b) < 7 || b[0]&0xc0 != 0xc0 {
		return 0
	}
	return binary.BigEndian.Uint32(b[1:])
}

// A QUIC reads the hello off one side's datagrams: Initial packets, with CRYPTO
// frames in any order, spread over any number of datagrams. The zero value is
// the client's.
type QUIC struct {
	reading
	client  *QUIC  // of the server's, whose keys follow from the client's id
	dcid    []byte // of the client's first Initial, or the one that a Retry gave it
	keys    *protection
	version uint32
	retried bool // the client's, once only
	tried   int
}

// Server makes q read the server's side of a connection.
func (q *QUIC) Server(client *QUIC) { q.client = client }

// Datagram takes a UDP payload of the side.
func (q *QUIC) Datagram(b []byte) {
	for range packetsMax {
		if q.ended || len(b) == 0 {
			return
		}
		p, ok := splitLong(b)
		if !ok {
			return
		}
		switch p.kind {
		case initialKind:
			q.initial(&p)
		case retryKind:
			q.retry(&p)
		}
		b = p.rest
	}
}

// Version is that of the side's first Initial.
func (q *QUIC) Version() uint32 { return q.version }

// Size is the memory that is held, the keys included.
func (q *QUIC) Size() int {
	n := q.reading.Size()
	if q.keys != nil {
		n += 1200 // two AES key schedules and GCM's table
	}
	return n
}

// Drop gives up what has not been read, and the message.
func (q *QUIC) Drop() {
	q.reading.Drop()
	q.keys = nil
}

func (q *QUIC) end() {
	q.reading.end()
	q.keys = nil
}

// splitLong takes the first long-header packet off a datagram.
func splitLong(b []byte) (p longPacket, ok bool) {
	p.version = QUICVersion(b)
	v, known := quicVersionOf(p.version)
	if !known {
		return p, false
	}
	c := cursor{b: b, at: 5}
	p.dcid, p.scid = c.prefixed(), c.prefixed()
	if c.short || len(p.dcid) > connectionIDMax || len(p.scid) > connectionIDMax {
		return p, false
	}
	switch b[0] >> 4 & 3 {
	case v.initialType:
		p.kind = initialKind
		c.skip(c.number()) // the token
	case (v.initialType + 3) & 3:
		p.kind, p.packet = retryKind, b
		return p, true
	}
	length := c.number()
	p.number = c.at
	if c.short || length > uint64(len(b)-c.at) {
		return p, false
	}
	end := c.at + int(length)
	p.packet, p.rest = b[:end], b[end:]
	return p, true
}

// retry takes the id that a server has the client begin anew with (RFC 9000
// section 17.2.5). The keys of both sides' Initials follow from it, also where the
// client's hello was whole before. A server that has sent an Initial sends none.
func (q *QUIC) retry(p *longPacket) {
	if q.client == nil || q.keys != nil || q.client.retried {
		return
	}
	c := q.client
	c.dcid, c.retried = bytes.Clone(p.scid), true
	c.keys = nil
	c.a.drop()
}

// initial reads a packet. Keys follow from the connection id of the client's
// first one; after a Retry, from the one that the server chose, which the client
// uses where the Retry itself was not seen.
func (q *QUIC) initial(p *longPacket) {
	if q.tried++; q.tried > packetsTried {
		q.end()
		return
	}
	if q.keys != nil {
		if payload, ok := q.keys.open(p.packet, p.number); ok {
			q.frames(payload)
			return
		}
		if bytes.Equal(q.dcid, q.idFor(p)) {
			return
		}
	}
	q.begin(p)
}

// idFor is the connection id that a packet's keys follow from.
func (q *QUIC) idFor(p *longPacket) []byte {
	if q.client != nil {
		return q.client.dcid
	}
	return p.dcid
}

// begin reads a packet under keys that are new.
func (q *QUIC) begin(p *longPacket) {
	side := clientSide
	if q.client != nil {
		side = serverSide
	}
	v, _ := quicVersionOf(p.version)
	keys, err := initialProtection(v, q.idFor(p), side)
	if err != nil {
		return
	}
	payload, ok := keys.open(p.packet, p.number)
	if !ok {
		return
	}
	q.a.drop()
	q.keys, q.dcid, q.version = keys, bytes.Clone(q.idFor(p)), p.version
	q.frames(payload)
}

// The frames that an Initial may hold (RFC 9000 section 12.4).
const (
	framePadding = 0x00
	framePing    = 0x01
	frameACK     = 0x02
	frameACKECN  = 0x03
	frameCRYPTO  = 0x06
)

func (q *QUIC) frames(payload []byte) {
	c := cursor{b: payload}
	for c.at < len(payload) && !c.short {
		switch c.octet() {
		case framePadding, framePing:
		case frameACK:
			c.skipACK(false)
		case frameACKECN:
			c.skipACK(true)
		case frameCRYPTO:
			offset, data := c.number(), []byte(nil)
			data = c.take(c.number())
			if c.short || offset > HelloMax || !q.a.add(int(offset), data) {
				q.end()
				return
			}
		default:
			c.short = true
		}
	}
	q.read()
}

func (q *QUIC) read() {
	message, state := messageIn(q.a.prefix())
	if state == partial {
		return
	}
	kind := byte(KindClientHello)
	if q.client != nil {
		kind = KindServerHello
	}
	if state == whole && message[0] == kind {
		q.message = bytes.Clone(message)
	}
	q.end()
}

// A cursor reads a buffer from the front. Once it is short it stays so.
type cursor struct {
	b     []byte
	at    int
	short bool
}

func (c *cursor) take(n uint64) []byte {
	if c.short || n > uint64(len(c.b)-c.at) {
		c.short = true
		return nil
	}
	data := c.b[c.at : c.at+int(n)]
	c.at += int(n)
	return data
}

func (c *cursor) skip(n uint64) { c.take(n) }

func (c *cursor) octet() byte {
	b := c.take(1)
	if b == nil {
		return 0
	}
	return b[0]
}

// prefixed reads octets behind their number in 8 bits.
func (c *cursor) prefixed() []byte { return c.take(uint64(c.octet())) }

// number reads a variable-length integer (RFC 9000 section 16).
func (c *cursor) number() uint64 {
	first := c.octet()
	v := uint64(first & 0x3f)
	for _, b := range c.take(1<<(first>>6) - 1) {
		v = v<<8 | uint64(b)
	}
	return v
}

// skipACK skips an ACK frame (RFC 9000 section 19.3).
func (c *cursor) skipACK(ecn bool) {
	c.number() // largest
	c.number() // delay
	ranges := c.number()
	c.number() // first range
	for i := uint64(0); i < ranges && !c.short; i++ {
		c.number()
		c.number()
	}
	if ecn {
		for range 3 {
			c.number()
		}
	}
}
