package handshake

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
)

// The versions of QUIC whose Initial packets can be read.
const (
	QUICv1      = 1
	QUICv2      = 0x6b3343cf
	quicDraft29 = 0xff00001d
	quicDraft34 = 0xff000022
)

// A quicVersion is what Initial packets of a version are protected with, and how
// they are told from others.
type quicVersion struct {
	salt        []byte
	initialType byte   // bits 4 and 5 of the first octet
	prefix      string // of labels
}

var (
	saltDraft29 = []byte{0xaf, 0xbf, 0xec, 0x28, 0x99, 0x93, 0xd2, 0x4c, 0x9e, 0x97, 0x86, 0xf1, 0x9c, 0x61, 0x11, 0xe0, 0x43, 0x90, 0xa8, 0x99}
	saltV1      = []byte{0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a}
	saltV2      = []byte{0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb, 0xf9, 0xbd, 0x2e, 0xd9}
)

// quicVersionOf returns false for a version whose Initials cannot be read.
func quicVersionOf(version uint32) (quicVersion, bool) {
	switch {
	case version == QUICv1, version > quicDraft29+3 && version <= quicDraft34:
		return quicVersion{saltV1, 0, "quic "}, true // RFC 9001 section 5.2
	case version == QUICv2:
		return quicVersion{saltV2, 1, "quicv2 "}, true // RFC 9369 section 3.3
	case version >= quicDraft29 && version <= quicDraft29+3:
		return quicVersion{saltDraft29, 0, "quic "}, true
	}
	return quicVersion{}, false
}

// A protection is the keys of one side's Initial packets.
type protection struct {
	aead   cipher.AEAD
	iv     []byte
	header cipher.Block
}

// The sides of a connection, as the labels of their secrets name them.
const (
	clientSide = "client in"
	serverSide = "server in"
)

// initialProtection derives a side's keys from the Destination Connection ID of
// the client's first Initial.
func initialProtection(v quicVersion, dcid []byte, side string) (*protection, error) {
	initial, err := hkdf.Extract(sha256.New, dcid, v.salt)
	if err != nil {
		return nil, err
	}
	secret, err := expandLabel(initial, side, sha256.Size)
	if err != nil {
		return nil, err
	}
	return newProtection(v, secret)
}

func newProtection(v quicVersion, secret []byte) (*protection, error) {
	key, err := expandLabel(secret, v.prefix+"key", 16)
	if err != nil {
		return nil, err
	}
	iv, err := expandLabel(secret, v.prefix+"iv", 12)
	if err != nil {
		return nil, err
	}
	hp, err := expandLabel(secret, v.prefix+"hp", 16)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	header, err := aes.NewCipher(hp)
	if err != nil {
		return nil, err
	}
	return &protection{aead, iv, header}, nil
}

// expandLabel is HKDF-Expand-Label with an empty context (RFC 8446 section 7.1).
func expandLabel(secret []byte, label string, length int) ([]byte, error) {
	label = "tls13 " + label
	info := binary.BigEndian.AppendUint16(nil, uint16(length))
	info = append(append(info, byte(len(label))), label...)
	return hkdf.Expand(sha256.New, secret, string(append(info, 0)), length)
}

// open removes header and packet protection (RFC 9001 sections 5.3 and 5.4) from
// a packet, whose packet number is at offset. The packet is left as it is.
func (p *protection) open(packet []byte, offset int) ([]byte, bool) {
	const sample = 16
	if len(packet) < offset+4+sample {
		return nil, false
	}
	var mask [aes.BlockSize]byte
	p.header.Encrypt(mask[:], packet[offset+4:offset+4+sample])
	first := packet[0] ^ mask[0]&0x0f
	length := int(first&3) + 1
	header := append([]byte(nil), packet[:offset+length]...)
	header[0] = first
	number := uint64(0)
	for i := range length {
		header[offset+i] ^= mask[1+i]
		number = number<<8 | uint64(header[offset+i])
	}
	// An Initial's numbers begin at 0 and are few: those on the wire are whole.
	nonce := append([]byte(nil), p.iv...)
	for i := range 8 {
		nonce[len(nonce)-1-i] ^= byte(number >> (8 * i))
	}
	payload, err := p.aead.Open(nil, nonce, packet[offset+length:], header)
	return payload, err == nil
}
