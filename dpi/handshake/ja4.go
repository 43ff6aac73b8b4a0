package handshake

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// A Transport is what carries TLS, as JA4 writes it.
type Transport byte

// The transports of JA4.
const (
	OverTCP  Transport = 't'
	OverQUIC Transport = 'q'
	OverDTLS Transport = 'd'
)

// nothing stands in JA4 for the hash of an empty list.
const nothing = "000000000000"

// JA4 is the client's fingerprint, as in
// t13d1516h2_8daaf6152771_e5627efa2ab1: version, whether a server is named, the
// numbers of ciphers and extensions and the first ALPN; a hash of the sorted
// ciphers; a hash of the sorted extensions and the signature algorithms.
func (h *ClientHello) JA4(t Transport) string {
	return h.ja4a(t) + "_" + h.ja4b() + "_" + h.ja4c()
}

func (h *ClientHello) ja4a(t Transport) string {
	named := byte('i')
	if slices.Contains(h.Extensions, extensionServerName) {
		named = 'd'
	}
	return fmt.Sprintf("%c%s%c%02d%02d%s", t, h.versionName(), named,
		min(len(h.Ciphers), 99), min(len(h.Extensions), 99), h.alpnEnds())
}

// Newest is the newest version that the client supports.
func (h *ClientHello) Newest() uint16 {
	if len(h.SupportedVersions) == 0 {
		return h.Version
	}
	version := h.SupportedVersions[0]
	for _, v := range h.SupportedVersions {
		version = higher(version, v)
	}
	return version
}

// versionName is the newest version, as JA4 writes it.
func (h *ClientHello) versionName() string {
	switch h.Newest() {
	case 0x0304:
		return "13"
	case 0x0303:
		return "12"
	case 0x0302:
		return "11"
	case 0x0301:
		return "10"
	case 0x0300:
		return "s3"
	case 0x0002:
		return "s2"
	case 0xfeff:
		return "d1"
	case 0xfefd:
		return "d2"
	case 0xfefc:
		return "d3"
	}
	return "00"
}

// higher is the newer of two versions; DTLS counts down.
func higher(a, b uint16) uint16 {
	if a>>8 == 0xfe && b>>8 == 0xfe {
		return min(a, b)
	}
	return max(a, b)
}

// alpnEnds is the first and the last character of the first ALPN; where one of
// them is no letter or digit, of its hexadecimal form.
func (h *ClientHello) alpnEnds() string {
	if len(h.ALPN) == 0 || h.ALPN[0] == "" {
		return "00"
	}
	name := h.ALPN[0]
	if !alphanumeric(name[0]) || !alphanumeric(name[len(name)-1]) {
		name = hex.EncodeToString([]byte(name))
	}
	return string([]byte{name[0], name[len(name)-1]})
}

func alphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func (h *ClientHello) ja4b() string {
	if len(h.Ciphers) == 0 {
		return nothing
	}
	return hash(hexList(slices.Sorted(slices.Values(h.Ciphers))))
}

func (h *ClientHello) ja4c() string {
	var extensions []uint16
	for _, e := range h.Extensions {
		if e != extensionServerName && e != extensionALPN {
			extensions = append(extensions, e)
		}
	}
	if len(extensions) == 0 {
		return nothing
	}
	slices.Sort(extensions)
	text := hexList(extensions)
	if len(h.SignatureAlgorithms) > 0 {
		text += "_" + hexList(h.SignatureAlgorithms)
	}
	return hash(text)
}

func hexList(list []uint16) string {
	var b strings.Builder
	for i, v := range list {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%04x", v)
	}
	return b.String()
}

// hash is the first 12 hexadecimal digits of SHA-256.
func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:6])
}
