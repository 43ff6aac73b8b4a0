package handshake

import (
	"errors"
	"slices"

	"golang.org/x/crypto/cryptobyte"
)

// The extensions that are read (IANA, TLS ExtensionType Values).
const (
	extensionServerName          = 0
	extensionSignatureAlgorithms = 13
	extensionALPN                = 16
	extensionSupportedVersions   = 43
	extensionECH                 = 0xfe0d
	extensionESNI                = 0xffce
)

// A ClientHello is what a client says first, in its order. GREASE values (RFC
// 8701) are left out.
type ClientHello struct {
	Version             uint16 // legacy_version
	Ciphers             []uint16
	Extensions          []uint16
	SignatureAlgorithms []uint16
	SupportedVersions   []uint16
	ServerName          string // as sent; not necessarily UTF-8
	ALPN                []string
	// ECH and ESNI tell whether the client sent an encrypted hello or server
	// name; ECH also where it only pretends to (GREASE).
	ECH, ESNI bool
}

// A ServerHello is what a server answers.
type ServerHello struct {
	Version uint16 // that of supported_versions, where it is there
	Cipher  uint16
	ALPN    string
}

// ErrMalformed is a hello that contradicts itself.
var ErrMalformed = errors.New("malformed hello")

// isGREASE tells the values 0x0a0a, 0x1a1a, …, 0xfafa.
func isGREASE(v uint16) bool { return v&0x0f0f == 0x0a0a && v>>8 == v&0xff }

// ParseClientHello reads a handshake message, its header included; of DTLS
// without the fields that only DTLS's header has.
func ParseClientHello(message []byte, dtls bool) (*ClientHello, error) {
	body, ok := bodyOf(message, KindClientHello)
	if !ok {
		return nil, ErrMalformed
	}
	h := new(ClientHello)
	var session, cookie, ciphers, compressions, extensions cryptobyte.String
	ok = body.ReadUint16(&h.Version) && body.Skip(32) && body.ReadUint8LengthPrefixed(&session) &&
		(!dtls || body.ReadUint8LengthPrefixed(&cookie)) &&
		body.ReadUint16LengthPrefixed(&ciphers) && body.ReadUint8LengthPrefixed(&compressions)
	if !ok || !values(ciphers, &h.Ciphers) {
		return nil, ErrMalformed
	}
	if body.Empty() {
		return h, nil // TLS 1.2 and older may have none
	}
	if !body.ReadUint16LengthPrefixed(&extensions) || !h.readExtensions(extensions) {
		return nil, ErrMalformed
	}
	return h, nil
}

func bodyOf(message []byte, kind uint8) (body cryptobyte.String, ok bool) {
	s := cryptobyte.String(message)
	var k uint8
	ok = s.ReadUint8(&k) && k == kind && s.ReadUint24LengthPrefixed(&body) && s.Empty()
	return body, ok
}

// values reads numbers of 16 bits up to the end, less GREASE.
func values(s cryptobyte.String, to *[]uint16) bool {
	if len(s)%2 != 0 {
		return false
	}
	*to = slices.Grow(*to, len(s)/2)
	var v uint16
	for s.ReadUint16(&v) {
		if !isGREASE(v) {
			*to = append(*to, v)
		}
	}
	return true
}

func (h *ClientHello) readExtensions(s cryptobyte.String) bool {
	for !s.Empty() {
		var kind uint16
		var data cryptobyte.String
		if !s.ReadUint16(&kind) || !s.ReadUint16LengthPrefixed(&data) {
			return false
		}
		if isGREASE(kind) {
			continue
		}
		h.Extensions = append(h.Extensions, kind)
		if !h.readExtension(kind, data) {
			return false
		}
	}
	return true
}

func (h *ClientHello) readExtension(kind uint16, data cryptobyte.String) bool {
	var list cryptobyte.String
	switch kind {
	case extensionServerName:
		h.ServerName = serverName(data)
	case extensionSignatureAlgorithms:
		return data.ReadUint16LengthPrefixed(&list) && values(list, &h.SignatureAlgorithms)
	case extensionALPN:
		h.ALPN = protocols(data)
	case extensionSupportedVersions:
		return data.ReadUint8LengthPrefixed(&list) && values(list, &h.SupportedVersions)
	case extensionECH:
		h.ECH = true
	case extensionESNI:
		h.ESNI = true
	}
	return true
}

// serverName is the first host name of a server_name extension (RFC 6066
// section 3).
func serverName(data cryptobyte.String) string {
	var list, name cryptobyte.String
	var kind uint8
	if data.ReadUint16LengthPrefixed(&list) {
		for list.ReadUint8(&kind) && list.ReadUint16LengthPrefixed(&name) {
			if kind == 0 {
				return string(name)
			}
		}
	}
	return ""
}

// protocols are the names in an ALPN extension (RFC 7301 section 3.1), less
// GREASE.
func protocols(data cryptobyte.String) (names []string) {
	var list, name cryptobyte.String
	if data.ReadUint16LengthPrefixed(&list) {
		for list.ReadUint8LengthPrefixed(&name) {
			if len(name) == 2 && isGREASE(uint16(name[0])<<8|uint16(name[1])) {
				continue
			}
			names = append(names, string(name))
		}
	}
	return names
}

// ParseServerHello reads a handshake message, its header included.
func ParseServerHello(message []byte) (*ServerHello, error) {
	body, ok := bodyOf(message, KindServerHello)
	if !ok {
		return nil, ErrMalformed
	}
	h := new(ServerHello)
	var session, extensions, data, list cryptobyte.String
	if !body.ReadUint16(&h.Version) || !body.Skip(32) || !body.ReadUint8LengthPrefixed(&session) ||
		!body.ReadUint16(&h.Cipher) || !body.Skip(1) {
		return nil, ErrMalformed
	}
	if !body.Empty() && !body.ReadUint16LengthPrefixed(&extensions) {
		return nil, ErrMalformed
	}
	for !extensions.Empty() {
		var kind uint16
		if !extensions.ReadUint16(&kind) || !extensions.ReadUint16LengthPrefixed(&data) {
			return nil, ErrMalformed
		}
		switch kind {
		case extensionSupportedVersions:
			data.ReadUint16(&h.Version)
		case extensionALPN:
			var name cryptobyte.String
			if data.ReadUint16LengthPrefixed(&list) && list.ReadUint8LengthPrefixed(&name) {
				h.ALPN = string(name)
			}
		}
	}
	return h, nil
}
