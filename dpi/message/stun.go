package message

import (
	"encoding/binary"
	"net/netip"
	"strings"
)

const (
	stunHeader = 20
	stunCookie = 0x2112a442
)

// The attributes that are read (RFC 8489 section 14).
const (
	stunMapped    = 0x0001
	stunRealm     = 0x0014
	stunXORMapped = 0x0020
	stunSoftware  = 0x8022
)

// A STUN is what a message tells of its ends.
type STUN struct {
	// Request tells a message that wants a response.
	Request  bool
	Software string
	Realm    string
	// Mapped is the client's address as the server saw it.
	Mapped netip.AddrPort
}

// ReadSTUN reads a message (RFC 8489 section 5); false if it is none.
func ReadSTUN(b []byte) (STUN, bool) {
	if len(b) < stunHeader || b[0]&0xc0 != 0 || binary.BigEndian.Uint32(b[4:]) != stunCookie {
		return STUN{}, false
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if stunHeader+n > len(b) {
		return STUN{}, false
	}
	s := STUN{Request: binary.BigEndian.Uint16(b)&0x0110 == 0}
	transaction := b[4:stunHeader] // with the cookie, as XOR takes it
	for rest := b[stunHeader : stunHeader+n]; len(rest) >= 4; {
		kind, length := binary.BigEndian.Uint16(rest), int(binary.BigEndian.Uint16(rest[2:]))
		if 4+length > len(rest) {
			return STUN{}, false
		}
		s.attribute(kind, rest[4:4+length], transaction)
		// WhatsApp's last attribute lacks its padding.
		rest = rest[min(4+(length+3)&^3, len(rest)):]
	}
	return s, true
}

func (s *STUN) attribute(kind uint16, value, transaction []byte) {
	switch kind {
	case stunSoftware:
		s.Software = clean(strings.TrimRight(string(value), "\x00"))
	case stunRealm:
		s.Realm = clean(string(value))
	case stunMapped:
		if !s.Mapped.IsValid() {
			s.Mapped = stunAddress(value, nil)
		}
	case stunXORMapped:
		if a := stunAddress(value, transaction); a.IsValid() {
			s.Mapped = a
		}
	}
}

// stunAddress reads an address, which is XORed with the cookie and transaction
// id if these are given.
func stunAddress(value, xor []byte) netip.AddrPort {
	if len(value) < 4 {
		return netip.AddrPort{}
	}
	octets := append([]byte(nil), value[2:]...)
	for i := range min(len(octets)-2, len(xor)) {
		octets[2+i] ^= xor[i]
	}
	for i := range min(2, len(xor)) {
		octets[i] ^= xor[i]
	}
	a, ok := netip.AddrFromSlice(octets[2:])
	if !ok || value[1] == 1 != a.Is4() {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a, binary.BigEndian.Uint16(octets))
}
