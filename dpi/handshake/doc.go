// Package handshake reads the hello messages of TLS, DTLS and QUIC off the first
// packets of a flow, whatever pieces they come in, and makes the JA4 fingerprint of a client. It is for what
// libndpi does not tell, or not in every release.
//
// The octets are strangers'. Nothing here keeps more than HelloMax octets of one
// direction of a flow, allocates by what a length field says, or panics; what
// cannot be is not a hello.
//
// JA4 is written after FoxIO's public description of JA4 for TLS clients, the
// part of JA4+ that is under a BSD licence. The other parts are not here.
package handshake

// HelloMax is the most octets of a hello that are put together: a TLS record's
// worth. Clients with post-quantum key shares send about 2,000.
const HelloMax = 16 << 10

// The kinds of handshake message (RFC 8446 section 4) that are read.
const (
	KindClientHello = 1
	KindServerHello = 2
)

// messageHeader is kind (8 bits) and length (24 bits).
const messageHeader = 4
