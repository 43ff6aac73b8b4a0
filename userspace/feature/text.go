package feature

import "net/netip"

// appendAddress writes an address as glibc's inet_ntop does. netip agrees but
// for IPv4-compatible addresses (RFC 4291 section 2.5.5.1), which inet_ntop
// writes with a dotted quad when any of bits 96 to 111 is set.
func appendAddress(dst []byte, a *[16]byte, version uint8) []byte {
	if version == 4 {
		return netip.AddrFrom4([4]byte(a[:4])).AppendTo(dst)
	}
	if [12]byte(a[:12]) == [12]byte{} && a[12]|a[13] != 0 {
		return netip.AddrFrom4([4]byte(a[12:])).AppendTo(append(dst, "::"...))
	}
	return netip.AddrFrom16(*a).AppendTo(dst)
}

// appendMAC writes octets in lower-case hexadecimal, with colons between.
func appendMAC(dst, mac []byte) []byte {
	const digits = "0123456789abcdef"
	for i, b := range mac {
		if i > 0 {
			dst = append(dst, ':')
		}
		dst = append(dst, digits[b>>4], digits[b&15])
	}
	return dst
}
